"""The broker: whether it lets the platform in, and what it grants."""

import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.conf import settings
from django.template.defaultfilters import filesizeformat
from mqtt5 import ConnAckPacket, ConnAckReasonCode, ConnectPacket, DisconnectPacket, Packet, QoS

from devices.brokers.emqx.management import EmqxError, live_clients
from devices.daemon.broker import session_options
from devices.daemon.services import Service, services
from devices.mqtt.frames import BadFrame, FrameReader
from iotplatform.doctor.finding import Finding, ok, problem, warning

SECONDS = 5.0
WEEK = 7 * 86_400
"""For so many seconds the ingestor has the broker keep what devices publish while it is away."""
FEW = 10
AROUND = 1024
"""Bytes of a packet beside its payload: topic and properties."""
SOON_DAYS, NOW_DAYS = 21, 3

SILENT = (
    f"It takes connections, but gives no answer to MQTT 5 within {SECONDS:g} seconds.",
    "Is MQTT__PORT one for MQTT 5, and is it one with TLS (MQTT__TLS=1) or without?",
)
REFUSED = (
    "Compare the account and its password with the broker's; EMQX asks the web server about them, "
    "which has to run."
)


class Answer(NamedTuple):
    """What the broker said first, and by which certificate it is known."""

    packet: Packet | BadFrame | None
    certificate: dict[str, Any] | None


def accounts() -> Iterator[Finding]:
    """With each of the platform's accounts; under other client ids than those that are at work,
    whose sessions go on."""
    known: dict[str | None, Service] = {}
    for service in services():
        known.setdefault(session_options(service)["username"], service)
    for name, service in known.items():
        who = f"{place()} as “{name}”" if name else place()
        try:
            answer = ask(service)
        except (OSError, ValueError) as error:
            yield not_reached(error)
            return
        refusal = refused(answer.packet)
        if refusal:
            advice = REFUSED if isinstance(answer.packet, ConnAckPacket) else SILENT[1]
            yield problem("broker", f"{who}: {refusal}", advice)
        elif isinstance(answer.packet, ConnAckPacket):
            yield from granted(answer.packet, who)
        if service is next(iter(known.values())) and answer.certificate:
            yield certificate(answer.certificate)


def place() -> str:
    return f"{settings.MQTT_HOST}:{settings.MQTT_PLATFORM_PORT}"


def ask(service: Service) -> Answer:
    """Connect as the ingestor does, hear what the broker says, and leave nothing behind."""
    options = session_options(service)
    password = options["password"]
    connect = ConnectPacket(
        f"{service.client_id}-doctor-{secrets.token_hex(4)}",
        username=options["username"],
        password=None if password is None else password.encode(),
        clean_start=True,
        keep_alive=30,
        session_expiry_interval=WEEK,
    )
    with connection(options) as broker:
        broker.sendall(connect.write())
        packet = first_packet(broker)
        if isinstance(packet, ConnAckPacket) and not refused(packet):
            broker.sendall(DisconnectPacket(session_expiry_interval=0).write())
        known_by = broker.getpeercert() if isinstance(broker, ssl.SSLSocket) else None
    return Answer(packet, known_by)


def connection(options: dict[str, Any]) -> socket.socket:
    plain = socket.create_connection((options["host"], options["port"]), timeout=SECONDS)
    if not options["tls"]:
        return plain
    try:
        tls: ssl.SSLSocket = options["tls"].wrap_socket(plain, server_hostname=options["host"])
    except OSError:
        plain.close()
        raise
    return tls


def first_packet(broker: socket.socket) -> Packet | BadFrame | None:
    """None if the broker ends the connection instead."""
    reader = FrameReader()
    while data := broker.recv(65_536):
        for packet in reader.feed(data):
            return packet
    return None


