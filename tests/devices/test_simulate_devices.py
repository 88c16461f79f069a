"""`manage.py simulate_devices` as a process, towards both brokers: what does a client hear?"""

import contextlib
import json
import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as paho
import pytest
from django.core.management import CommandError, call_command

from devices.management.commands import simulate_devices
from devices.simulator.device import Faults
from iotplatform.embedded import Broker
from tests.servers import Mosquitto, free_pair

ROOT = Path(__file__).resolve().parents[2]

Heard = tuple[str, bytes]
"""(topic, payload)"""


class HasPort(Protocol):
    port: int


@pytest.fixture(
    params=["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)],
)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HasPort]:
    if request.param == "mosquitto":
        with Mosquitto(tmp_path) as mosquitto:
            yield mosquitto
        return
    embedded = Broker(tmp_path, free_pair())
    with embedded.running():
        yield embedded


@pytest.fixture
def ear(broker: HasPort) -> Iterator["queue.Queue[Heard]"]:
    """Everything that devices publish."""
    with listening(broker) as heard:
        yield heard


@contextlib.contextmanager
def listening(broker: HasPort, name: str = "ear") -> Iterator["queue.Queue[Heard]"]:
    """What a client hears whose session outlives its connections."""
    heard: queue.Queue[Heard] = queue.Queue()
    granted: queue.Queue[bool] = queue.Queue()
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, name, clean_session=False, protocol=paho.MQTTv311
    )
    client.on_message = lambda _, __, message: heard.put((message.topic, message.payload))
    client.on_connect = lambda *_: client.subscribe("+/devices/+/+", qos=1)
    client.on_subscribe = lambda *_: granted.put(True)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert granted.get(timeout=10)
    yield heard
    client.disconnect()
    client.loop_stop()


