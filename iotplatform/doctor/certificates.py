"""The certificates that people and devices see, whoever ends TLS for them."""

import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from iotplatform.doctor.finding import Finding, ok, problem, warning

SECONDS = 2.0
"""For each step; there may be two addresses, each by IPv4 and IPv6."""
SOON_DAYS = 21
MQTTS_PORT = 8883


def seen() -> Iterator[Finding]:
    """At each address by TLS that the platform knows of itself."""
    for host, port in addresses():
        yield judged(host, port)


def addresses() -> Iterator[tuple[str, int]]:
    """Of PUBLIC_URL, and of MQTT__DEVICES, which without a host is there as well."""
    site = urlsplit(settings.PUBLIC_URL)
    if site.scheme == "https" and site.hostname:
        yield site.hostname, site.port or 443
    host, _colon, port = settings.MQTT_DEVICES.rpartition(":")
    host = host.strip("[]") or site.hostname or ""
    if host and port == str(MQTTS_PORT):
        yield host, MQTTS_PORT


def judged(host: str, port: int) -> Finding:
    subject, place = "certificate", f"{host}:{port}"
    try:
        certificate = certificate_at(host, port)
    except ssl.SSLCertVerificationError as error:
        said = f"That of {place} lets nobody in: {error.verify_message}."
        return problem(subject, said, "Make one for this name: docs/https.md.")
    except OSError as error:
        said = f"{place} cannot be seen from here: {error}."
        advice = f"In a container that may be normal. Elsewhere: openssl s_client -connect {place}"
        return warning(subject, said, advice)
    days = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / 86_400
    said = f"That of {place} is for this name and good for {days:.0f} days."
    if days < SOON_DAYS:
        advice = "Make it anew, and see why it was not: docs/https.md."
        return warning(subject, said, advice)
    return ok(subject, said)


def certificate_at(host: str, port: int) -> dict[str, Any]:
    """SSLCertVerificationError if it is not for `host`, or its time is over.

    Whose authority it is of is not asked, for that of an own one is known to devices alone: it is
    taken as it is the first time, and trusted the second.
    """
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    with handshake(host, port, blind) as server:
        itself = server.getpeercert(binary_form=True)
    trusting = ssl.create_default_context(cadata=itself)
    trusting.verify_flags = ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    with handshake(host, port, trusting) as server:
        return dict(server.getpeercert() or {})


def handshake(host: str, port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection((host, port), timeout=SECONDS)
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except OSError:
        plain.close()
        raise
