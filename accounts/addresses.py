"""Where a request comes from, as far as the proxies in front of the platform can be trusted."""

from ipaddress import IPv6Network, ip_address

from django.conf import settings
from django.http import HttpRequest

NOWHERE = "::"
"""Where the server or a proxy does not say, or not so that it can be understood."""


def address_of(request: HttpRequest) -> str:
    """The client's IP address; of IPv6 its /64, out of which a client takes any it likes.

    Behind NUM_PROXIES proxies it is what the outermost of them saw. What stands before that in
    X-Forwarded-For the client may have written itself.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if settings.NUM_PROXIES and forwarded:
        entries = forwarded.split(",")
        return network_of(entries[-min(settings.NUM_PROXIES, len(entries))])
    return network_of(request.META.get("REMOTE_ADDR", ""))


def network_of(text: str) -> str:
    """An address as a server or a proxy writes it, without port; of IPv6 the first half."""
    text = text.strip()
    has_port = text.startswith("[") or text.count(":") == 1
    plain = text.rpartition(":")[0] if has_port and not text.endswith("]") else text
    try:
        address = ip_address(plain.strip("[]"))
    except ValueError:
        return NOWHERE
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), 64), strict=False).network_address)
