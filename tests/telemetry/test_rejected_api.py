"""Rejected messages over the API: seen and dealt with by operators of their tenant."""

import base64
import json
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.models import Device
from telemetry import partitions
from telemetry.ingest import store
from telemetry.models import RejectedMessage, Telemetry
from telemetry.reasons import Reason
from tests.cast import NOON, api, rejected
from tests.queries import plan_of, queries_of
from tests.telemetry.conftest import message

REJECTED = "/rejected"


def listed(user, **parameters):
    """The ids in the list."""
    answer = api(user).get(REJECTED, parameters)
    assert answer.status_code == 200, answer.json()
    return [each["id"] for each in answer.json()]


def test_a_message_is_listed_as_it_came_without_its_payload(cast):
    made = rejected(cast.t0, b"{}", detail="Enable it.", received_at=NOON)
    assert api(cast.operator).get(REJECTED).json() == [
        {
            "id": str(made.pk),
            "tenant": "t0",
            "device_uid": "dev-01",
            "received_at": "2026-01-14T12:00:00Z",
            "topic": "t0/devices/dev-01/telemetry",
            "size": 2,
            "reason": "device_disabled",
            "detail": "Enable it.",
            "resolved_at": None,
        }
    ]


@pytest.mark.parametrize(
    ("payload", "text"), [(b'{"a": "\xc3\xa9"}', '{"a": "é"}'), (b"\xff\0", None), (b"", "")]
)
def test_its_own_page_has_the_payload_as_text_and_as_bytes(cast, payload, text):
    made = rejected(cast.t0, payload, topic=b"t0/\xff")
    shown = api(cast.operator).get(f"{REJECTED}/{made.pk}").json()
    assert (shown["payload"], shown["topic"]) == (text, "t0/\ufffd")
    assert base64.b64decode(shown["payload_base64"]) == payload


def test_the_newest_come_first_and_pages_follow_each_other(cast):
    made = [rejected(cast.t0, received_at=NOON - timedelta(hours=n)).pk for n in range(3)]
    app = api(cast.operator)
    first = app.get(REJECTED, {"limit": 2})
    second = app.get(first["Link"].partition(">")[0].removeprefix("<"))
    assert [each["id"] for each in first.json() + second.json()] == list(map(str, made))


def test_messages_of_others_and_of_nobody_are_for_platform_staff(cast):
    own, foreign, nobody = (rejected(tenant) for tenant in (cast.t0, cast.other, None))
    assert listed(cast.operator) == [str(own.pk)]
    assert set(listed(cast.staff)) == {str(each.pk) for each in (own, foreign, nobody)}


@pytest.mark.parametrize(
    ("method", "end"), [("get", ""), ("post", "/replay"), ("post", "/resolve")]
)
def test_a_message_of_others_is_not_found(cast, method, end):
    made = rejected(cast.other)
    for number in (made.pk, uuid.uuid4(), "-" * 36):
        answer = getattr(api(cast.admin), method)(f"{REJECTED}/{number}{end}")
        assert answer.status_code == 404
    assert not RejectedMessage.objects.resolved().exists()


@pytest.mark.parametrize(
    ("method", "end"), [("get", ""), ("post", "/replay"), ("post", "/resolve")]
)
def test_viewers_may_neither_see_nor_deal_with_them(cast, method, end):
    made = rejected(cast.t0)
    assert api(cast.viewer).get(REJECTED).status_code == 403
    assert getattr(api(cast.viewer), method)(f"{REJECTED}/{made.pk}{end}").status_code == 403


def test_the_list_can_be_narrowed(cast):
    old = str(rejected(cast.t0, received_at=NOON, device_uid="dev-02").pk)
    nul = str(rejected(cast.t0, received_at=NOON + timedelta(days=1), reason=Reason.NUL).pk)
    assert listed(cast.operator, device_uid="dev-02") == [old]
    assert listed(cast.operator, device_uid="dev") == []
    assert listed(cast.operator, reason="nul") == [nul]
    assert listed(cast.operator, **{"from": NOON.isoformat(), "to": "2026-01-15"}) == [old]
    assert listed(cast.operator, **{"from": "2026-01-15T00:00:00Z"}) == [nul]


