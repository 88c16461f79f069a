"""Many devices at once: what the rows of a file mean for the database, and its doing.

Rows are checked one by one; the database is asked and told about all of them together.
"""

from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from accounts.fields import no_such_tenant
from accounts.models import Tenant, User
from accounts.words import sentence
from devices.bulk.files import CHUNK, COLUMNS, Row
from devices.bulk.report import Outcome, Report, Result
from devices.bulk.rows import Values, checks, fault, in_attempts, uid_of
from devices.history import record_devices
from devices.models import TAKEN, BrokerChange, Device, DeviceType
from devices.serializers import NO_TENANT, NO_TYPE, DeviceSerializer

IMPORTED = sentence(gettext_noop("Imported from a file."))


class DeviceRowSerializer(DeviceSerializer):
    """A device as a file gives it, as far as it can be checked without the database."""

    tenant = serializers.CharField(  # type: ignore[assignment]
        required=False, help_text="Slug. Your own unless you are platform staff. Never changes."
    )

    class Meta(DeviceSerializer.Meta):
        fields = COLUMNS
        # An import gives back exactly what was exported.
        extra_kwargs: dict[str, Any] = {
            **DeviceSerializer.Meta.extra_kwargs,
            "name": {"trim_whitespace": False},
        }

    def validate(self, attrs: Values) -> Values:
        return attrs


def import_devices(user: User, rows: list[Row], *, is_dry_run: bool) -> Report:
    """Create the devices of the file that are new and change the others, on behalf of `user`.

    A field that a row does not have stays as it is. Nothing is written in a dry run, nor if a
    single row has an error.
    """
    return in_attempts(lambda: _import(user, rows, is_dry_run))


@transaction.atomic
def _import(user: User, rows: list[Row], is_dry_run: bool) -> Report:
    plan = Plan(user)
    report = Report(is_dry_run, plan.make(rows, is_locking=not is_dry_run))
    if not is_dry_run and not report.has_errors:
        plan.carry_out()
    return report


class Plan:
    """What has to be created and changed so that the devices become what the rows say."""

    def __init__(self, user: User) -> None:
        self.user = user
        tenants = Tenant.objects.visible_to(user)
        self.tenants = {tenant.slug: tenant for tenant in tenants}
        self.tenants_by_id = {tenant.pk: tenant for tenant in tenants}
        types = DeviceType.objects.visible_to(user).only("tenant_id", "name")
        self.types = {(kind.tenant_id, kind.name): kind.pk for kind in types}
        self.lines: dict[str, int] = {}
        self.new: list[Device] = []
        self.changed: list[Device] = []
        self.changed_fields: set[str] = set()
        self.switched: list[int] = []

    def make(self, rows: list[Row], *, is_locking: bool) -> list[Result]:
        """What becomes of each row. `is_locking`: nobody changes those devices until it is done."""
        checked = list(checks(rows, DeviceRowSerializer()))
        uids = [values["device_uid"] for _, values in checked if isinstance(values, dict)]
        found = Device.objects.visible_to(self.user).filter(device_uid__in=uids).order_by("pk")
        devices = found.select_for_update(no_key=True) if is_locking else found
        self.devices = {device.device_uid: device for device in devices}
        self.taken = Device.objects.known(uids).keys() - self.devices.keys()
        return [self._result(row, values) for row, values in checked]

    def carry_out(self) -> None:
        # Sorted, as the ingestor registers devices, so that the two cannot deadlock.
        self.new.sort(key=lambda device: device.device_uid)
        Device.objects.bulk_create(self.new, batch_size=CHUNK)
        # Optimization: an upsert of rows that are known, and locked. `bulk_update` compares every
        # row with every other of its batch, and took ten times as long.
        if self.changed:
            Device.objects.bulk_create(
                self.changed,
                batch_size=CHUNK,
                update_conflicts=True,
                unique_fields=["id"],
                update_fields=self.changed_fields,
            )
        BrokerChange.objects.note(self.switched, with_gateways=True)
        record_devices(self.user, ADDITION, [device.pk for device in self.new], IMPORTED)
        record_devices(self.user, CHANGE, [device.pk for device in self.changed], IMPORTED)

    def _result(self, row: Row, values: Values | ValidationError) -> Result:
        try:
            if isinstance(values, ValidationError):
                raise values
            return self._upsert(row.line, **values)
        except ValidationError as error:
            return Result(row.line, uid_of(row), Outcome.ERROR, detail=error.detail)

    def _upsert(self, line: int, device_uid: str, **values: Any) -> Result:
        first = self.lines.setdefault(device_uid, line)
        if first != line:
            said = _("Line {line} has it already. Remove one.").format(line=first)
            raise fault("device_uid", "duplicate", said)
        if device_uid in self.taken:
            raise fault("device_uid", "taken", TAKEN)
        device = self.devices.get(device_uid)
        tenant = self._tenant(device, values.pop("tenant", None))
        if "type" in values:
            values["type_id"] = self._type_id(tenant, values.pop("type"))
        if device:
            return self._update(line, device, values)
        self.new.append(Device(device_uid=device_uid, tenant=tenant, **values))
        return Result(line, device_uid, Outcome.CREATED)

    def _update(self, line: int, device: Device, values: Values) -> Result:
        changes = {name: value for name, value in values.items() if getattr(device, name) != value}
        if not changes:
            return Result(line, device.device_uid, Outcome.UNCHANGED)
        for name, value in changes.items():
            setattr(device, name, value)
        fields = [name.removesuffix("_id") for name in changes]
        self.changed.append(device)
        if "is_enabled" in changes:
            self.switched.append(device.pk)
        self.changed_fields.update(fields)
        return Result(line, device.device_uid, Outcome.UPDATED, fields)

    def _tenant(self, device: Device | None, slug: str | None) -> Tenant:
        if slug is not None and slug not in self.tenants:
            raise fault("tenant", "does_not_exist", no_such_tenant(slug, self.user))
        wanted = self.tenants[slug] if slug else self.user.works_in or self.user.tenant
        if device:
            tenant = self.tenants_by_id[device.tenant_id]
            if slug and wanted != tenant:
                raise fault("tenant", "unchangeable", _("A device's tenant never changes."))
            return tenant
        if wanted is None:
            raise fault("tenant", "required", NO_TENANT)
        return wanted

    def _type_id(self, tenant: Tenant, name: str | None) -> int | None:
        if name is None:
            return None
        for owner in (tenant.pk, None):
            if found := self.types.get((owner, name)):
                return found
        raise fault("type", "does_not_exist", NO_TYPE.format(tenant=tenant.slug, name=name))
