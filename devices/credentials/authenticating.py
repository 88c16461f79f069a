"""Who somebody is, by user name and token, and what they may do: one read, no write.

For brokers that ask (`devices/brokers/emqx`) and for doors that are none of a broker's.
"""

import hmac
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connection

from devices.credentials.tokens import NO_DIGEST, digest_of, matching
from devices.daemon.services import Service, is_reserved, services
from devices.mqtt import rights, topics
from devices.mqtt.rights import Right

# Deleted devices are not enabled. Each row is a credential; one that speaks for nobody else has no
# further names. With a digest, only the credential of this one has: whom a gateway speaks for is
# read for who has its token, and who has not is as much work as at any device. `of` is the one
# further name that is asked for, if not all are.
READ = """
SELECT slug, credential.id, digest, floor(extract(epoch FROM expires_at))::bigint, further.names
FROM devices_device AS device
JOIN accounts_tenant AS tenant ON tenant.id = tenant_id
JOIN devices_credential AS credential ON credential.device_id = device.id
LEFT JOIN LATERAL (
    SELECT array_agg(other.device_uid) AS names
    FROM devices_credential_gateway_for AS link
    JOIN devices_device AS other ON other.id = link.device_id AND other.is_enabled
    WHERE link.credential_id = credential.id
      AND (%(digest)s::bytea IS NULL OR credential.digest = %(digest)s)
      AND (%(of)s::text IS NULL OR other.device_uid = %(of)s)
) AS further ON true
WHERE device.device_uid = %(uid)s AND device.is_enabled
  AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > statement_timestamp())
"""


class Account(NamedTuple):
    """Who is known by a user name: a device, or a service of the platform.

    `names` are the (tenant, uid) that it speaks for, its own first; a service has none.
    `expires_at` are seconds since 1970, none for never.
    """

    username: str
    names: list[tuple[str, str]]
    credential_id: int | None = None
    expires_at: int | None = None
    of_service: tuple[Right, ...] = ()

    @property
    def rights(self) -> list[Right]:
        """Made when somebody asks: of a gateway they are thousands."""
        return [*self.of_service, *rights.of_devices(self.names)]


def authenticate(
    username: str, password: str, client_id: str | None = None, *, speaking_for: str | None = None
) -> Account | None:
    """The account that both belong to, or nobody.

    Over MQTT the `client_id` has to be its own too: the broker ends the session of whoever had it.
    With `speaking_for`, its names are its own and, if it may speak for it, this one alone. Unknown,
    disabled and known devices are the same work.
    """
    if service := _service(username):
        is_right = hmac.compare_digest(service.password.encode(), _encoded(password))
        is_ours = client_id is None or client_id.startswith(service.client_id)
        return _of_service(service) if is_right and is_ours and service.password else None
    rows = _read(username, digest_of(password), speaking_for)
    place = matching(password, [bytes(row.digest) for row in rows] or [NO_DIGEST])
    # No token has the digest of nobody.
    if place is None or client_id not in (None, username) or is_reserved(username):
        return None
    return _of_device(username, [rows[place]])


def account_of(username: str) -> Account | None:
    """The account of this name, by whichever of its credentials it was let in; or nobody."""
    if service := _service(username):
        return _of_service(service)
    rows = _read(username)
    return _of_device(username, rows) if rows and not is_reserved(username) else None


class _Row(NamedTuple):
    tenant: str
    credential_id: int
    digest: Any
    expires_at: int | None
    further: list[str] | None


def _read(
    username: str, digest: bytes | None = None, speaking_for: str | None = None
) -> list[_Row]:
    of = None if speaking_for is None else _uid(speaking_for)
    with connection.cursor() as cursor:
        cursor.execute(READ, {"uid": _uid(username), "digest": digest, "of": of})
        return [_Row._make(row) for row in cursor.fetchall()]


def _uid(text: str) -> str:
    # Not every text can be sent to PostgreSQL; what cannot be a uid is looked for as none.
    return text if topics.is_name(text) else ""


def _of_device(username: str, rows: Iterable[_Row]) -> Account:
    first, *_ = rows = list(rows)
    further = {uid for row in rows for uid in row.further or ()}
    names = [(first.tenant, uid) for uid in (username, *sorted(further - {username}))]
    return Account(username, names, first.credential_id, first.expires_at)


def _service(username: str) -> Service | None:
    return next((each for each in services() if each.username == username), None)


def _of_service(service: Service) -> Account:
    return Account(service.username, [], of_service=tuple(service.rights))


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
