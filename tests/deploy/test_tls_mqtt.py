"""Devices by MQTTS: through the proxy, and at Mosquitto's own listener, with the real platform."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import paho.mqtt.client as paho
import pytest
from django.db import connection
from django.test import override_settings

from devices.brokers.sync import mosquitto_file
from devices.commands.sending import Order, send
from devices.credentials.issuing import issue
from devices.models import Device
from telemetry.models import Telemetry
from tests import cast as people
from tests.acceptance.ledger import wait_until
from tests.acceptance.processes import Process
from tests.deploy.tls import HOST, Certificates, Nginx, database_url, mosquitto, serial_at
from tests.devices.brokers.fleet import SERVICES
from tests.iotplatform.processes import environment

pytestmark = [pytest.mark.nginx, pytest.mark.mosquitto, pytest.mark.django_db]

PASSWORDS = {
    "MQTT_INGEST_PASSWORD": SERVICES["ingestor@platform"],
    "MQTT_DISPATCH_PASSWORD": SERVICES["dispatcher@platform"],
}


class Sensor:
    """A device that trusts the authority, as docs/https.md has it."""

    def __init__(self, uid: str, token: str, ca: Any, port: int) -> None:
        self.topic = f"t0/devices/{uid}"
        self.commands: list[dict[str, Any]] = []
        self.disconnects = 0
        self._subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=uid)
        self._client.username_pw_set(uid, token)
        self._client.tls_set(ca_certs=str(ca))
        self._client.on_message = lambda *told: self.commands.append(json.loads(told[2].payload))
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_disconnect = self._on_disconnect
        self._client.on_connect = lambda *_: self._client.subscribe(f"{self.topic}/commands", 1)
        self._client.connect(HOST, port)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def _on_disconnect(self, *_: object) -> None:
        self.disconnects += 1

    def publish(self, msg_id: str) -> None:
        body = json.dumps({"msg_id": msg_id, "temp": 21.5})
        self._client.publish(f"{self.topic}/telemetry", body, qos=1).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, cast_of_all: Any
) -> Iterator[SimpleNamespace]:
    """Mosquitto, the proxy before it, ingestor and dispatcher by TLS, and two devices' tokens."""
    directory = tmp_path_factory.mktemp("site")
    with override_settings(MQTT_ACCESS="mosquitto", **PASSWORDS), ExitStack() as servers:
        devices = [cast_of_all.device, people.device("dev-02", cast_of_all.t0)]
        tokens = {each.credential.device.device_uid: each.token for each in issue(devices, None)}
        mosquitto_file(directory / "dynamic-security.json", dry_run=False)
        plain, encrypted = servers.enter_context(mosquitto(directory, certificates, directory))
        proxy = servers.enter_context(Nginx(directory, certificates, broker=plain).running())
        site = SimpleNamespace(
            proxy=proxy, encrypted=encrypted, cast=cast_of_all, tokens=tokens, directory=directory
        )
        for command in ("run_ingestor", "run_dispatcher"):
            process = platform(directory, command, certificates, encrypted)
            servers.callback(process.stop)
            process.wait_until_connected()
        yield site
    connection.close()


def platform(directory: Any, command: str, certificates: Certificates, port: int) -> Process:
    variables = environment(
        DATABASE_URL=database_url(),
        DEBUG="1",
        LOCAL_DIR=str(directory),
        MQTT__HOST=HOST,
        MQTT__PORT=str(port),
        MQTT__TLS="1",
        MQTT__CA=str(certificates.ca),
        MQTT__ACCESS="mosquitto",
        **{name.replace("MQTT_", "MQTT__", 1): value for name, value in PASSWORDS.items()},
    )
    return Process(directory / f"{command}.log", variables, "manage.py", command)


@pytest.fixture
def sensor(site: SimpleNamespace, certificates: Certificates) -> Iterator[Sensor]:
    sensor = Sensor("dev-01", site.tokens["dev-01"], certificates.ca, site.proxy.mqtts)
    yield sensor
    sensor.close()


def is_stored(msg_id: str) -> bool:
    return Telemetry.objects.filter(msg_id=msg_id).exists()


def order_a_reboot(device: Device) -> None:
    """For a thread of its own: what a test itself writes nobody else sees."""
    send(Order("reboot", {}), device, None)
    connection.close()


def test_a_reading_goes_through_the_proxy_and_a_command_comes_back(site, sensor):
    sensor.publish("a")
    wait_until(lambda: is_stored("a"), "the reading")
    with ThreadPoolExecutor(1) as apart:
        apart.submit(order_a_reboot, site.cast.device).result()
    wait_until(lambda: sensor.commands, "the command")
    assert sensor.commands[0]["cmd"] == "reboot"


def test_a_renewed_certificate_is_taken_up_and_no_device_notices(site, sensor, certificates):
    before = serial_at(site.proxy.mqtts, certificates.trust)
    assert "A new certificate" in certificates.make("--renew").stdout
    for port in (site.proxy.mqtts, site.proxy.https):
        wait_until(lambda at=port: serial_at(at, certificates.trust) != before, "the new one")
    sensor.publish("after the renewal")
    wait_until(lambda: is_stored("after the renewal"), "a reading by the old connection")
    assert sensor.disconnects == 0


def test_a_certificate_that_does_not_fit_changes_nothing(site, sensor, certificates):
    # Of the file: just after a renewal a worker with the one before it may answer once more.
    before = certificates.serial
    key = certificates.server / "privkey.pem"
    fitting = key.read_bytes()
    key.write_bytes((certificates.authority / "ca-key.pem").read_bytes())
    wait_until(lambda: "key values mismatch" in site.proxy.log.read_text(), "a word about it")
    assert serial_at(site.proxy.mqtts, certificates.trust) == before
    key.write_bytes(fitting)


@pytest.mark.parametrize("port", ["proxy", "listener of its own"])
def test_a_message_by_mosquitto_pub_is_stored(site, certificates, port):
    where = site.proxy.mqtts if port == "proxy" else site.encrypted
    assert mosquitto_pub(site, where, port, "--cafile", str(certificates.ca)) == ""
    wait_until(lambda: is_stored(port), "the reading")


@pytest.mark.parametrize("port", ["proxy", "listener of its own"])
def test_a_device_that_does_not_know_the_authority_sends_nothing(site, port):
    where = site.proxy.mqtts if port == "proxy" else site.encrypted
    said = mosquitto_pub(site, where, f"not {port}", "--tls-use-os-certs")
    assert "A TLS error occurred" in said


def mosquitto_pub(site: SimpleNamespace, port: int, msg_id: str, *trust: str) -> str:
    """As in docs/https.md; what it says."""
    uid = "dev-02"
    who = ["-i", uid, "-u", uid, "-P", site.tokens[uid], "-t", f"t0/devices/{uid}/telemetry"]
    what = ["-q", "1", "-m", json.dumps({"msg_id": msg_id, "temp": 20})]
    command = ["mosquitto_pub", "-h", HOST, "-p", str(port), *trust, *who, *what]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20,
        check=False, env=dict(os.environ),
    ).stdout  # fmt: skip
