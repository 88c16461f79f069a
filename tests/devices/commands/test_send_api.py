"""POST /devices/{device_uid}/command: what is taken, what is refused, what a key is good for."""

import json
from datetime import datetime, timedelta

import pytest
from django.contrib.contenttypes.models import ContentType

from devices.commands.serializers import CommandSentSerializer
from devices.models import Command, Device
from tests import cast as people
from tests.cast import api
from tests.devices.commands.test_sending import in_threads
from tests.queries import queries_of

URL = "/devices/dev-01/command"
REBOOT = {"cmd": "reboot", "params": {"delay": 5}}


def send(user, key=None, url=URL, **body):
    headers = {} if key is None else {"Idempotency-Key": key}
    return api(user).post(url, body or REBOOT, headers=headers)


def errors_of(answer) -> dict[str, str]:
    """Field → what is wrong, of an answer that is a 400."""
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    return {error["field"]: error["detail"] for error in answer.json()["errors"]}


def refusal(answer) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["detail"]


def test_a_command_is_accepted_and_answered_with_all_that_is_known_of_it(cast):
    answer = send(cast.operator)
    made = Command.objects.get()
    assert (answer.status_code, answer["Content-Type"]) == (202, "application/json")
    assert answer["Location"] == f"http://testserver/commands/{made.id}"
    command = answer.json()
    for name in ("created_at", "expires_at"):
        assert datetime.fromisoformat(command.pop(name)) == getattr(made, name)
    empty = ["reason", "batch", "claimed_at", "sent_at", "acknowledged_at", "finished_at"]
    assert command == {
        "ok": True,
        "id": str(made.id),
        "device_uid": "dev-01",
        "cmd": "reboot",
        "params": {"delay": 5},
        "status": "queued",
        "issued_by": "operator@t0.example",
        "is_late": False,
        **dict.fromkeys([*empty, "reply", "result", "error"]),
    }


def test_the_description_has_every_field_of_the_answer(cast):
    assert send(cast.operator).json().keys() == CommandSentSerializer().fields.keys()


@pytest.mark.parametrize("body", [{"cmd": "reboot"}, {"cmd": "reboot", "params": None}])
def test_what_the_service_before_took_is_taken(cast, body):
    answer = send(cast.operator, **body)
    assert (answer.status_code, answer.json()["ok"]) == (202, True)
    assert answer.json()["params"] == {}


@pytest.mark.parametrize("seconds", [1, 3600, 30 * 86_400])
def test_a_command_lives_as_long_as_is_asked_for(cast, seconds):
    send(cast.operator, cmd="reboot", expires_in=seconds)
    made = Command.objects.get()
    assert made.expires_at - made.created_at == timedelta(seconds=seconds)