def not_reached(error: Exception) -> Finding:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"The broker's certificate at {place()} is not trusted: {error.verify_message}."
        advice = "Renew it, or set MQTT__CA to the authority that signed it; see docs/https.md."
        return problem("certificate", said, advice)
    if isinstance(error, TimeoutError):
        said, advice = SILENT
        return problem("broker", f"{place()}: {said}", advice)
    advice = "Does it run, and are MQTT__HOST, MQTT__PORT and MQTT__TLS right?"
    return problem("broker", f"{place()} cannot be reached: {error}", advice)


def refused(packet: Packet | BadFrame | None) -> str:
    """Why we are not let in; empty if we are."""
    if packet is None:
        return "It ended the connection without an answer."
    if not isinstance(packet, ConnAckPacket):
        return "It answers something else than MQTT 5."
    if packet.reason_code == ConnAckReasonCode.SUCCESS:
        return ""
    return f"It refuses us: {packet.reason_str or packet.reason_code.name}."


def granted(connack: ConnAckPacket, who: str) -> Iterator[Finding]:
    """What it grants a session, as the ingestor needs it to lose nothing."""
    kept = connack.session_expiry_interval
    kept = WEEK if kept is None else kept
    largest = connack.max_packet_size
    troubles = list(lacking(connack, kept, largest))
    size = filesizeformat(largest) if largest else "any size"
    said = f"{who} lets us in: sessions for {kept / 86_400:g} days, packets of {size}."
    yield from troubles or [ok("broker", said.replace("\xa0", " "))]


def lacking(connack: ConnAckPacket, kept: int, largest: int | None) -> Iterator[Finding]:
    if connack.max_qos == QoS.AT_MOST_ONCE:
        said = "It knows only QoS 0: messages are lost whenever the ingestor is away."
        yield problem("broker", said, "Have it allow QoS 1.")
    if not connack.wildcard_subscription_available:
        said = "It allows no wildcards, by which the ingestor hears all devices."
        yield problem("broker", said, "Have it allow subscriptions with + (EMQX: mqtt.wildcard_…).")
    if kept < WEEK:
        make = problem if kept == 0 else warning
        said = (
            f"It keeps a session for {kept} seconds only: what comes later while the ingestor is "
        )
        yield make(
            "broker", f"{said}away is lost.", "Raise its limit for session expiry to a week."
        )
    if not connack.retain_available:
        said = (
            "It keeps no retained messages: whether devices are online is not known after a start."
        )
        yield warning("broker", said, "Have it allow retained messages.")
    if connack.receive_max < FEW:
        said = f"It takes {connack.receive_max} commands at a time, so they leave slowly."
        yield warning(
            "broker", said, "Raise its receive maximum (Mosquitto: max_inflight_messages)."
        )
    wanted = {"MAX_COMMAND": settings.MAX_COMMAND, "MAX_PAYLOAD": settings.MAX_PAYLOAD}
    for name, size in wanted.items():
        if largest and largest < size + AROUND:
            said = f"Its largest packet is {largest} bytes, less than {name} ({size}) takes."
            advice = f"Raise it to {size + AROUND} bytes, or lower {name}."
            yield warning("broker", said, advice)


def certificate(known_by: dict[str, Any]) -> Finding:
    days = (ssl.cert_time_to_seconds(known_by["notAfter"]) - time.time()) / 86_400
    said = f"The broker's is good for {days:.0f} days."
    if days < SOON_DAYS:
        make = problem if days < NOW_DAYS else warning
        return make("certificate", said, "Renew it, and have the broker load it: docs/https.md.")
    return ok("certificate", said)


def management() -> Iterator[Finding]:
    """EMQX's API, by which devices are put off; other brokers have none."""
    if settings.MQTT_ACCESS != "emqx":
        return
    try:
        next(live_clients(), None)
    except EmqxError as error:
        advice = "Until then a device that is switched off stays connected; see docs/emqx.md."
        yield problem("EMQX", str(error), advice)
    else:
        yield ok("EMQX", "Its API takes our key.")
