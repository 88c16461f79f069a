"""Where a webhook may go: to hosts in the public internet, and nowhere else.

Whoever may make a rule must not reach through the platform what only the platform reaches.
"""

import ipaddress
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.encoding import iri_to_uri
from django.utils.translation import gettext_noop as _

from accounts.words import sentence

HTTPS_PORT, HTTP_PORT = 443, 80
FIRST_FREE_PORT = 1024
# Of several clouds their own machinery, and relays to IPv6 that nobody runs any more.
NEVER = (ipaddress.ip_network("168.63.129.16/32"), ipaddress.ip_network("192.88.99.0/24"))
NAT64 = ipaddress.ip_network("64:ff9b::/96")

NO_HTTPS = sentence(_("Use an address that begins with https://."))
NO_HOST = sentence(_("The address has no host."))
WITH_LOGIN = sentence(_("Leave user name and password out: what is sent is signed."))
WRONG_PORT = sentence(_("Use port 443, or one from 1024 on."))
NOT_PUBLIC = sentence(_("{host} is not in the public internet, but at {address}."))
UNKNOWN_HOST = sentence(_("The host {host} cannot be found."))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(ValueError):
    """The platform sends nothing there."""


class Place(NamedTuple):
    """A webhook's address in parts: `host` as name servers and certificates have it, and `path`
    as it stands in a request."""

    is_secure: bool
    host: str
    port: int
    path: str


def place_of(url: str) -> Place:
    """The parts of a webhook's address. Raises Refused for one that is not allowed as it stands."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").encode("idna").decode()
        given = parts.port
    except ValueError as error:
        raise Refused(NO_HOST) from error
    is_secure = parts.scheme == "https"
    if not is_secure and not (settings.DEBUG and parts.scheme == "http"):
        raise Refused(NO_HTTPS)
    if not host:
        raise Refused(NO_HOST)
    if parts.username is not None or parts.password is not None:
        raise Refused(WITH_LOGIN)
    usual = HTTPS_PORT if is_secure else HTTP_PORT
    port = usual if given is None else given
    if port != usual and port < FIRST_FREE_PORT:
        raise Refused(WRONG_PORT)
    path = iri_to_uri((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    return Place(is_secure, host, port, path)


def check(url: str) -> None:
    """Raises Refused for an address that is wrong without asking a name server."""
    host = place_of(url).host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    _refuse_private(host, address)


def look_up(place: Place) -> list[str]:
    """The addresses of a place, all of which may be connected to. Raises Refused if one may not."""
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(UNKNOWN_HOST.format(host=place.host)) from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        _refuse_private(place.host, ipaddress.ip_address(address))
    return addresses


def _refuse_private(host: str, address: Address) -> None:
    if not settings.WEBHOOK_ALLOW_PRIVATE and not is_public(address):
        raise Refused(NOT_PUBLIC.format(host=host, address=address))


def is_public(address: Address) -> bool:
    """Whether it is one host's in the public internet, however it is written."""
    inner = _inside(address)
    if inner is not None:
        return is_public(inner)
    is_special = address.is_multicast or address.is_reserved or address.is_unspecified
    is_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    if is_local or any(address in network for network in NEVER):
        return False
    return address.is_global and not is_special


def _inside(address: Address) -> Address | None:
    """The IPv4 address that an IPv6 address leads to, if it does."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo
