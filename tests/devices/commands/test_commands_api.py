"""Commands over the API: listed, read with their history, cancelled."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection

from devices.commands.cancelling import HAS_ENDED, WAS_CLAIMED
from devices.commands.reasons import NO_DISPATCHER
from devices.commands.replies import Reply, record
from devices.commands.serializers import CommandSerializer, CommandWholeSerializer
from devices.models import Command, CommandStatus, CommandTransition, Device, DeviceQueue
from iotplatform.rest import pages
from tests import cast as people
from tests.cast import NOON, api
from tests.devices.commands.test_send_api import refusal
from tests.iotplatform.test_pages import links
from tests.queries import plan_of, queries_of

COMMANDS = "/commands"
OF_DEV_01 = "/devices/dev-01/commands"
SENT = {"status": "sent", "sent_at": NOON, "claimed_at": NOON}
ENDED = {"finished_at": NOON}
LATER = NOON + timedelta(days=30_000)


def listed(user, url=COMMANDS, **parameters) -> list[str]:
    """The ids in a list."""
    answer = api(user).get(url, parameters)
    assert answer.status_code == 200, answer.json()
    return [each["id"] for each in answer.json()]


def ids(*commands) -> list[str]:
    return [str(command.id) for command in commands]


def take(command, *reply):
    with connection.cursor() as cursor:
        record(cursor, [Reply(command.device_id, command.id, *reply)])


def test_a_command_is_shown_with_all_that_became_of_it(cast):
    made = people.command(cast.device, cast.operator, **SENT, reason="half of it")
    take(made, "ok", {"uptime": 1}, "", NOON + timedelta(seconds=1))
    shown = api(cast.viewer).get(f"{COMMANDS}/{made.id}").json()
    assert shown["transitions"][0].pop("at")
    assert (
        shown
        | {
            "status": "succeeded",
            "reason": None,
            "claimed_at": "2026-01-14T12:00:00+00:00",
            "sent_at": "2026-01-14T12:00:00+00:00",
            "acknowledged_at": None,
            "finished_at": "2026-01-14T12:00:01+00:00",
            "is_late": False,
            "reply": "ok",
            "result": {"uptime": 1},
            "error": None,
            "transitions": [
                {"status": "queued", "by": "operator@t0.example", "detail": None},
                {
                    "status": "succeeded",
                    "at": "2026-01-14T12:00:01+00:00",
                    "by": None,
                    "detail": None,
                },
            ],
        }
        == shown
    )


def test_a_late_reply_is_shown_as_what_it_is(cast):
    made = people.command(cast.device, status="expired", **ENDED)
    take(made, "error", None, "out of paper", NOON)
    shown = api(cast.viewer).get(f"{COMMANDS}/{made.id}").json()
    assert (shown["status"], shown["is_late"], shown["error"]) == ("expired", True, "out of paper")
    assert shown["transitions"][-1]["detail"] == "A late reply: error."


@pytest.mark.parametrize(
    ("queue", "fields", "reason"),
    [
        ({}, {}, None),
        ({"look_at": NOON}, {}, NO_DISPATCHER),
        ({"look_at": None}, {}, None),
        ({"look_at": NOON, "leased_until": LATER}, {}, None),
        ({"look_at": NOON, "leased_until": NOON}, {}, NO_DISPATCHER),
        ({"look_at": NOON}, {"reason": "The device is offline."}, "The device is offline."),
        ({"look_at": NOON}, {"claimed_at": NOON}, None),
        ({"look_at": NOON}, SENT, None),
        ({"look_at": NOON}, {"status": "expired", **ENDED}, None),
    ],
)
def test_what_no_dispatcher_has_looked_at_for_long_says_so(cast, queue, fields, reason):
    made = people.command(cast.device, **fields)
    DeviceQueue.objects.filter(device=cast.device).update(**queue)
    app = api(cast.viewer)
    assert [each["reason"] for each in app.get(COMMANDS).json()] == [reason]
    assert [each["reason"] for each in app.get(OF_DEV_01).json()] == [reason]
    assert app.get(f"{COMMANDS}/{made.id}").json()["reason"] == reason


def test_lists_and_answers_are_one_representation(cast):
    sent = api(cast.operator).post("/devices/dev-01/command", {"cmd": "reboot"}).json()
    app = api(cast.viewer)
    (shown,) = app.get(COMMANDS).json()
    assert app.get(OF_DEV_01).json() == [shown]
    assert {"ok": True, **shown} == sent
    whole = app.get(f"{COMMANDS}/{shown['id']}").json()
    assert {**shown, "transitions": whole["transitions"]} == whole
    assert shown.keys() == CommandSerializer().fields.keys()
    assert whole.keys() == CommandWholeSerializer().fields.keys()


@pytest.mark.parametrize("result", [0, False, "", [], {"a": [1.5, None]}, "text"])
def test_a_result_is_shown_as_the_device_sent_it(cast, result):
    people.command(cast.device, result=result)
    assert api(cast.viewer).get(COMMANDS).json()[0]["result"] == result


def test_who_sent_from_a_terminal_is_nobody(cast):
    people.command(cast.device)
    assert api(cast.viewer).get(COMMANDS).json()[0]["issued_by"] is None


def test_the_newest_come_first_and_pages_follow_each_other(cast):
    made = [people.command(cast.device) for _ in range(3)]
    for url in (COMMANDS, OF_DEV_01):
        first = api(cast.viewer).get(url, {"limit": 2})
        second = api(cast.viewer).get(first["Link"].partition(">")[0].removeprefix("<"))
        assert [each["id"] for each in first.json() + second.json()] == ids(*made[::-1])


def test_a_page_is_of_a_hundred_if_nothing_is_said(cast, settings):
    settings.COMMAND_QUEUE = 200
    for _ in range(101):
        people.command(cast.device)
    assert len(listed(cast.viewer)) == len(listed(cast.viewer, OF_DEV_01)) == 100


def test_a_long_page_of_large_results_is_cut_and_the_next_goes_on(cast, settings, monkeypatch):
    settings.COMMAND_QUEUE = 200
    monkeypatch.setattr(pages, "LARGEST_PAGE", 50_000)
    made = [people.command(cast.device, result="x" * 1_000) for _ in range(120)]
    for url in (f"{COMMANDS}?limit=150", f"{OF_DEV_01}?limit=150"):
        found, lengths = [], []
        while url:
            answer = api(cast.viewer).get(url)
            found += [each["id"] for each in answer.json()]
            lengths.append(len(answer.json()))
            url = links(answer).get("next")
        assert found == ids(*made[::-1])
        assert len(lengths) > 2
        assert max(lengths) < 50


def test_a_page_of_a_hundred_is_never_cut(cast, monkeypatch):
    monkeypatch.setattr(pages, "LARGEST_PAGE", 10)
    people.command(cast.device)
    people.command(cast.device)
    assert len(listed(cast.viewer, limit=100)) == 2
    assert len(listed(cast.viewer, limit=101)) == 1


def test_everybody_sees_the_commands_of_their_tenant_and_staff_all(cast):
    own, foreign = people.command(cast.device), people.command(cast.foreign)
    assert listed(cast.viewer) == ids(own)
    assert listed(cast.stranger) == ids(foreign)
    assert listed(cast.staff) == ids(foreign, own)
    assert listed(cast.staff, tenant="t0") == ids(own)


def test_what_belongs_to_a_deleted_device_is_gone_with_it(cast):
    made = people.command(cast.device)
    Device.objects.filter(pk=cast.device.pk).retire()
    assert listed(cast.viewer) == listed(cast.staff) == []
    assert api(cast.viewer).get(OF_DEV_01).status_code == 404
    assert api(cast.viewer).get(f"{COMMANDS}/{made.id}").status_code == 404


@pytest.mark.parametrize(
    ("method", "end"), [("get", ""), ("post", "/cancel")], ids=["read", "cancel"]
)
def test_a_command_of_others_is_not_there(cast, method, end):
    foreign = people.command(cast.foreign)
    urls = [f"{COMMANDS}/{id}{end}" for id in (foreign.id, uuid.uuid4(), "-" * 36)]
    answers = [getattr(api(cast.admin), method)(url) for url in urls]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, answers[0].content)
    }
    assert Command.objects.get().status == "queued"


def test_commands_of_a_device_of_others_are_not_there(cast):
    people.command(cast.foreign)
    answers = [api(cast.viewer).get(f"/devices/{uid}/commands") for uid in ("foreign-01", "none")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert listed(cast.viewer, device="foreign-01") == []


def test_a_list_can_be_narrowed(cast):
    batch = people.batch(cast.t0, cmd="stop")
    second = people.command(people.device("dev-02", cast.t0), status="failed", **ENDED)
    first = batch.commands.get()
    assert listed(cast.viewer, device="dev-02") == ids(second)
    assert listed(cast.viewer, cmd="stop") == listed(cast.viewer, batch=batch.id) == ids(first)
    assert listed(cast.viewer, status="failed") == ids(second)
    assert listed(cast.viewer, status="queued", batch=batch.id, device="dev-02") == []
    assert listed(cast.viewer, device="nowhere") == []
    assert listed(cast.viewer, OF_DEV_01, status="queued", cmd="stop") == ids(first)


def test_a_list_can_be_narrowed_to_what_is_open_or_was_answered_too_late(cast):
    still_open = people.command(cast.device)
    late = people.command(cast.device, status="expired", is_late=True, **ENDED)
    for url in (COMMANDS, OF_DEV_01):
        assert listed(cast.viewer, url, open="true") == ids(still_open)
        assert listed(cast.viewer, url, open="false") == ids(late)
        assert listed(cast.viewer, url, late="true") == ids(late)
        assert listed(cast.viewer, url, late="false") == ids(still_open)


def test_a_list_can_be_narrowed_to_a_time_of_sending(cast):
    first, second = (
        people.command(cast.device, created_at=NOON + timedelta(minutes=minute))
        for minute in (0, 1)
    )
    for url in (COMMANDS, OF_DEV_01):
        assert listed(cast.viewer, url, created_after="2026-01-14T12:01:00Z") == ids(second)
        assert listed(cast.viewer, url, created_before="2026-01-14T12:01:00Z") == ids(first)


@pytest.mark.parametrize("status", CommandStatus.values)
def test_every_state_can_be_asked_for(cast, status):
    open_ = {"queued", "sent", "acknowledged"}
    made = {
        each: people.command(
            cast.device, **SENT | {"status": each} | ({} if each in open_ else ENDED)
        )
        for each in CommandStatus.values
    }
    assert listed(cast.viewer, status=status) == ids(made[status])


@pytest.mark.parametrize("url", [COMMANDS, OF_DEV_01])
@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("status", "done", "Use one of queued, sent,"),
        ("batch", "x", "id of a batch"),
        ("cmd", "x" * 65, "64"),
        ("open", "yes", "true or false"),
        ("late", "2", "true or false"),
        ("created_after", "noon", "no time"),
        ("created_before", "2026-13-01T00:00Z", "no such time"),
        ("state", "queued", "no such parameter"),
        ("limit", "0", "number from 1"),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(cast, url, name, value, hint):
    answer = api(cast.viewer).get(url, {name: value})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, name)
    assert hint in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("url", "parameters", "most"),
    [
        (COMMANDS, {}, 1),
        (COMMANDS, {"device": "dev-01", "status": "queued"}, 1),
        (OF_DEV_01, {}, 2),
    ],
)
def test_a_list_takes_as_many_statements_for_few_commands_as_for_many(cast, url, parameters, most):
    for _ in range(20):
        people.command(cast.device, cast.operator)
    # One more finds the person of the token.
    assert len(queries_of(api(cast.viewer), url, **parameters)) == most + 1


def test_to_read_one_with_its_history_takes_one_statement(cast):
    made = people.command(cast.device)
    assert len(queries_of(api(cast.viewer), f"{COMMANDS}/{made.id}")) == 2


MANY = """
INSERT INTO devices_command (
    id, tenant_id, device_id, batch_id, cmd, params, status, expires_at, finished_at,
    reason, idempotency_key, is_late, reply, error
) SELECT
    gen_random_uuid(), tenant_id, id, CASE device_uid WHEN 'dev-02' THEN %s::uuid END, 'x', '{}',
    'failed', now() + interval '1 day', now(), '', '', false, '', ''
FROM generate_series(1, 200), devices_device
"""


@pytest.fixture
def many(cast):
    """Thousands of commands, most of others, nearly all of them over; 200 are in one batch."""
    people.device("dev-02", cast.t0)
    for number in range(58):
        people.device(f"foreign-{number}", cast.other)
    batch = people.batch(cast.t0)
    with connection.cursor() as cursor:
        cursor.execute(MANY, [batch.id])
        cursor.execute("ANALYZE devices_command")
        cursor.execute("ANALYZE devices_device")
    return batch


def plans_of(user, url):
    """The indexes that the last statement uses, and the kinds of its steps."""
    nodes = plan_of(queries_of(api(user), url)[-1])
    return {node.get("Index Name") for node in nodes}, {node["Node Type"] for node in nodes}


def test_a_page_is_a_scan_of_an_index_in_its_order(cast, many):
    wanted = {
        "/devices/dev-02/commands?": "command_by_device",
        f"{COMMANDS}?": "command_by_tenant",
    }
    for url, index in wanted.items():
        indexes, steps = plans_of(cast.viewer, f"{url}limit=10")
        assert index in indexes, url
        assert "Sort" not in steps, url


def test_what_is_narrowed_is_looked_up_and_not_sought_among_all(cast, many):
    wanted = {
        "device=dev-02": {"command_by_device"},
        f"batch={many.id}": {"command_by_batch"},
        "status=queued": {"command_open_by_device", "command_expiring"},
        "open=true": {"command_open_by_device", "command_expiring"},
        "created_after=2100-01-01": {"command_rate"},
    }
    for parameter, possible in wanted.items():
        indexes, _ = plans_of(cast.viewer, f"{COMMANDS}?{parameter}&limit=10")
        assert indexes & possible, parameter


def cancel(user, command):
    return api(user).post(f"{COMMANDS}/{command.id}/cancel")


def test_what_is_queued_is_cancelled_and_says_so_as_often_as_it_is_asked(cast):
    made = people.command(cast.device)
    first = cancel(cast.operator, made)
    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    assert first.json()["finished_at"]
    assert cancel(cast.admin, made).json() == first.json()
    steps = CommandTransition.objects.filter(command=made)
    assert [(step.status, step.by) for step in steps] == [
        ("queued", ""),
        ("cancelled", "operator@t0.example"),
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"claimed_at": NOON}, WAS_CLAIMED),
        (SENT, "It was already sent, at 2026-01-14 12:00:00 UTC. It will not be published again."),
        (SENT | {"status": "acknowledged"}, "It was already sent, at 2026-01-14 12:00:00 UTC"),
        ({"status": "expired", **ENDED}, HAS_ENDED["expired"]),
        (SENT | {"status": "succeeded", **ENDED}, HAS_ENDED["succeeded"]),
    ],
)
def test_what_may_have_gone_out_is_not_cancelled_and_says_why(cast, fields, said):
    made = people.command(cast.device, **fields)
    status, detail = refusal(cancel(cast.operator, made))
    assert status == 409
    assert detail.startswith(str(said))
    assert Command.objects.get().status == fields.get("status", "queued")


def test_a_viewer_cancels_nothing(cast):
    assert cancel(cast.viewer, people.command(cast.device)).status_code == 403
    assert Command.objects.get().status == "queued"


def test_there_is_nothing_to_send_with_a_cancellation(cast):
    made = people.command(cast.device)
    answer = api(cast.operator).post(f"{COMMANDS}/{made.id}/cancel", {"force": True})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "force")
