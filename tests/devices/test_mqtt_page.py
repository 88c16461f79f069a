"""The devices that docs/mqtt.md has for pasting: that in Python works, that in C++ compiles."""

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import uuid
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from iotplatform import embedded
from tests.servers import Mosquitto, free_pair

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "mqtt.md").read_text()
HEADERS = Path(__file__).parent / "arduino"


def example(heading):
    """The code below a heading of the page."""
    return re.search(rf"^## {heading}\n.*?^```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[1]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = embedded.Broker(tmp_path_factory.mktemp("broker"), free_pair())
    with broker.running():
        yield broker


@pytest.fixture
def device(tmp_path, broker):
    """The device of the page, under a name of its own, in a folder that keeps its memory."""
    device = Device(tmp_path, tmp_path.name)
    device.write(broker.port)
    return device


class Device:
    def __init__(self, directory, uid):
        self.uid = uid
        self._directory = directory
        self.memory = directory / f"{uid}.json"

    def write(self, port, token=""):
        source = example("A device in Python")
        changes = {
            "1883": f"{port}",
            '"my-first"': f'"{self.uid}"',
            'TOKEN = ""': f'TOKEN = "{token}"',
        }
        for was, becomes in changes.items():
            assert source.count(was) == 1
            source = source.replace(was, becomes)
        (self._directory / "device.py").write_text(source)

    @contextlib.contextmanager
    def running(self):
        """Until the block ends and the power is cut."""
        command = [sys.executable, "device.py"]
        with subprocess.Popen(command, cwd=self._directory) as process:
            try:
                yield
            finally:
                process.kill()

    def interval(self):
        return json.loads(self.memory.read_text())["interval"]


@pytest.fixture
def platform(broker, device):
    with contextlib.closing(Platform(broker.port, f"t0/devices/{device.uid}")) as platform:
        yield platform


class Platform:
    """Whoever sends commands to the device and hears what it says."""

    def __init__(self, port, topic, password=None):
        self._topic = topic
        self._heard = queue.Queue()
        self._granted = queue.Queue()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, "platform", protocol=paho.MQTTv311
        )
        self._client.username_pw_set("platform", password)
        self._client.on_message = lambda _, __, message: self._heard.put(message)
        self._client.on_subscribe = lambda *_: self._granted.put(True)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(f"{topic}/+", qos=1)
        self._client.loop_start()
        self._granted.get(timeout=10)

    def send(self, command_id, cmd, **params):
        self.publish(json.dumps({"id": command_id, "cmd": cmd, "params": params}))

    def publish(self, body):
        self._client.publish(f"{self._topic}/commands", body, qos=1).wait_for_publish(10)

    def hear(self, kind):
        """The next message of that kind."""
        while True:
            message = self._heard.get(timeout=20)
            if message.topic.endswith(f"/{kind}"):
                return json.loads(message.payload)

    def wait_for(self, state):
        while (said := self.hear("status"))["state"] != state:
            pass
        return said["session"]

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


def new_id():
    return str(uuid.uuid4())


def test_the_device_in_python_executes_once_and_answers_each_time(device, platform):
    first, second = new_id(), new_id()
    with device.running():
        platform.wait_for("online")
        platform.send(first, "set_interval", seconds=0.5)
        reply = {"id": first, "status": "ok", "result": {"interval": 0.5}}
        assert platform.hear("replies") == reply
        platform.send(second, "set_interval", seconds=60)
        assert platform.hear("replies")["id"] == second
        platform.send(first, "set_interval", seconds=0.5)
        assert platform.hear("replies") == reply
    assert device.interval() == 60


def test_the_device_in_python_measures_at_its_pace(device, platform):
    with device.running():
        platform.wait_for("online")
        platform.send(new_id(), "set_interval", seconds=0.1)
        readings = [platform.hear("telemetry") for _ in range(4)]
    boots = {reading["msg_id"].split(":")[0] for reading in readings}
    assert len(boots) == 1
    assert readings[3]["ts"] - readings[2]["ts"] < 2


def test_the_device_in_python_says_what_is_wrong(device, platform):
    with device.running():
        platform.wait_for("online")
        platform.send(new_id(), "dance")
        assert "unknown command 'dance'" in platform.hear("replies")["error"]
        platform.send(new_id(), "set_interval", seconds="soon")
        assert platform.hear("replies")["status"] == "error"
        for delay in (-5, 1e10, "nan"):
            platform.send(new_id(), "reboot", delay=delay)
            assert platform.hear("replies")["error"] == "delay must be from 0 to 3600"
        platform.publish("no JSON")
        platform.send(new_id(), "set_interval")
        assert platform.hear("replies")["error"] == "seconds must be from 0.1 to 86400"


def test_the_device_in_python_reboots_once_and_says_so_after_it(device, platform):
    command_id = new_id()
    with device.running():
        before = platform.wait_for("online")
        platform.send(command_id, "reboot", delay=0)
        assert platform.hear("replies") == {"id": command_id, "status": "accepted"}
        after = platform.wait_for("online")
        assert platform.hear("replies") == {"id": command_id, "status": "ok"}
        platform.send(command_id, "reboot", delay=0)
        assert platform.hear("replies") == {"id": command_id, "status": "ok"}
        platform.send(new_id(), "set_interval", seconds=60)
        assert platform.hear("replies")["result"] == {"interval": 60}
    assert platform.wait_for("offline") == after != before


def test_the_device_in_python_survives_a_power_cut(device, platform):
    before, meanwhile = new_id(), new_id()
    with device.running():
        platform.wait_for("online")
        platform.send(before, "set_interval", seconds=30)
        platform.hear("replies")
    platform.wait_for("offline")
    platform.send(meanwhile, "set_interval", seconds=40)
    platform.send(before, "set_interval", seconds=30)
    replies = {}
    with device.running():
        while len(replies) < 2:
            reply = platform.hear("replies")
            replies[reply["id"]] = reply["result"]
    assert replies == {before: {"interval": 30}, meanwhile: {"interval": 40}}
    assert device.interval() == 40


def test_a_reply_that_the_broker_never_got_is_made_good_after_a_power_cut(device, platform):
    command_id = new_id()
    body = {"id": command_id, "status": "error", "error": "The valve is stuck."}
    replies = {command_id: {"body": body, "told": False}}
    device.memory.write_text(json.dumps({"interval": 60, "replies": replies}))
    with device.running():
        assert platform.hear("replies") == body


@pytest.mark.mosquitto
def test_the_device_in_python_shows_its_token(tmp_path):
    device = Device(tmp_path, "dev-01")
    users = {"platform": "ours", "dev-01": "its-token"}
    with Mosquitto(tmp_path, users=users) as broker:
        device.write(broker.port, "its-token")
        platform = Platform(broker.port, "t0/devices/dev-01", "ours")
        with contextlib.closing(platform), device.running():
            assert platform.wait_for("online")


@getattr(pytest.mark, "g++")
def test_the_device_in_cpp_compiles(tmp_path):
    """Against headers that declare what it uses, as the libraries do."""
    sketch = tmp_path / "device.cpp"
    sketch.write_text(example(r"A device in C\+\+, for Arduino"))
    command = ["g++", "-std=gnu++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run(
        [*command, "-I", str(HEADERS), str(sketch)],
        env=os.environ | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
