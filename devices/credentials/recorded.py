"""What people do with credentials, with an entry on the page “History” of each device.

Of a credential it says the number, never the secret.
"""

from collections.abc import Collection, Mapping

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction

from accounts.models import User
from devices.credentials.issuing import ORDINARY, Given, Issued, Terms, issue, revoke
from devices.models import Credential, Device, Origin

NEW = {
    Origin.ISSUED: "New credential.",
    Origin.IMPORTED: "A token that it has already was made its credential.",
}


@transaction.atomic
def issue_and_record(
    devices: Collection[Device],
    by: User,
    terms: Terms = ORDINARY,
    given: Mapping[int, Given] | None = None,
) -> list[Issued]:
    """As `issue`, which see."""
    issued = issue(devices, by, terms, given)
    owners = [each.credential.device for each in issued]
    LogEntry.objects.log_actions(by.pk, owners, CHANGE, NEW[terms.origin])
    return issued


@transaction.atomic
def revoke_and_record(credential: Credential, by: User) -> bool:
    """End a credential at once; false if it had ended already."""
    is_ended = bool(revoke(Credential.objects.filter(pk=credential.pk)))
    if is_ended:
        said = f"Credential {credential.pk} revoked."
        LogEntry.objects.log_actions(by.pk, [credential.device], CHANGE, said)
    return is_ended
