"""What is said of the broker, the e-mail server and of who can read secrets."""

import asyncio
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mqtt5
import pytest
from django.core import checks

from devices.mqtt.session import Session
from iotplatform.doctor import broker, mail, secret
from iotplatform.doctor.finding import Finding, State, ok
from iotplatform.embedded import Broker
from tests.devices.alerts import servers
from tests.devices.brokers.fleet import SERVICES
from tests.devices.mqtt.clients import Peer, ScriptedBroker, new_session, running
from tests.iotplatform.doctor.test_examination import silent_server
from tests.servers import Mosquitto, free_pair, free_port

OK, WARNING, PROBLEM = State.OK, State.WARNING, State.PROBLEM
INGEST, DISPATCH = SERVICES["ingestor@platform"], SERVICES["dispatcher@platform"]


@pytest.fixture
def platform(settings: Any) -> Any:
    """A platform without accounts at its broker, which `at` leads to."""
    settings.MQTT_HOST, settings.MQTT_USERNAME = "127.0.0.1", ""
    settings.MQTT_INGEST_PASSWORD = settings.MQTT_DISPATCH_PASSWORD = ""
    settings.MQTT_TLS, settings.MQTT_CA = False, ""
    settings.MAX_PAYLOAD, settings.MAX_COMMAND = 256 * 1024, 16 * 1024
    return settings


def states(found: Iterable[Finding]) -> list[tuple[str, State]]:
    found = list(found)
    assert all(bool(each.advice) == (each.state is not OK) for each in found)
    return [(each.subject, each.state) for each in found]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Mosquitto that knows the platform's accounts."""
    with Mosquitto(tmp_path_factory.mktemp("broker"), users=SERVICES) as server:
        yield server


@pytest.mark.mosquitto
def test_both_accounts_are_tried_while_the_sessions_of_others_go_on(
    platform: Any, known: Mosquitto
) -> None:
    platform.MQTT_PLATFORM_PORT = known.port
    platform.MQTT_INGEST_PASSWORD, platform.MQTT_DISPATCH_PASSWORD = INGEST, DISPATCH

    async def look() -> tuple[list[Finding], Session]:
        options = {"username": "ingestor@platform", "password": INGEST}
        session = new_session(known, client_id="iotplatform-ingest", **options)
        async with running(session):
            await session.wait_until_connected()
            found = await asyncio.to_thread(lambda: list(broker.accounts()))
            assert session.connected
        return found, session

    found, session = asyncio.run(look())
    assert states(found) == [("broker", OK), ("broker", OK)]
    assert session.reconnects == 0
    assert "ingestor@platform" in found[0].said
    assert "sessions for 7 days" in found[0].said


@pytest.mark.mosquitto
def test_an_account_that_the_broker_does_not_know_is_named(platform: Any, known: Mosquitto) -> None:
    platform.MQTT_PLATFORM_PORT = known.port
    platform.MQTT_INGEST_PASSWORD, platform.MQTT_DISPATCH_PASSWORD = INGEST, "wrong-4711"
    found = list(broker.accounts())
    assert states(found) == [("broker", OK), ("broker", PROBLEM)]
    assert "dispatcher@platform" in found[1].said
    assert "NOT_AUTHORIZED" in found[1].said
    assert "wrong-4711" not in str(found)


@pytest.mark.mosquitto
def test_a_certificate_that_ends_soon_or_is_not_trusted_is_said(
    platform: Any, tmp_path: Path
) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "10",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    lines = [f"certfile {tmp_path}/cert.pem", f"keyfile {tmp_path}/key.pem"]
    with Mosquitto(tmp_path, config=lines) as server:
        platform.MQTT_PLATFORM_PORT, platform.MQTT_TLS = server.port, True
        (untrusted,) = broker.accounts()
        platform.MQTT_CA = str(tmp_path / "cert.pem")
        found = list(broker.accounts())
        platform.MQTT_TLS = False
        (plain,) = broker.accounts()
    assert (untrusted.subject, untrusted.state) == ("certificate", PROBLEM)
    assert "MQTT__CA" in untrusted.advice
    assert states(found) == [("broker", OK), ("certificate", WARNING)]
    assert "10 days" in found[1].said
    assert plain.state == PROBLEM


