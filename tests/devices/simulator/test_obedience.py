"""Each command once, whatever comes; without a network."""

import json

import pytest

from devices.simulator.commands import REMEMBERED, CannotObey, Obedience, number


class Device:
    """Counts how often it danced; what it published last is at the end."""

    def __init__(self):
        self.dances = 0
        self.published = []
        self.obedience = Obedience("dev-01", {"dance": self.dance}, self.published.append)

    def dance(self, command_id, params):
        if "music" not in params:
            raise CannotObey("There is no music.")
        self.dances += 1
        self.obedience.reply(command_id, "ok", result={"dances": self.dances})

    def take(self, body):
        self.obedience.take(json.dumps(body).encode())
        return json.loads(self.published[-1])


@pytest.fixture
def device():
    return Device()


def dance(command_id, **params):
    return {"id": command_id, "cmd": "dance", "params": params}


def test_a_command_is_carried_out_and_answered_under_its_id(device):
    reply = device.take(dance("a", music="tango"))
    assert reply == {"id": "a", "status": "ok", "result": {"dances": 1}}


def test_a_command_that_comes_again_is_answered_again_and_not_carried_out_again(device):
    first = device.take(dance("a", music="tango"))
    device.take(dance("b", music="waltz"))
    assert device.take(dance("a", music="tango")) == first
    assert device.dances == 2


def test_an_error_is_remembered_too(device):
    reply = device.take(dance("a"))
    assert reply == {"id": "a", "status": "error", "error": "There is no music."}
    assert device.take(dance("a", music="tango")) == reply
    assert device.dances == 0


def test_a_thousand_ids_are_remembered_and_no_more(device):
    for count in range(REMEMBERED):
        device.take(dance(f"{count}", music="tango"))
    device.take(dance("0", music="tango"))
    assert device.dances == REMEMBERED
    device.take(dance("new", music="tango"))
    device.take(dance("0", music="tango"))
    assert device.dances == REMEMBERED + 2


def test_an_unknown_command_is_answered_with_those_that_are_known(device):
    reply = device.take({"id": "a", "cmd": "sing"})
    assert reply["error"] == "Unknown command 'sing'. This device knows dance."


@pytest.mark.parametrize("cmd", [None, 7, ["dance"]])
def test_a_command_without_a_name_is_answered_as_unknown(device, cmd):
    assert device.take({"id": "a", "cmd": cmd})["error"].startswith("Unknown command")


def test_params_that_are_no_object_are_an_error(device):
    assert device.take({"id": "a", "cmd": "dance", "params": [1]})["error"].startswith("params")


@pytest.mark.parametrize(
    "body",
    [b"", b"dance", b"\xff", b"[]", b'"id"', b'{"cmd": "dance"}', b'{"id": 7}', b"[" * 100_000],
)
def test_what_has_no_id_is_dropped_and_logged(device, caplog, body):
    device.obedience.take(body)
    assert device.published == []
    assert "dropped a command" in caplog.text
    assert device.take(dance("a", music="tango"))["status"] == "ok"


@pytest.mark.parametrize("value", [None, "5", True, -1, 11, float("nan"), [5]])
def test_a_number_out_of_its_range_is_named_with_the_range(value):
    with pytest.raises(CannotObey, match="delay must be a number from 0 to 10"):
        number({"delay": value}, "delay", 0, 10)
