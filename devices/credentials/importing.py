"""Tokens that devices have already, from another system: those of a file become credentials here.

Nothing of a token is ever told back, and of a uid only if there is such a device: somebody may have
mixed up the columns.
"""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from accounts.models import User
from devices.bulk.files import Row
from devices.bulk.report import Outcome, Report, Result
from devices.bulk.rows import Values, checks, fault, in_attempts, uid_of
from devices.credentials.issuing import RESERVED, Given, Terms
from devices.credentials.recorded import issue_and_record
from devices.credentials.serializers import TokenRowSerializer
from devices.credentials.tokens import digest_of
from devices.daemon.services import reserved
from devices.models import Credential, Device, Origin

UNKNOWN = "There is no such device. Create it first, as by POST /import/devices."
TWICE = "Line {line} has it already. Remove one."
SAME_TOKEN = "Line {line} has the same token. Every device needs one of its own."
TAKEN = "Another device has, or had, this token. Every device needs one of its own."
ENDED = "The device had this token before, and it has ended. It needs another one."
OTHER_END = (
    "The device has this token already, with another end, which never changes. Leave it out, or "
    "give the device a new token."
)


def import_tokens(user: User, rows: list[Row], *, is_dry_run: bool) -> Report:
    """Make the tokens of the file the credentials of their devices, in the place of former ones.

    Nothing is written in a dry run, nor if a single row has an error.
    """
    return in_attempts(lambda: _import(user, rows, is_dry_run))


@transaction.atomic
def _import(user: User, rows: list[Row], is_dry_run: bool) -> Report:
    checked = list(checks(rows, TokenRowSerializer()))
    plan = Plan(user, checked, is_locking=not is_dry_run)
    report = Report(is_dry_run, plan.results())
    if not is_dry_run and not report.has_errors and plan.given:
        devices = [plan.owners[pk] for pk in plan.given]
        issue_and_record(devices, user, Terms(Origin.IMPORTED), plan.given)
    return report


class Plan:
    """What the rows ask for, and what there is so far.

    `is_locking`: nobody changes those devices until it is done.
    """

    def __init__(
        self, user: User, checked: list[tuple[Row, Values | ValidationError]], *, is_locking: bool
    ) -> None:
        self.checked = checked
        right = [values for _, values in checked if isinstance(values, dict)]
        uids = [*(values["device_uid"] for values in right), *_uids_of_wrong(checked)]
        found = Device.objects.visible_to(user).filter(device_uid__in=uids).order_by("pk")
        devices = found.select_for_update(no_key=True) if is_locking else found
        self.devices = {device.device_uid: device for device in devices}
        self.owners = {device.pk: device for device in self.devices.values()}
        self.holders = self._holders(right)
        in_force = Credential.objects.filter(device__in=self.owners).in_force()
        self.provided = set(in_force.values_list("device_id", flat=True))
        self.reserved = reserved()
        self.lines: dict[str, int] = {}
        self.token_lines: dict[bytes, int] = {}
        self.given: dict[int, Given] = {}

    def _holders(self, right: Iterable[Values]) -> dict[bytes, Credential]:
        """Whoever has one of the tokens already, by its digest, in whatever tenant."""
        digests = [digest_of(values["token"]) for values in right]
        return {bytes(each.digest): each for each in Credential.objects.filter(digest__in=digests)}

    def results(self) -> list[Result]:
        """What becomes of each row."""
        return [self._result(row, values) for row, values in self.checked]

    def _result(self, row: Row, values: Values | ValidationError) -> Result:
        uid = uid_of(row)
        uid = uid if uid in self.devices else ""
        try:
            if isinstance(values, ValidationError):
                raise values
            return Result(row.line, uid, self._outcome(row.line, **values))
        except ValidationError as error:
            return Result(row.line, uid, Outcome.ERROR, detail=error.detail)

    def _outcome(self, line: int, device_uid: str, token: str, expires_at: Any = None) -> Outcome:
        device = self._device(line, device_uid)
        digest = digest_of(token)
        first = self.token_lines.setdefault(digest, line)
        if first != line:
            raise fault("token", "duplicate", SAME_TOKEN.format(line=first))
        if holder := self.holders.get(digest):
            return _repeated(holder, device, expires_at)
        self.given[device.pk] = Given(token, expires_at)
        return Outcome.UPDATED if device.pk in self.provided else Outcome.CREATED

    def _device(self, line: int, uid: str) -> Device:
        if uid not in self.devices:
            raise fault("device_uid", "does_not_exist", UNKNOWN)
        first = self.lines.setdefault(uid, line)
        if first != line:
            raise fault("device_uid", "duplicate", TWICE.format(line=first))
        if uid.startswith(self.reserved):
            raise fault("device_uid", "reserved", RESERVED.format(uid=uid))
        return self.devices[uid]


def _uids_of_wrong(checked: Iterable[tuple[Row, Any]]) -> list[str]:
    """Uids of rows with an error, as far as they could be some: they are told if they are."""
    uids = (uid_of(row) for row, values in checked if isinstance(values, ValidationError))
    return [uid for uid in uids if uid and "\0" not in uid]


def _repeated(holder: Credential, device: Device, expires_at: Any) -> Outcome:
    """What becomes of a token that is there already."""
    if holder.device_id != device.pk:
        raise fault("token", "taken", TAKEN)
    if not holder.is_in_force(timezone.now()):
        raise fault("token", "ended", ENDED)
    if expires_at not in (None, holder.expires_at):
        raise fault("expires_at", "unchangeable", OTHER_END)
    return Outcome.UNCHANGED
