"""Sentences that rows keep in English are known to the console, whoever wrote them."""

import uuid

import pytest
from django.utils import timezone, translation

from accounts.words import in_language
from devices import state
from devices.brokers import carrier
from devices.brokers.emqx import management as emqx
from devices.brokers.mosquitto import conversation, plans
from devices.commands import dispatcher, statements
from devices.models import Device, DeviceState, DeviceType
from devices.sentences import KEPT
from telemetry.decode import decode_status
from telemetry.incoming import decode_message
from tests import cast as people

BEGINS = "t0/devices/dev-01"
REJECTED = {
    "telemetry": [
        b"\xff",
        b"a\0",
        b"[" * 65,
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b"[%s1]" % (b"1e-300," * 2000),
        b'{"a": "\\u0000"}',
        b'{"a": "\\ud800"}',
        b'{"ts": 1}',
        b'{"msg_id": null, "ts": 1}',
        b'{"msg_id": 1.5}',
        b'{"msg_id": "%s"}' % (b"a" * 300),
        b'[{}, {"msg_id": []}]',
        b"[" + b"1," * 10_000 + b"1]",
        b" " * 300_000,
    ],
    "status": [b"{}", b'{"state": "online", "session": []}'],
    "replies": [b"[]", b'{"id": 1}', b'{"id": 1, "status": "ok"}'],
}


def is_known(said: str) -> bool:
    with translation.override("vi"):
        return in_language(said) != said


@pytest.mark.parametrize(
    ("topic", "payload"),
    [(f"{BEGINS}/{kind}", each) for kind, bodies in REJECTED.items() for each in bodies]
    + [("nonsense", b"{}")],
)
def test_what_is_said_of_a_rejected_message_is_known(topic, payload):
    rejected = decode_message(topic, payload, int(timezone.now().timestamp() * 1_000_000)).rejected
    assert rejected
    assert is_known(rejected.detail)


@pytest.mark.parametrize(
    "said",
    [
        state.EVIDENT,
        state.TAKEN_AWAY,
        state.REPLACED,
        decode_status(b"", 100).reason,
        dispatcher.NO_SUBSCRIBER,
        dispatcher.TOO_LATE,
        dispatcher.NO_ANSWER,
        dispatcher.meaning_of(0x97)[1],
        carrier.AWAY,
        plans.UNKNOWN,
        plans.FOREIGN,
        conversation.NO_ANSWER,
        conversation.NOT_ALLOWED,
        emqx.AWAY.format(why="refused"),
        emqx.SILENT.format(method="GET", path="/api", why="refused"),
        emqx.NOT_KNOWN.format(status=401),
        emqx.NOT_DONE.format(status=500, reason="fault", method="GET", path="/api"),
        emqx.UNREADABLE.format(method="GET", path="/api"),
        emqx.LATER,
        "A late reply: ok.",
        "It could not be sent: OSError",
        "2 commands to dev-01 are open already. Wait until it has answered some, or cancel some.",
    ],
)
def test_what_is_said_by_processes_that_talk_to_nobody_is_known(said):
    assert is_known(said)


@pytest.mark.parametrize(
    "said",
    ["Published again, as its device had not answered.", "The broker had passed it on to nobody."],
)
def test_what_is_said_in_statements_is_known(said):
    assert any(said in text for text in vars(statements).values() if isinstance(text, str))
    assert said in KEPT


@pytest.mark.parametrize("since", [None, 5, 500])
@pytest.mark.parametrize("pause", ["no type", None, 60])
def test_what_is_derived_of_a_device_is_known(cast, since, pause):
    device = cast.device
    if pause != "no type":
        device.type = DeviceType.objects.create(name="Sensor", tenant=cast.t0, offline_after=pause)
        device.save()
    if since:
        at = timezone.now() - timezone.timedelta(seconds=since)
        DeviceState.objects.create(device=device, session="online", data_at=at, data_since=at)
    found = Device.objects.with_facts().get(pk=device.pk)
    assert is_known(found.session_reason)
    assert is_known(found.data_flow_reason)


def test_what_a_device_said_stays_as_it_is():
    with translation.override("vi"):
        assert in_language("Low battery, sent.") == "Low battery, sent."


def test_the_api_says_in_english_what_the_console_says_in_the_language_of_the_page(cast):
    device = people.device("quiet", cast.t0, session="offline", reason=state.TAKEN_AWAY)
    headers = {"accept-language": "vi"}
    answer = people.api(cast.viewer).get("/devices/quiet", headers=headers)
    assert answer.json()["session_reason"] == state.TAKEN_AWAY
    address = f"/admin/devices/device/{device.pk}/change/"
    page = people.console(cast.viewer).get(address, headers=headers)
    assert state.TAKEN_AWAY not in page.text
    assert "Quyền truy cập của thiết bị đã bị thu hồi." in page.text


def test_a_refusal_is_english_over_the_api_whatever_the_client_reads(cast):
    body = {"device_uid": "new one", "labels": {"a:b": str(uuid.uuid4())}}
    client = people.api(cast.operator)
    english, other = (
        client.post("/devices", body, headers={"accept-language": language}).content
        for language in ("en", "vi")
    )
    assert english == other
    assert b"leave the colon out" in english