@pytest.mark.parametrize(("days", "state"), [(2, PROBLEM), (20, WARNING), (90, OK)])
def test_how_grave_it_is_that_a_certificate_ends(
    days: int, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_by = {"notAfter": "Jan 31 12:00:00 2030 GMT"}
    now = ssl.cert_time_to_seconds(known_by["notAfter"]) - days * 86_400
    monkeypatch.setattr(broker, "time", SimpleNamespace(time=lambda: now))
    assert broker.certificate(known_by).state == state


def test_the_embedded_broker_lets_us_in_and_goes_on(platform: Any, tmp_path: Path) -> None:
    server = Broker(tmp_path, free_pair())
    with server.running():
        platform.MQTT_PLATFORM_PORT = server.platform_port
        for _ in range(2):
            assert states(broker.accounts()) == [("broker", OK)]


@pytest.mark.parametrize(
    ("grant", "words"),
    [
        ({}, []),
        ({"session_expiry_interval": 3600}, ["3600 seconds"]),
        ({"max_qos": mqtt5.QoS.AT_MOST_ONCE}, ["QoS 0"]),
        ({"retain_available": False}, ["retained"]),
        ({"wildcard_subscription_available": False}, ["wildcards"]),
        ({"receive_max": 1}, ["1 commands"]),
        ({"max_packet_size": 100_000}, ["MAX_PAYLOAD"]),
        ({"max_packet_size": 1000}, ["MAX_COMMAND", "MAX_PAYLOAD"]),
    ],
)
def test_what_a_broker_does_not_grant_is_said(
    grant: dict[str, Any], words: list[str], platform: Any
) -> None:
    found = list(broker.granted(mqtt5.ConnAckPacket(**grant), "the broker"))
    assert all(word in each.said for word, each in zip(words, found, strict=bool(words)))
    assert (found[0].state is OK) == (not words)


def test_what_the_doctor_leaves_at_a_broker_is_nothing(platform: Any) -> None:
    heard: list[Any] = []

    async def listen(peer: Peer) -> None:
        heard.extend([await peer.accept(), await peer.read()])

    async def look() -> None:
        async with ScriptedBroker(listen) as server:
            platform.MQTT_PLATFORM_PORT = server.port
            assert states(await asyncio.to_thread(lambda: list(broker.accounts())))[0][1] is OK

    asyncio.run(look())
    connect, disconnect = heard
    assert connect.client_id.startswith("iotplatform-ingest-doctor-")
    assert connect.clean_start
    assert disconnect.session_expiry_interval == 0


def test_a_broker_that_is_none_says_so_in_time(
    platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "SECONDS", 0.1)
    with silent_server() as platform.MQTT_PLATFORM_PORT:
        (silent,) = broker.accounts()
    assert "no answer" in silent.said
    platform.MQTT_PLATFORM_PORT = free_port()
    (away,) = broker.accounts()
    assert "cannot be reached" in away.said
    with servers.mail() as server:
        platform.MQTT_PLATFORM_PORT = server.port
        (other,) = broker.accounts()
    assert states([silent, away, other]) == [("broker", PROBLEM)] * 3


def test_the_api_of_emqx_is_asked_where_there_is_one(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MQTT_ACCESS = "open"
    assert not list(broker.management())
    settings.MQTT_ACCESS, settings.EMQX_API_SECRET = "emqx", "s3cret-4711"
    settings.EMQX_API_URL = f"http://127.0.0.1:{free_port()}/api/v5"
    (away,) = broker.management()
    assert away.state == PROBLEM
    assert "EMQX cannot be reached" in away.said
    assert "s3cret-4711" not in str(away)
    monkeypatch.setattr(broker, "live_clients", lambda: iter([]))
    assert states(broker.management()) == [("EMQX", OK)]


def test_the_e_mail_server_is_asked_to_let_us_in(settings: Any) -> None:
    settings.EMAIL = {}
    assert states(mail.server()) == [("e-mail", OK)]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL = {"EMAIL_HOST": "127.0.0.1"}
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    assert states(mail.server()) == [("e-mail", PROBLEM)]
    with servers.mail() as server:
        settings.EMAIL_PORT = server.port
        assert states(mail.server()) == [("e-mail", OK)]
    assert not server.letters


def test_files_with_secrets_that_others_can_read_are_named(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEBUG, settings.LOCAL_DIR = True, tmp_path
    monkeypatch.setattr(secret, "BASE_DIR", tmp_path)
    monkeypatch.setattr(secret.env.ENVIRON, "files_cache", {"JWT_SECRET": ""})
    handed = tmp_path / "jwt"
    monkeypatch.setenv("JWT_SECRET_FILE", str(handed))
    for file in (handed, tmp_path / ".env", tmp_path / "secret_key"):
        file.touch(0o600)
    (fine,) = secret.files()
    assert states([fine]) == [("secrets", OK)]
    assert all(str(tmp_path / name) in fine.said for name in (".env", "jwt", "secret_key"))
    handed.chmod(0o644)
    (tmp_path / ".env").chmod(0o604)
    assert states(secret.files()) == [("secrets", WARNING)] * 2
    monkeypatch.setattr(secret, "HANDED_OUT", tmp_path)
    assert [each.advice for each in secret.files()] == [f"chmod o-rwx {tmp_path}/.env"]
    # As in a container.
    settings.DEBUG = False
    (tmp_path / ".env").unlink()
    (unseen,) = secret.files()
    assert unseen == ok("secrets", secret.NOT_SEEN)


def test_what_check_says_is_a_finding(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_checks(*, include_deployment_checks: bool) -> list[Any]:
        return [
            checks.Error("Too short.\nReally.", hint="Make one.", id="iotplatform.E010"),
            checks.Warning("Odd.", hint="See there.", id="iotplatform.W001"),
            checks.Warning("Known.", id="auth.W004"),
        ] * include_deployment_checks

    monkeypatch.setattr(checks, "run_checks", run_checks)
    settings.DEBUG = False
    found = list(secret.configuration())
    assert states(found) == [("configuration", PROBLEM), ("configuration", WARNING)]
    assert found[0].said == "Too short. (iotplatform.E010)"
    settings.DEBUG, settings.DATABASE_URL = True, ""
    assert states(secret.configuration()) == [("configuration", OK)]
    settings.DATABASE_URL = "postgresql://…"
    assert states(secret.configuration()) == [("configuration", WARNING)]