def test_the_list_can_be_narrowed_by_what_is_dealt_with(cast):
    resolved = str(rejected(cast.t0, resolved_at=NOON, received_at=NOON).pk)
    still_open = str(rejected(cast.t0).pk)
    assert listed(cast.operator, state="open") == [still_open]
    assert listed(cast.operator, state="resolved") == [resolved]
    assert listed(cast.operator) == [still_open, resolved]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reason", "bad"),
        ("state", "all"),
        ("device_uid", "a\0"),
        ("from", "x"),
        ("to", "2026-01-01T00:00:00+16:00"),
        ("limit", "0"),
        ("cursor", "x"),
        ("uid", "dev-01"),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(cast, name, value):
    answer = api(cast.operator).get(REJECTED, {name: value})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, name)


def test_one_statement_makes_the_list_and_reads_no_payload(cast):
    for _ in range(3):
        rejected(cast.t0)
    app = api(cast.operator)
    with CaptureQueriesContext(connection) as captured:
        app.get(REJECTED)
    (statement,) = [each["sql"] for each in captured if "accounts_user" not in each["sql"]]
    assert '"payload"' not in statement


def test_the_list_of_a_device_is_a_scan_of_an_index(cast):
    common = {"tenant": cast.t0, "size": 0, "reason": Reason.NUL}
    RejectedMessage.objects.bulk_create(
        RejectedMessage(id=uuid.uuid4(), device_uid=f"dev-{n % 20}", received_at=at, **common)
        for n in range(5_000)
        for at in [NOON - timedelta(seconds=n)]
    )
    connection.cursor().execute("ANALYZE telemetry_rejectedmessage")
    statement = queries_of(api(cast.operator), REJECTED, device_uid="dev-7", limit=10)[-1]
    nodes = plan_of(statement)
    assert "rejected_by_device" in {node.get("Index Name") for node in nodes}
    assert "Sort" not in {node["Node Type"] for node in nodes}


@pytest.fixture
def disabled(cast):
    """A message of dev-01 that was rejected as long as the device was disabled."""
    partitions.make_ahead(NOON)
    Device.objects.update(is_enabled=False)
    sent = message({"msg_id": "a", "temp": 1}, received_at=int(NOON.timestamp() * 1e6))
    store([sent])
    return RejectedMessage.objects.get()


def replayed(cast, made):
    return api(cast.operator).post(f"{REJECTED}/{made.pk}/replay")


def test_a_message_is_replayed_once_what_was_wrong_is_mended(cast, disabled):
    Device.objects.update(is_enabled=True)
    answer = replayed(cast, disabled).json()
    assert (answer["outcome"], answer["id"]) == ("stored", str(disabled.pk))
    assert answer["resolved_at"] is not None
    assert Telemetry.objects.get().payload["temp"] == 1


def test_while_it_is_not_mended_the_message_is_rejected_again(cast, disabled):
    answer = replayed(cast, disabled)
    assert answer.status_code == 200
    assert (answer.json()["outcome"], answer.json()["resolved_at"]) == ("rejected", None)


def test_what_is_dealt_with_is_not_replayed(cast, disabled):
    Device.objects.update(is_enabled=True)
    replayed(cast, disabled)
    answer = replayed(cast, disabled)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert Telemetry.objects.count() == 1


def test_a_message_is_marked_as_dealt_with_once(cast):
    made = rejected(cast.t0)
    app = api(cast.operator)
    first = app.post(f"{REJECTED}/{made.pk}/resolve").json()
    assert first["resolved_at"] is not None
    assert app.post(f"{REJECTED}/{made.pk}/resolve/").json() == first


@pytest.mark.parametrize("end", ["replay", "resolve"])
def test_there_is_nothing_to_send_with_it(cast, end):
    made = rejected(cast.t0)
    answer = api(cast.operator).post(f"{REJECTED}/{made.pk}/{end}", {"force": True})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "force")
    assert json.loads(answer.content)["errors"][0]["code"] == "unknown"
