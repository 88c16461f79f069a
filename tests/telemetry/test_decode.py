"""From a body to readings: forms, times, ids, digests."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.models import ReplyStatus
from telemetry.decode import (
    DAY,
    LONGEST_ERROR,
    REPLIES,
    SECOND,
    Limits,
    decode,
    decode_reply,
    decode_status,
)
from telemetry.reasons import Reason, Rejected

NOW = 1_764_000_000 * SECOND
LIMITS = Limits(max_payload=262_144, history=400 * DAY)


def readings(body, received_at=NOW):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode(raw, received_at, LIMITS)


def reading(body):
    (one,) = readings(body)
    return one


def rejection(body):
    with pytest.raises(Rejected) as caught:
        readings(body)
    return caught.value


def test_an_object_is_one_reading_with_its_bytes_as_payload():
    assert reading(b'{"msg_id": "a", "temp": 1.50}').payload == b'{"msg_id": "a", "temp": 1.50}'


def test_values_beside_a_ts_are_the_payload():
    one = reading({"ts": 1_764_000_000, "values": {"temp": 1}})
    assert (one.payload, one.ts, one.values) == (b'{"temp":1}', NOW, {"temp": 1})


def test_values_with_more_beside_them_are_an_ordinary_key():
    body = {"ts": 1_764_000_000, "values": {"temp": 1}, "unit": "C"}
    assert json.loads(reading(body).payload) == body


def test_an_array_is_one_reading_an_element():
    first, second = readings([{"temp": 1}, {"ts": 1_764_000_001, "values": {"temp": 2}}])
    assert (first.payload, second.payload) == (b'{"temp":1}', b'{"temp":2}')
    assert (first.ts, second.ts) == (NOW, NOW + SECOND)


def test_one_bad_element_rejects_the_array_with_its_index():
    rejected = rejection([{"a": 1}, {"msg_id": True}, {"a": 2}])
    assert rejected.reason == Reason.BAD_MSG_ID
    assert rejected.detail == "Element 1: msg_id is True."
    assert rejected.readings == 3


def test_an_array_of_too_many_readings_is_rejected_with_their_number():
    rejected = rejection([1] * 10_001)
    assert (rejected.reason, rejected.readings) == (Reason.TOO_MANY, 10_001)
    assert len(readings([1] * 10_000)) == 10_000


def test_an_empty_array_is_no_reading():
    assert readings([]) == []


@pytest.mark.parametrize("value", [1, "on", None, True, 2.5])
def test_a_plain_value_is_kept_as_raw(value):
    assert json.loads(reading(json.dumps(value).encode()).payload) == {"raw": value}


def test_a_plain_value_in_an_array_is_kept_as_raw():
    assert [json.loads(each.payload) for each in readings([1, [2]])] == [{"raw": 1}, {"raw": [2]}]


def test_text_is_kept_as_raw():
    assert json.loads(reading(b"21.5 C").payload) == {"raw": "21.5 C"}


@pytest.mark.parametrize(
    ("ts", "moment"),
    [
        (1_763_999_000, 1_763_999_000 * SECOND),
        (1_763_999_000.123456, 1_763_999_000_123_456),
        (1_763_999_000_123, 1_763_999_000_123_000),
        (1_763_999_000_123.5, 1_763_999_000_123_500),
        ("2025-11-24T15:43:20Z", 1_763_999_000 * SECOND),
        ("2025-11-24T15:43:20", 1_763_999_000 * SECOND),
        ("2025-11-24T22:43:20.5+07:00", 1_763_999_000_500_000),
        ("2025-11-25T10:43:20+19:00", 1_763_999_000 * SECOND),
    ],
)
def test_a_time_is_seconds_or_milliseconds_or_iso_8601(ts, moment):
    assert reading({"ts": ts}).ts == moment


@pytest.mark.parametrize(
    "ts", [None, "yesterday", [], True, 1e300, 9e14, "9999-12-31T23:59:59-10:00", 1_764_100_000]
)
def test_no_time_is_the_time_of_receipt_and_the_payload_keeps_what_was_said(ts):
    one = reading({"ts": ts, "temp": 1})
    assert one.ts == NOW
    assert json.loads(one.payload)["ts"] == ts


@pytest.mark.parametrize("ts", [1, 0, -5, "0001-01-01T00:00:00+14:00", 1_729_000_000])
def test_a_time_before_the_history_is_too_old(ts):
    assert rejection({"ts": ts}).reason == Reason.TOO_OLD


@pytest.mark.parametrize(
    ("given", "kept"), [("a", "a"), (7, "7"), (-1, "-1"), ("x" * 64, "x" * 64)]
)
def test_an_id_is_a_text_or_an_integer(given, kept):
    assert reading({"msg_id": given}).msg_id == kept


@pytest.mark.parametrize("given", ["", "x" * 65, 1.5, True, [], {}, 2**70])
def test_another_id_is_bad(given):
    assert rejection({"msg_id": given}).reason == Reason.BAD_MSG_ID


def test_an_id_of_null_is_none():
    assert reading({"msg_id": None, "ts": 1_764_000_000}).msg_id


def test_without_an_id_a_reading_with_a_time_is_known_by_its_content():
    first, second = reading({"ts": 1_764_000_000, "a": 1}), reading({"a": 1, "ts": 1_764_000_000})
    other = reading({"ts": 1_764_000_000, "a": 2})
    assert first.msg_id == second.msg_id != other.msg_id


@pytest.mark.parametrize("body", [{"a": 1}, {"a": 1, "ts": "bad clock"}])
def test_without_an_id_and_a_time_every_reading_is_new(body):
    assert reading(body).msg_id != reading(body).msg_id


def test_new_ids_sort_by_time():
    ids = [reading({"a": 1}).msg_id for _ in range(3)]
    assert {each[12] for each in ids} == {"7"}
    assert [each[:11] for each in ids] == sorted(each[:11] for each in ids)


def test_the_digest_is_of_the_content_whatever_its_order_and_id():
    one = reading(b'{"msg_id": 1, "a": 1, "b": 2.0}')
    assert one.digest == reading(b'{"b":2.0,"a":1,"msg_id":2}').digest
    assert one.digest != reading(b'{"b":2.5,"a":1,"msg_id":1}').digest


def test_the_digest_knows_the_time_of_wrapped_values():
    one, two = (
        reading({"ts": 1_764_000_000, "values": {}}),
        reading({"ts": 1_764_000_001, "values": {}}),
    )
    assert one.digest != two.digest


def test_a_large_reading_brings_plain_values_only():
    body = {"curve": list(range(9_000)), "temp": 1, "note": "x" * 300, "ok": True}
    assert reading(body).values == {"temp": 1, "ok": True}


def test_a_large_reading_brings_a_bounded_number_of_values():
    assert len(reading({f"key-{n}": n for n in range(5_000)}).values) == 500


@given(st.binary(max_size=300))
def test_any_bytes_become_readings_or_a_refusal(raw):
    try:
        for one in decode(raw, NOW, LIMITS):
            json.loads(one.payload)
            assert 0 < len(one.msg_id) <= 64
            assert -(2**63) <= one.digest < 2**63
            assert datetime.fromtimestamp(one.ts / SECOND, UTC).year in range(2024, 2027)
    except Rejected as rejected:
        assert rejected.reason in Reason.values


KEYS = st.sampled_from(["ts", "msg_id", "values", "temp"])
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=70)
)


@given(st.lists(st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES))))
def test_any_array_becomes_readings_or_one_refusal(body):
    try:
        assert len(readings(body)) == len(body)
    except Rejected as rejected:
        assert rejected.readings in (1, len(body))


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"online", ("online", "", "")),
        (b' "offline" ', ("offline", "", "")),
        (b"offline\n", ("offline", "", "")),
        (b'{"state": "online", "session": "s1"}', ("online", "s1", "")),
        (b'{"state": "offline", "session": 7, "reason": "sleep"}', ("offline", "7", "sleep")),
        (b"", ("unknown", "", "The status was cleared.")),
    ],
)
def test_a_status_is_an_object_or_a_word(raw, status):
    assert decode_status(raw, 1_000) == status


@pytest.mark.parametrize(
    "raw", [b"on", b"{}", b"[]", b"1", b'{"state": "gone"}', b'{"state": "online", "session": []}']
)
def test_another_status_is_rejected(raw):
    with pytest.raises(Rejected) as caught:
        decode_status(raw, 1_000)
    assert caught.value.reason == Reason.BAD_STATUS


COMMAND_ID = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")


def replying(**body):
    return decode_reply(json.dumps({"id": str(COMMAND_ID), **body}).encode(), 100_000)


def test_the_words_of_replies_are_those_that_commands_know():
    assert ReplyStatus.values == [*REPLIES]


@pytest.mark.parametrize("status", REPLIES)
def test_a_reply_names_its_command_and_how_far_it_is(status):
    assert replying(status=status) == (COMMAND_ID, status, None, "")


def test_a_reply_may_have_any_result_and_fields_that_nobody_knows():
    result = {"a": [1, None, "é"]}
    assert replying(status="ok", result=result, uptime=3) == (COMMAND_ID, "ok", result, "")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("no power", "no power"),
        (None, ""),
        ({"code": 5}, '{"code":5}'),
        (["a", 1.5], '["a",1.5]'),
        (0, "0"),
        (False, "false"),
        ("x" * 5_000, "x" * LONGEST_ERROR),
        (["x" * 5_000], '["' + "x" * (LONGEST_ERROR - 2)),
    ],
)
def test_an_error_is_kept_as_a_text_of_bounded_length(error, text):
    assert replying(status="error", error=error).error == text


@pytest.mark.parametrize("spelling", [str(COMMAND_ID).upper(), COMMAND_ID.hex])
def test_an_id_may_be_spelt_as_devices_spell_it(spelling):
    assert replying(id=spelling, status="ok").command_id == COMMAND_ID


@pytest.mark.parametrize("command_id", [None, 1, "", "1", "x" * 36, [], {}, str(COMMAND_ID) + "0"])
def test_a_reply_with_another_id_is_rejected(command_id):
    with pytest.raises(Rejected) as rejected:
        replying(id=command_id, status="ok")
    assert rejected.value.reason == Reason.BAD_REPLY
    assert rejected.value.detail == "id must be that of the command, a UUID as text."


@pytest.mark.parametrize("status", [None, "", "done", "OK", 1, [], {}])
def test_a_reply_with_another_status_is_rejected(status):
    with pytest.raises(Rejected) as rejected:
        replying(status=status)
    assert "accepted, progress, ok, error" in rejected.value.detail


@pytest.mark.parametrize("raw", [b"", b"ok", b"[]", b'"ok"', b"1", b"{"])
def test_what_is_no_object_is_no_reply(raw):
    with pytest.raises(Rejected) as rejected:
        decode_reply(raw, 1_000)
    assert rejected.value.reason == Reason.BAD_REPLY


@given(
    VALUES | st.just(str(COMMAND_ID)), VALUES | st.sampled_from(REPLIES), VALUES | st.lists(VALUES)
)
def test_whatever_is_in_a_reply_it_is_read_or_refused(command_id, status, error):
    try:
        said = replying(id=command_id, status=status, error=error)
    except Rejected:
        return
    assert said.status in REPLIES
    assert len(said.error) <= LONGEST_ERROR
