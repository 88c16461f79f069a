"""docs/enrolment.md: the device on it enrols, keeps what it is told, and waits as it is told to."""

import io
import json
import re
import urllib.request
from types import SimpleNamespace
from urllib.error import HTTPError, URLError

import pytest

from accounts import logins
from devices.enrolment import enrolling
from devices.models import Device
from tests import cast as people
from tests.test_structure import ROOT

PAGE = (ROOT / "docs" / "enrolment.md").read_text()
PROGRAM = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]


class Done(Exception):
    """The device would go on waiting."""


@pytest.fixture
def device(world, tmp_path, monkeypatch):
    """The program of the page, with the key of the world; `waits` are its pauses, of which the
    fourth is the last; `faults` are what happens to its first requests."""
    monkeypatch.chdir(tmp_path)
    program: dict = {}
    exec(PROGRAM, program)
    program["KEY"] = world.made.secret
    waits: list[float] = []
    faults: list[Exception] = []

    def urlopen(request, timeout):
        if faults:
            raise faults.pop(0)
        address = request.full_url.removeprefix("https://iot.example.com")
        answer = people.api(None).post(
            address, request.data, content_type=request.headers["Content-type"]
        )
        if answer.status_code >= 400:
            raise HTTPError(
                address, answer.status_code, "", answer.headers, io.BytesIO(answer.content)
            )
        return io.BytesIO(answer.content)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            raise Done

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(program["time"], "sleep", sleep)
    monkeypatch.setattr(program["random"], "uniform", lambda least, most: most)
    return SimpleNamespace(**program, program=program, waits=waits, faults=faults)


def test_it_enrols_once_and_keeps_what_it_is_told(device):
    told = device.identity()
    assert told["topics"]["telemetry"] == "t0/devices/dev-77/telemetry"
    assert device.identity() == told == json.loads(device.FILE.read_text())
    assert Device.objects.get(device_uid="dev-77").enrolment.count == 1
    assert device.FILE.stat().st_mode & 0o077 == 0


def test_it_asks_again_less_and_less_often_while_the_platform_is_away(device):
    device.faults.extend([URLError("away"), TimeoutError(), ConnectionResetError()])
    assert device.identity()["username"] == "dev-77"
    assert device.waits == [1, 2, 4]


def test_it_waits_as_long_as_it_is_told(device, monkeypatch):
    monkeypatch.setattr(enrolling, "USES_A_WINDOW", 0)
    with pytest.raises(Done):
        device.identity()
    assert 55 <= device.waits[0] <= 60


def test_it_waits_for_people_where_only_they_can_help(device):
    device.program["KEY"] = "wrong"
    with pytest.raises(Done):
        device.identity()
    assert device.waits[0] == device.HOUR
    assert not device.FILE.exists()


def test_the_page_names_the_limits():
    said = " ".join(PAGE.split())
    of_pair, time = logins.FROM_ONE_ADDRESS_FOR_ONE_ACCOUNT
    assert f"{enrolling.USES_A_WINDOW} times a minute" in said
    minutes = time.seconds // 60
    assert f"{of_pair} attempts with one wrong key (401) within {minutes} minutes" in said
    assert f"or {logins.FROM_ONE_ADDRESS[0]} with any" in said


def test_the_page_has_every_answer():
    for code in ("wrong_key", "shut_out", "enrolment_off", "used_up", "conflict"):
        assert f"`{code}` |" in PAGE
