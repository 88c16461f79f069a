"""Changes of many devices at once: whoever asks, each is a few statements however many there are.

Devices that are as asked already stay untouched, and nobody is told of them. Rows are locked in the
order that an import and a deletion have, so that of two at once one waits and neither fails.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import (
    BigIntegerField,
    BooleanField,
    F,
    Func,
    IntegerField,
    JSONField,
    Q,
    TextField,
    Value,
)
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _

from devices.models import BrokerChange, Device, DeviceQuerySet, DeviceType
from devices.validation import MOST_LABELS, validate_labels

NO_TYPE = _("This type is not there any more. Choose another one.")


class Done(NamedTuple):
    """The numbers of the devices that changed, and how many could not."""

    changed: list[int]
    refused: int = 0


class LabelCount(Func):
    template = "(SELECT count(*) FROM jsonb_object_keys(%(expressions)s))"
    output_field = IntegerField()


class Operator(Func):
    """`a || b` and `a - b` of jsonb, by `arg_joiner`."""

    template = "%(expressions)s"
    output_field = JSONField()


class IsAmong(Func):
    """`a = ANY(b)`, of which `b` is an array."""

    template = "%(expressions)s)"
    arg_joiner = " = ANY("
    output_field = BooleanField()


@transaction.atomic
def switch(devices: DeviceQuerySet, is_enabled: bool) -> Done:
    """Enable or disable; the broker is told of those that were not so."""
    done = _change(devices, ~Q(is_enabled=is_enabled), is_enabled=is_enabled)
    BrokerChange.objects.note(done.changed, with_gateways=True)
    return done


@transaction.atomic
def set_label(devices: DeviceQuerySet, key: str, value: str) -> Done:
    """Add a label, or change it; refused where there are as many as a device may have.

    Raises ValidationError for what no label may be.
    """
    validate_labels({key: value})
    label = Value({key: value}, JSONField())
    has_room = Q(labels__has_key=key) | Q(label_count__lt=MOST_LABELS)
    return _change(
        devices,
        ~Q(labels__contains={key: value}),
        has_room,
        labels=Operator(F("labels"), label, arg_joiner=" || "),
    )


@transaction.atomic
def remove_label(devices: DeviceQuerySet, key: str) -> Done:
    """Take a label away, whatever its value is."""
    name = Cast(Value(key), TextField())
    without = Operator(F("labels"), name, arg_joiner=" - ")
    return _change(devices, Q(labels__has_key=key), labels=without)


@transaction.atomic
def set_type(devices: DeviceQuerySet, kind: DeviceType | None) -> Done:
    """Give them a type, or none; refused for devices of tenants that do not have it.

    Raises ValidationError if the type was deleted meanwhile.
    """
    if kind is None:
        return _change(devices, Q(type__isnull=False), type=None)
    # Nobody may delete it meanwhile.
    if not DeviceType.objects.select_for_update(no_key=True).filter(pk=kind.pk).exists():
        raise ValidationError(NO_TYPE)
    usable = Q() if kind.is_shared else Q(tenant=kind.tenant_id)
    return _change(devices, ~Q(type=kind.pk) | Q(type__isnull=True), usable, type=kind)


def numbered(numbers: Collection[int]) -> "IsAmong":
    """Devices with these numbers.

    Optimization: as one array; ten thousand parameters take longer than the rows.
    """
    return IsAmong(F("pk"), Value(list(numbers), ArrayField(BigIntegerField())))


def labels_of(devices: DeviceQuerySet) -> list[str]:
    """The names of all labels that some of the devices have."""
    names = Func(F("labels"), function="jsonb_object_keys", output_field=TextField())
    rows = devices.order_by().annotate(label_name=names).values_list("label_name", flat=True)
    return sorted(rows.distinct())


def _change(
    devices: DeviceQuerySet, needed: Q, possible: Q | None = None, /, **values: Any
) -> Done:
    """Those of `devices` for which a change is `needed`, and `possible` as well."""
    chosen = Device.objects.filter(pk__in=devices.order_by().values("pk"), deleted_at=None)
    locked = chosen.order_by("pk").select_for_update(no_key=True)
    numbers = list(locked.values_list("pk", flat=True))
    # Not before: who held a lock may have changed the rows.
    needing = Device.objects.filter(needed, numbered(numbers), deleted_at=None)
    able = needing.alias(label_count=LabelCount(F("labels"))).filter(possible or Q())
    changed = list(able.order_by("pk").values_list("pk", flat=True))
    refused = needing.count() - len(changed) if possible else 0
    Device.objects.filter(numbered(changed)).update(**values)
    return Done(changed, refused)
