"""What may be asked of a device, by whichever door: text that is seen, JSON that is kept."""

import json

import pytest
from django.core.exceptions import ValidationError

from devices.models import Command
from devices.validation import (
    DEEPEST_PARAMS,
    NoJSON,
    read_json,
    validate_cmd,
    validate_params,
)


def nested(levels):
    """An object that holds arrays, `levels` within each other in all."""
    return json.loads('{"a": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}")


@pytest.mark.parametrize("cmd", ["reboot", "Đặt lại", "set interval", "a" * 64])
def test_a_name_is_printable_text(cmd):
    assert validate_cmd(cmd) is None


@pytest.mark.parametrize("cmd", ["re\nboot", "re\tboot", "\0", "\ud800", "\u202e", "\x7f"])
def test_a_name_that_nobody_could_see_is_refused(cmd):
    with pytest.raises(ValidationError, match="printed"):
        validate_cmd(cmd)


@pytest.mark.parametrize(
    ("cmd", "hint"), [("", "Say what"), ("  ", "Say what"), ("a ", "spaces"), (" a", "spaces")]
)
def test_a_name_has_no_spaces_around_it_and_is_not_blank(cmd, hint):
    with pytest.raises(ValidationError, match=hint):
        validate_cmd(cmd)


@pytest.mark.parametrize("params", [[], None, "x", 5, True])
def test_params_are_an_object(params):
    with pytest.raises(ValidationError, match="object"):
        validate_params(params)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (float("nan"), "numbers"),
        (float("-inf"), "numbers"),
        (1e31, "64 bits"),
        (1e-31, "1e-30 and 1e19 in size, or 0"),
        (-1e-31, "numbers"),
        (2**64, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (float(12345678901234567890123), "64 bits"),
        (float(-(2**63) - 1), "64 bits"),
        ("\0", "text"),
        ("\udfff", "text"),
        ({"\0": 1}, "text"),
        (nested(DEEPEST_PARAMS), "60"),
    ],
)
def test_values_that_somebody_on_the_way_could_not_keep_are_refused(value, hint):
    with pytest.raises(ValidationError, match=hint):
        validate_params({"a": [{"b": value}]})


@pytest.mark.parametrize("text", ['{"delay": 5}', "-0.0e-999", "1e300", str(-(2**63)), '"\\ud800"'])
def test_json_that_people_typed_is_read_as_it_is(text):
    assert read_json(text) == json.loads(text)


@pytest.mark.parametrize("text", ["", "on", "{'a': 1}", "NaNo", "9" * 30 + "a", "1 2", "-"])
def test_what_is_no_json_is_told_with_its_place(text):
    with pytest.raises(NoJSON, match=r"This is no JSON \(line 1, column \d+\)\. An example: {"):
        read_json(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("NaN", "There is no NaN in JSON"),
        ('{"a": -Infinity}', "There is no -Infinity in JSON"),
        ("9" * 5_000, "64 bits"),
        ("-0.1e-999", "1e-30 and 1e19 in size, or 0"),
        ("[" * 100_000 + "]" * 100_000, "Nest no more than 60"),
    ],
)
def test_json_that_would_be_changed_is_refused_in_words_of_our_own(text, hint):
    with pytest.raises(ValidationError, match=hint) as refused:
        read_json(text)
    assert not isinstance(refused.value, NoJSON)


def test_what_params_may_hold_at_most_comes_back_as_it_was(cast):
    params = {"n": [2**64 - 1, -(2**63), -1e-30, 0.0, True, None], "text": "é\u2028", **nested(60)}
    validate_params(params)
    fields = {"tenant": cast.t0, "device": cast.device, "expires_at": "2100-01-01T00:00Z"}
    made = Command.objects.create(cmd="x", params=params, **fields)
    made.refresh_from_db()
    assert made.params == params
