"""What people do with credentials, with an entry on the page “History” of each device.

Of a credential it says the number, never the secret.
"""

from collections.abc import Collection, Mapping

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction
from django.utils.translation import gettext_noop as _

from accounts.models import User
from accounts.words import sentence
from devices.credentials.issuing import ORDINARY, Given, Issued, Terms, issue, revoke, speak_for
from devices.history import record_devices
from devices.models import Credential, Device, Origin

NEW = {
    Origin.ISSUED: sentence(_("New credential.")),
    Origin.IMPORTED: sentence(_("A token that it has already was made its credential.")),
}
WAS_REVOKED = sentence(_("Credential {number} revoked."))
NOW_SPEAKS_FOR = sentence(_("Credential {number} now speaks for {uids}."))
ALONE = sentence(_("the device alone"))
UIDS_SAID = 20


@transaction.atomic
def issue_and_record(
    devices: Collection[Device],
    by: User,
    terms: Terms = ORDINARY,
    given: Mapping[int, Given] | None = None,
) -> list[Issued]:
    """As `issue`, which see."""
    issued = issue(devices, by, terms, given)
    numbers = [each.credential.device_id for each in issued]
    record_devices(by, CHANGE, numbers, NEW[terms.origin])
    return issued


@transaction.atomic
def revoke_and_record(credential: Credential, by: User) -> bool:
    """End a credential at once; false if it had ended already."""
    is_ended = bool(revoke(Credential.objects.filter(pk=credential.pk)))
    if is_ended:
        said = WAS_REVOKED.format(number=credential.pk)
        LogEntry.objects.log_actions(by.pk, [credential.device], CHANGE, said)
    return is_ended


@transaction.atomic
def speak_for_and_record(credential: Credential, devices: Collection[Device], by: User) -> bool:
    """As `speak_for`, which see."""
    is_changed = speak_for(credential, devices)
    if is_changed:
        said = NOW_SPEAKS_FOR.format(number=credential.pk, uids=_listed(devices))
        LogEntry.objects.log_actions(by.pk, [credential.device], CHANGE, said)
    return is_changed


def _listed(devices: Collection[Device]) -> str:
    uids = sorted(device.device_uid for device in devices)
    hidden = len(uids[UIDS_SAID:])
    more = f" and {hidden} more" if hidden else ""
    return ", ".join(uids[:UIDS_SAID]) + more or ALONE