@contextlib.contextmanager
def simulator(broker: HasPort, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "manage.py", "simulate_devices", "--interval=0.01", *arguments],
        cwd=ROOT,
        env={**os.environ, "MQTT__HOST": "127.0.0.1", "MQTT__PORT": str(broker.port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        process.kill()


def simulate(broker: HasPort, *arguments: str) -> str:
    """Runs it to its end; its output."""
    with simulator(broker, *arguments) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


def everything(heard: "queue.Queue[Heard]", kind: str) -> list[bytes]:
    """All that was heard of one kind; the last offline of the only device says that it is all."""
    bodies: dict[str, list[bytes]] = {"telemetry": [], "status": []}
    while not any(b'"offline"' in body for body in bodies["status"]):
        topic, body = heard.get(timeout=10)
        bodies[topic.rsplit("/", 1)[1]].append(body)
    return bodies[kind]


def next_status(heard: "queue.Queue[Heard]") -> dict[str, Any]:
    while True:
        topic, body = heard.get(timeout=20)
        if topic.endswith("/status"):
            return dict(json.loads(body))


def test_every_device_sends_as_many_messages_as_asked(
    broker: HasPort, ear: "queue.Queue[Heard]"
) -> None:
    simulate(broker, "--devices=3", "--tenant=plant.1", "--prefix=pump", "--count=4")
    topics = [ear.get(timeout=10)[0] for _ in range(3 * (4 + 2))]
    for uid in ("pump-01", "pump-02", "pump-03"):
        assert topics.count(f"plant.1/devices/{uid}/telemetry") == 4


def test_readings_are_plausible_and_ids_are_new(broker: HasPort, ear: "queue.Queue[Heard]") -> None:
    simulate(broker, "--devices=1", "--count=50")
    readings = [json.loads(body) for body in everything(ear, "telemetry")]
    assert len({reading["msg_id"] for reading in readings}) == 50
    assert all(reading["msg_id"].split(":")[0] == readings[0]["msg_id"][:8] for reading in readings)
    assert all(5 < reading["temperature"] < 40 for reading in readings)
    assert all(30 < reading["humidity"] < 80 and reading["battery"] > 0 for reading in readings)


def test_a_second_start_uses_other_ids(broker: HasPort, ear: "queue.Queue[Heard]") -> None:
    boots = set()
    for _ in range(2):
        simulate(broker, "--devices=1", "--count=1")
        (body,) = everything(ear, "telemetry")
        boots.add(json.loads(body)["msg_id"].split(":")[0])
    assert len(boots) == 2


def test_duplicates_are_the_same_bytes_again(broker: HasPort, ear: "queue.Queue[Heard]") -> None:
    simulate(broker, "--devices=1", "--count=5", "--duplicates=1")
    bodies = everything(ear, "telemetry")
    assert len(bodies) == 10
    assert bodies[::2] == bodies[1::2]


def test_late_messages_are_an_hour_old(broker: HasPort, ear: "queue.Queue[Heard]") -> None:
    simulate(broker, "--devices=1", "--count=5", "--late=0.5")
    times = [json.loads(body)["ts"] for body in everything(ear, "telemetry")]
    assert len(times) == 5
    assert all(abs(time - times[0]) < 60 or abs(abs(time - times[0]) - 3600) < 60 for time in times)


def test_online_and_offline_are_retained_and_of_one_session(broker: HasPort) -> None:
    with listening(broker) as heard:
        simulate(broker, "--devices=1", "--count=1")
        online, offline = (json.loads(body) for body in everything(heard, "status"))
    assert (online["state"], offline["state"]) == ("online", "offline")
    assert online["session"] == offline["session"]
    with listening(broker, "somebody who comes later") as heard:
        assert next_status(heard) == offline


def test_sigterm_says_goodbye(broker: HasPort, ear: "queue.Queue[Heard]") -> None:
    with simulator(broker, "--devices=1") as process:
        assert next_status(ear)["state"] == "online"
        process.terminate()
        assert process.wait(timeout=20) == 0
    assert next_status(ear)["reason"] == "stopped"


def test_the_last_will_of_a_killed_device_names_its_session(
    broker: HasPort, ear: "queue.Queue[Heard]"
) -> None:
    with simulator(broker, "--devices=1") as process:
        online = next_status(ear)
        process.kill()
    offline = {"state": "offline", "session": online["session"], "reason": "connection lost"}
    assert next_status(ear) == offline


@pytest.mark.parametrize(
    "wrong",
    ["--devices=0", "--interval=-1", "--bad=1.5", "--tenant=a/b", "--prefix=a/b", "--count=some"],
)
def test_a_wrong_argument_is_named(wrong: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "simulate_devices", wrong],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert wrong.split("=")[0] in done.stderr


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Faults]:
    """The faults of the simulations that are started, which end at once."""
    faults: list[Faults] = []

    class Simulation:
        def __init__(self, *_: Any, **options: Any) -> None:
            faults.append(options["faults"])

        def run(self, _: int | None) -> int:
            return 0

    monkeypatch.setattr(simulate_devices, "Simulation", Simulation)
    monkeypatch.setattr(simulate_devices.signal, "signal", lambda *_: None)
    return faults


@pytest.mark.parametrize(
    ("arguments", "faults"),
    [
        ([], Faults()),
        (["--deaf"], Faults(deaf=1.0)),
        (["--deaf=0.3", "--slow=2", "--answer-twice"], Faults(deaf=0.3, slow=2, answer_twice=True)),
        (["--late=0.1", "--bad=0.2", "--duplicates=1"], Faults(late=0.1, bad=0.2, duplicates=1)),
    ],
)
def test_devices_have_the_faults_that_are_asked_for(
    asked: list[Faults], arguments: list[str], faults: Faults
) -> None:
    call_command("simulate_devices", *arguments)
    assert asked == [faults]


@pytest.mark.parametrize(
    "wrong", ["--deaf=2", "--slow=-1", "--slow=nan", "--bad=nan", "--url=127.0.0.1"]
)
def test_a_value_out_of_its_range_is_refused(asked: list[Faults], wrong: str) -> None:
    with pytest.raises(CommandError, match=wrong.split("=")[0]):
        call_command("simulate_devices", wrong)


def test_devices_without_their_tokens_are_not_begun_with(
    asked: list[Faults], tmp_path: Path
) -> None:
    file = tmp_path / "tokens.csv"
    file.write_text("device_uid,token\npump-01,5ec0\n")
    call_command("simulate_devices", "--prefix=pump", "--devices=1", f"--credentials={file}")
    with pytest.raises(CommandError, match=f"{file}: There is no token for pump-02"):
        call_command("simulate_devices", "--prefix=pump", "--devices=2", f"--credentials={file}")
    assert len(asked) == 1


def test_devices_enrol_before_they_connect(
    asked: list[Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled: list[Any] = []
    monkeypatch.setattr(simulate_devices, "enrol", lambda *given: enrolled.append(given) or {})
    call_command("simulate_devices", "--enrol=5ec0", "--url=http://iot.example", "--devices=1")
    assert enrolled == [("5ec0", "http://iot.example", "t0", ["dev-01"])]
    assert len(asked) == 1


@pytest.mark.mosquitto
def test_a_device_that_is_refused_says_so_and_the_others_go_on(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text('{"dev-01": "right", "dev-02": "wrong-one", "dev-03": "right"}')
    users = dict.fromkeys(("dev-01", "dev-02", "dev-03"), "right")
    with (
        Mosquitto(tmp_path, users=users) as broker,
        simulator(broker, "--devices=3", f"--credentials={file}") as process,
    ):
        assert process.stdout
        said = "".join(process.stdout.readline() for _ in range(3))
        process.terminate()
        # It does not wait for the broker to acknowledge what it refuses to take.
        process.wait(timeout=4)
    assert "dev-02: the broker refuses it" in said
    assert "dev-01: connected" in said
    assert "dev-03: connected" in said
    assert "wrong-one" not in said


@pytest.mark.mosquitto
def test_a_restart_of_the_broker_costs_no_message(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path, persistence=True) as broker,
        listening(broker) as heard,
        simulator(broker, "--devices=1", "--count=200") as process,
    ):
        sessions: set[str] = set()
        numbers: set[int] = set()
        while len(numbers) < 200:
            topic, body = heard.get(timeout=20)
            message = json.loads(body)
            if not topic.endswith("/status"):
                numbers.add(int(message["msg_id"].split(":")[1]))
                continue
            if not sessions:
                broker.restart()
            sessions.add(message["session"])
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(sessions) == 2
