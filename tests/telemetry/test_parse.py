"""JSON at the door: what gets in, what is kept as text, what is refused and why."""

import json

import orjson
import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from telemetry.parse import parse
from telemetry.reasons import Reason, Rejected

LIMIT = 1_000_000


def reason_of(raw: bytes) -> Reason:
    with pytest.raises(Rejected) as caught:
        parse(raw, LIMIT)
    return caught.value.reason


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"temp": 21.5}', {"temp": 21.5}),
        (b" [1, 2] ", [1, 2]),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"kind": "sensor-100", "e": 1.5e-9}', {"kind": "sensor-100", "e": 1.5e-9}),
        (b'{"path": "C:\\\\u0000"}', {"path": "C:\\u0000"}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"0.0", 0.0),
        (b"0e-999", 0.0),
        ('"độ ẩm"'.encode(), "độ ẩm"),
    ],
)
def test_json_is_parsed(raw, value):
    assert parse(raw, LIMIT) == value


def test_long_payloads_may_have_exponents_as_they_are_common():
    value = {"tiny": [1.5e-12] * 20_000, "image": "3e45" * 20_000}
    assert parse(json.dumps(value).encode(), LIMIT) == value


@pytest.mark.parametrize(
    "text", ["", "hello", "{", '{"a": 01}', "21.5 C", "NaN is no number", "[1,]", "1e999 x"]
)
def test_what_is_no_json_is_its_text(text):
    assert parse(text.encode(), LIMIT) == text


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"x" * (LIMIT + 1), Reason.TOO_LARGE),
        (b'{"a": "\xff"}', Reason.NOT_UTF8),
        (b'{"a": "\\ud800"}', Reason.NOT_UTF8),
        (b'{"\\udc00": 1}', Reason.NOT_UTF8),
        (b"hello\x00", Reason.NUL),
        (b'{"a": "\\u0000"}', Reason.NUL),
        (b'{"a": [{"\\u0000": 1}]}', Reason.NUL),
        (b"[" * 65 + b"]" * 65, Reason.TOO_DEEP),
        (b'{"a":' * 65 + b"1" + b"}" * 65, Reason.TOO_DEEP),
        (b"[" * 100_000, Reason.TOO_DEEP),
        (b'{"a": NaN}', Reason.NOT_FINITE),
        (b"[-Infinity]", Reason.NOT_FINITE),
        (b'{"a": 1e400}', Reason.NUMBER),
        (b'{"a": -1e400}', Reason.NUMBER),
        (b'{"a": 1e-400}', Reason.NUMBER),
        (b'{"a": 1E-999999999}', Reason.NUMBER),
        (b'{"a": 0e-99999}', Reason.NUMBER),
        (b'{"a": 0.0000e-16383}', Reason.NUMBER),
        (b'{"a": 0E2147483648}', Reason.NUMBER),
        (b"[" + b"1e300," * 2_700 + b"1]", Reason.NUMBER),
        (b"[" + b"1e-300," * 2_700 + b"1]", Reason.NUMBER),
        (b"9" * 400, Reason.NUMBER),
        (b"9" * 5_000, Reason.NUMBER),
        (b'{"a": 0.' + b"0" * 20_000 + b"1}", Reason.NUMBER),
        (b'{"a": 1.' + b"0" * 20_000 + b"}", Reason.NUMBER),
    ],
)
def test_what_could_not_be_stored_or_read_back_is_refused(raw, reason):
    assert reason_of(raw) == reason


def test_64_levels_are_not_too_deep():
    assert parse(b"[" * 64 + b"]" * 64, LIMIT)


def test_many_brackets_side_by_side_are_not_deep():
    assert len(parse(b"[" + b",".join([b'{"a": [1]}'] * 500) + b"]", LIMIT)) == 500


def test_brackets_in_strings_are_not_depth():
    text = '{"a": "' + "[" * 200 + '"}'
    assert parse(text.encode(), LIMIT) == json.loads(text)


def test_the_refusal_says_where_and_what():
    with pytest.raises(Rejected, match="1e400 does not fit a double"):
        parse(b'{"a": 1e400}', LIMIT)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_refusal(raw):
    try:
        value = parse(raw, LIMIT)
    except Rejected as rejected:
        assert rejected.reason in Reason.values
    else:
        assert json.loads(orjson.dumps(value)) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_any_json_is_a_value_or_a_refusal(value, ascii_only):
    raw = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    try:
        parsed = parse(raw, LIMIT)
    except Rejected as rejected:
        assert rejected.reason in (
            Reason.NUL,
            Reason.NOT_UTF8,
            Reason.NOT_FINITE,
            Reason.NUMBER,
        )
    else:
        assert parsed == pytest.approx(value) if isinstance(value, float) else True
        assert orjson.dumps(parsed)


def test_quotes_without_an_end_are_read_once():
    text = "[" * 65 + '"' + '\\"' * 300_000
    assert reason_of(text.encode()) == Reason.TOO_DEEP


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text", ["0e9999", "0e-999", "1e-300", "1.7e308", "0." + "0" * 300 + "1", "9" * 300, "-0.0e0"]
)
def test_postgresql_takes_the_numbers_that_pass(text):
    parse(text.encode(), LIMIT)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb", [text])
