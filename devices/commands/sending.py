"""The one way to send a command: a row per device, committed before anybody publishes anything.

API, console and `send_command` come through here. Refusals are errors of REST framework, whose
`detail` tells a person of any door what to do.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from psycopg.types.json import Jsonb
from rest_framework.exceptions import APIException, Throttled, ValidationError

from accounts.conflicts import Conflict, conflicts
from accounts.models import Tenant, User
from accounts.words import in_language, number, sentence
from devices.commands import outbox
from devices.commands.targets import check_found
from devices.models import Command, CommandBatch, Device, DeviceQuerySet

LIFE = timedelta(hours=24)
LONGEST_LIFE = timedelta(days=30)
RATE_WINDOW = timedelta(minutes=1)
REASONS_TOLD = 3
# Optimization: one statement, as ten thousand rows took the ORM ten times as long as PostgreSQL.
QUEUE = """
WITH queued AS (
    INSERT INTO devices_command (
        id, tenant_id, device_id, batch_id, cmd, params, expires_at, issued_by_id,
        idempotency_key, status, reason, is_late, reply, error
    )
    SELECT gen_random_uuid(), tenant_id, id, %(batch)s, %(cmd)s, %(params)s,
        statement_timestamp() + %(life)s, %(by)s, %(key)s, 'queued', '', false, '', ''
    FROM devices_device WHERE id = ANY(%(devices)s) ORDER BY id
    RETURNING number
)
INSERT INTO devices_commandtransition (command_id, status, by, detail)
SELECT number, 'queued', %(name)s, '' FROM queued ORDER BY number
RETURNING command_id
"""

DISABLED = sentence(gettext_noop("{uid} is disabled. Enable it first."))
FULL = sentence(
    gettext_noop(
        "{count} commands to {uid} are open already. Wait until it has answered some, or cancel "
        "some."
    )
)
NOBODY = _("It cannot be queued for any of these devices. {reasons}")
IN_USE = _("Another request with this Idempotency-Key is at work. Try again in a moment.")


class KeyReused(APIException):
    """The same Idempotency-Key asks for something else."""

    status_code = 422
    default_code = "idempotency_key_reused"
    default_detail = (
        "This Idempotency-Key was used for another command. Make a new key for a new command; "
        "repeat a request unchanged."
    )


class Order(NamedTuple):
    """What devices shall do, and for how long it is worth doing. `params` is an object of JSON."""

    cmd: str
    params: dict[str, Any]
    life: timedelta = LIFE


class Skipped(NamedTuple):
    """A device that a command cannot be queued for, and why."""

    device_uid: str
    reason: str


class Plan(NamedTuple):
    """Which of the chosen devices a command would go to."""

    devices: list[Device]
    skipped: list[Skipped]

    @property
    def uids(self) -> set[str]:
        """Of all that were chosen."""
        able = {device.device_uid for device in self.devices}
        return able | {each.device_uid for each in self.skipped}


class Sent(NamedTuple):
    """A command, or a batch of them; not `is_new` if a request with the same key made it before."""

    what: Any
    is_new: bool


def send(order: Order, device: Device, by: User | None, key: str = "", *, name: str = "") -> Sent:
    """Queue a command to one device. `name` says who asks where no person is logged in.

    With a `key` that `by` used before, the command of that time is returned.
    """
    check_size(order)
    with transaction.atomic():
        with connection.cursor() as cursor:
            outbox.add(cursor, [device.pk])
        devices = Device.objects.select_related("tenant")
        device = get_object_or_404(devices, pk=device.pk, deleted_at=None)
        if key and (before := Command.objects.filter(issued_by=by, idempotency_key=key).first()):
            return _again(before, order, before.device_id == device.pk)
        if reason := _obstacle_of(device, _open().filter(device=device).count()):
            raise Conflict(in_language(reason))
        _check_rate(device.tenant, 1)
        with conflicts(IN_USE):
            (number,) = _queue(order, [device], by, key=key, name=name)
    # Not before the commit, which dispatchers wait for.
    # With its device, by which the history names it.
    sent = Command.objects.select_related("device").get(pk=number)
    return Sent(sent, is_new=True)


def plan(devices: DeviceQuerySet) -> Plan:
    """Which of `devices` a command can be queued for now."""
    mine = _open().filter(device=OuterRef("pk")).order_by().values("device")
    open_commands = Coalesce(Subquery(mine.annotate(count=Count("*")).values("count")), 0)
    found: list[Any] = list(devices.order_by("pk").annotate(open_commands=open_commands))
    obstacles = {each.pk: _obstacle_of(each, each.open_commands) for each in found}
    able = [each for each in found if not obstacles[each.pk]]
    skipped = [Skipped(e.device_uid, obstacles[e.pk]) for e in found if obstacles[e.pk]]
    return Plan(able, skipped)


def rehearse(order: Order, devices: DeviceQuerySet, tenant: Tenant, target: dict[str, Any]) -> Plan:
    """What `send_to_many` would do now, and refuse; nothing is written."""
    check_size(order)
    found = plan(devices)
    check_found(target, found.uids)
    _check_rate(tenant, len(found.devices))
    return found


@transaction.atomic
def send_to_many(
    order: Order,
    devices: DeviceQuerySet,
    tenant: Tenant,
    target: dict[str, Any],
    by: User | None,
    key: str = "",
) -> Sent:
    """Queue a command to each of `devices` of `tenant`, as one batch.

    `target` is how they were chosen (devices/commands/targets.py). With a `key` that `by` used
    before, the batch of that time is returned.
    """
    chosen = list(devices.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        outbox.add(cursor, chosen)
    # Not before: who was first with the same request, at the same moment, is done by now.
    if key and (before := CommandBatch.objects.filter(issued_by=by, idempotency_key=key).first()):
        return _again(before, order, (before.tenant_id, before.target) == (tenant.pk, target))
    able, skipped = rehearse(order, devices.filter(pk__in=chosen), tenant, target)
    if not able:
        reasons = " ".join(in_language(each.reason) for each in skipped[:REASONS_TOLD])
        raise Conflict(NOBODY.format(reasons=reasons))
    with conflicts(IN_USE):
        batch = CommandBatch.objects.create(
            tenant=tenant,
            cmd=order.cmd,
            params=order.params,
            target=target,
            skipped=[each._asdict() for each in skipped],
            issued_by=by,
            idempotency_key=key,
            expires_at=Now() + order.life,
        )
    _queue(order, able, by, batch=batch)
    return Sent(batch, is_new=True)


def check_size(order: Order) -> None:
    size = len(json.dumps([order.cmd, order.params], ensure_ascii=False).encode())
    if size > settings.MAX_COMMAND:
        said = gettext("The command has {size} bytes where {most} are allowed.")
        said = said.format(size=number(size), most=number(settings.MAX_COMMAND))
        raise ValidationError({"params": said}, "too_large")


def _queue(
    order: Order,
    devices: Sequence[Device],
    by: User | None,
    *,
    key: str = "",
    batch: CommandBatch | None = None,
    name: str = "",
) -> list[int]:
    """Insert the commands, and tell the dispatchers once they are committed; their numbers."""
    values: dict[str, Any] = {
        "devices": [device.pk for device in devices],
        "batch": batch.pk if batch else None,
        "cmd": order.cmd,
        "params": Jsonb(order.params),
        "life": order.life,
        "by": by.pk if by else None,
        "name": by.email if by else name,
        "key": key,
    }
    with connection.cursor() as cursor:
        cursor.execute(QUEUE, values)
        numbers = [number for (number,) in cursor.fetchall()]
        outbox.notify(cursor)
    return numbers


def _again(before: Any, order: Order, is_same_target: bool) -> Sent:
    # PostgreSQL compares: it writes 1e30 out, and Python then takes it for another number.
    same = type(before).objects.filter(pk=before.pk, cmd=order.cmd, params=order.params)
    is_same_life = before.expires_at - before.created_at == order.life
    if not (is_same_target and is_same_life and same.exists()):
        raise KeyReused
    return Sent(before, is_new=False)


def _open() -> QuerySet[Command]:
    return Command.objects.open().filter(expires_at__gt=Now())


def _obstacle_of(device: Device, open_commands: int) -> str:
    """Why no command can be queued for the device, if so."""
    if not device.is_enabled:
        return DISABLED.format(uid=device.device_uid)
    if open_commands >= settings.COMMAND_QUEUE:
        return FULL.format(uid=device.device_uid, count=open_commands)
    return ""


def _check_rate(tenant: Tenant, count: int) -> None:
    """Raises unless the tenant may send `count` more commands within this minute."""
    rate = settings.COMMAND_RATE
    if count > rate:
        said = gettext("{count} devices are more than the {rate} a minute allowed. Choose fewer.")
        raise ValidationError(said.format(count=number(count), rate=number(rate)), "too_many")
    recent = Command.objects.filter(tenant=tenant, created_at__gt=Now() - RATE_WINDOW)
    excess = recent.count() + count - rate
    if excess > 0:
        # The one that has to leave for there to be room.
        wait = recent.order_by("created_at").values_list(F("created_at") + RATE_WINDOW - Now())
        raise Throttled(
            wait[excess - 1][0].total_seconds(),
            gettext("No more than {rate} commands a minute are sent for a tenant.").format(
                rate=number(rate)
            ),
        )