def test_a_command_lives_for_a_day_if_nothing_is_said(cast):
    send(cast.operator)
    made = Command.objects.get()
    assert made.expires_at - made.created_at == timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("cmd", "", "blank"),
        ("cmd", " ", "Say what"),
        ("cmd", "reboot ", "spaces"),
        ("cmd", "x" * 65, "64"),
        ("cmd", "re\nboot", "printed"),
        ("cmd", 5, "quotes"),
        ("cmd", None, "null"),
        ("params", [], "object"),
        ("params", "x", "object"),
        ("params", {"n": 1e-300}, "numbers"),
        ("params", {"n": 12345678901234567890123}, "64 bits"),
        ("params", {"n": json.loads("[" * 61 + "]" * 61)}, "60"),
        ("expires_in", 0, "1"),
        ("expires_in", -1, "1"),
        ("expires_in", 30 * 86_400 + 1, "2592000"),
        ("expires_in", 1.5, "whole number"),
        ("expires_in", 5.0, "whole number"),
        ("expires_in", "60", "whole number"),
        ("expires_in", "soon", "whole number"),
        ("expires_in", True, "whole number"),
        ("expires_in", None, "null"),
        ("parms", {}, "Possible: cmd, expires_in, params"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(cast, name, value, hint):
    errors = errors_of(send(cast.operator, **REBOOT | {name: value}))
    assert errors.keys() == {name}
    assert hint in errors[name]
    assert not Command.objects.exists()


def test_a_command_has_to_say_what_to_do(cast):
    assert errors_of(send(cast.operator, params={})).keys() == {"cmd"}


def test_what_the_body_cannot_hold_anywhere_it_cannot_hold_here(cast):
    body = '{"cmd": "say", "params": {"text": "\\u0000"}}'
    answer = api(cast.operator).post(URL, body, content_type="application/json")
    assert refusal(answer)[0] == 400


def test_a_parameter_is_refused_as_everywhere(cast):
    errors = errors_of(send(cast.operator, url=f"{URL}?dry_run=true"))
    assert errors == {"dry_run": "There is no such parameter. Possible: none."}


def test_a_command_that_is_too_large_says_how_large_it_may_be(cast, settings):
    settings.MAX_COMMAND = 100
    errors = errors_of(send(cast.operator, cmd="say", params={"text": "é" * 60}))
    assert errors["params"] == "The command has 141 bytes where 100 are allowed."


def test_a_disabled_device_is_409_with_what_to_do(cast):
    Device.objects.update(is_enabled=False)
    assert refusal(send(cast.operator)) == (409, "dev-01 is disabled. Enable it first.")


def test_a_full_queue_is_409_with_what_to_do(cast, settings):
    settings.COMMAND_QUEUE = 1
    send(cast.operator)
    status, detail = refusal(send(cast.operator))
    assert status == 409
    assert detail.endswith("or cancel some.")


def test_too_many_a_minute_are_429_and_told_when_to_come_back(cast, settings):
    settings.COMMAND_RATE = 1
    send(cast.operator)
    answer = send(cast.operator)
    assert refusal(answer)[0] == 429
    assert "No more than 1 commands a minute" in refusal(answer)[1]
    assert 50 < int(answer["Retry-After"]) <= 60


@pytest.mark.parametrize("uid", ["foreign-01", "nowhere"])
def test_a_device_of_others_is_no_device(cast, uid):
    status, detail = refusal(send(cast.operator, url=f"/devices/{uid}/command"))
    assert (status, detail) == (404, "There is no such thing, or you may not see it.")


def test_a_deleted_device_gets_no_command(cast):
    Device.objects.all().retire()
    assert send(cast.operator).status_code == 404


def test_a_viewer_sends_nothing(cast):
    assert send(cast.viewer).status_code == 403
    assert not Command.objects.exists()


def test_staff_send_to_devices_of_every_tenant(cast):
    assert send(cast.staff, url="/devices/foreign-01/command").status_code == 202
    assert Command.objects.get().tenant == cast.other


def test_a_request_that_comes_again_with_its_key_is_not_carried_out_again(cast):
    first, again = send(cast.operator, "key-1"), send(cast.operator, "key-1")
    assert (first.status_code, again.status_code) == (202, 202)
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert again["Location"] == first["Location"]
    assert again.json() == first.json()
    assert Command.objects.count() == 1


def test_what_comes_again_shows_how_far_the_command_is_now(cast):
    send(cast.operator, "key-1")
    Command.objects.update(status="sent", sent_at="2026-01-14T12:00:00Z")
    assert send(cast.operator, "key-1").json()["status"] == "sent"


@pytest.mark.parametrize(
    "other", [{"cmd": "stop"}, REBOOT | {"params": {}}, REBOOT | {"expires_in": 60}]
)
def test_a_key_for_something_else_is_422_with_what_to_do(cast, other):
    send(cast.operator, "key-1")
    answer = send(cast.operator, "key-1", **other)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert "Make a new key" in answer.json()["detail"]


def test_without_a_key_a_request_that_comes_again_is_another_command(cast):
    send(cast.operator)
    send(cast.operator)
    assert Command.objects.count() == 2


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256, "tab\t", "one,two"])
def test_a_key_that_is_none_is_refused(cast, key):
    errors = errors_of(send(cast.operator, key))
    assert "Give one key, of 1 to 255 visible characters of ASCII" in errors["Idempotency-Key"]


@pytest.mark.parametrize(
    "key", ["!", "~" * 255, '"a"', "+-.", "8e03978e-40d5-43dd-bc93-6894a57f9324"]
)
def test_any_visible_ascii_is_a_key(cast, key):
    assert send(cast.operator, key).status_code == 202
    assert Command.objects.get().idempotency_key == key


def test_of_four_requests_with_one_key_at_one_moment_one_sends(transactional_db):
    cast = people.cast()
    answers = in_threads(*[lambda: send(cast.operator, "key-1")] * 4)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == Command.objects.count() == 1
    assert len([answer for answer in answers if "Idempotency-Replayed" in answer]) == 3


def test_of_those_who_fill_a_queue_at_one_moment_the_last_are_refused(transactional_db, settings):
    settings.COMMAND_QUEUE = 2
    cast = people.cast()
    answers = in_threads(*[lambda: send(cast.operator)] * 4)
    assert sorted(answer.status_code for answer in answers) == [202, 202, 409, 409]


def test_sending_costs_the_same_however_many_are_open(cast):
    app = api(cast.operator)
    ContentType.objects.get_for_model(Command)  # Kept by a process that has asked for it once.
    few = queries_of(app, URL, "post", **REBOOT)
    for _ in range(20):
        people.command(cast.device)
    assert len(queries_of(app, URL, "post", **REBOOT)) == len(few) <= 15
