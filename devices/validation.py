"""What people may write as labels of a device, as fields of a device type, and as a command."""

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

MOST_LABELS = 64
LABEL_KEY_LENGTH = 64
LABEL_VALUE_LENGTH = 256

MOST_FIELDS = 256
FIELD_KEY_LENGTH = 128
FIELD_TEXTS = {"label": 128, "unit": 32}
"""Part of a field that is a text → its greatest length."""
FIELD_NUMBERS = ("min", "max")
LARGEST_NUMBER = 1e308

DEEPEST_PARAMS = 60
"""Arrays and objects within each other; around them, a command is one more."""
SMALLEST = 1e-30
"""Size of a number in params, unless it is 0: PostgreSQL writes an exponent out."""
LONGEST_WHOLE = len(str(-(2**63)))

EXAMPLE = '{"delay": 5}'

TOO_DEEP = _("Nest no more than 60 arrays and objects.")
TOO_LONG = _("Use whole numbers of at most 64 bits.")
NOT_A_SIZE = _("Use numbers between 1e-30 and 1e19 in size, or 0.")


class NoJSON(ValidationError):
    """A text that is no JSON at all."""


def validate_labels(labels: Any) -> None:
    """Labels are an object of short strings that PostgreSQL can keep."""
    if not isinstance(labels, dict):
        raise ValidationError(_('Use an object such as {"site": "Hanoi"}.'))
    if len(labels) > MOST_LABELS:
        raise ValidationError(_("Use at most {count} labels.").format(count=MOST_LABELS))
    for key, value in labels.items():
        _check_key(key, LABEL_KEY_LENGTH)
        # A filter reads “site:Hanoi” up to the first colon.
        if ":" in key:
            said = _("{key}: leave the colon out of the name of a label.")
            raise ValidationError(said.format(key=key))
        _check_text(key, value, LABEL_VALUE_LENGTH)


def validate_fields(fields: Any) -> None:
    """Fields say what a payload's keys mean: key → label, unit, and range, each optional."""
    if not isinstance(fields, dict):
        raise ValidationError(_('Use an object such as {"temp": {"unit": "°C"}}.'))
    if len(fields) > MOST_FIELDS:
        raise ValidationError(_("Describe at most {count} keys.").format(count=MOST_FIELDS))
    for key, field in fields.items():
        _check_key(key, FIELD_KEY_LENGTH)
        _check_field(key, field)


def _check_field(key: str, field: Any) -> None:
    possible = {*FIELD_TEXTS, *FIELD_NUMBERS}
    if not isinstance(field, dict) or not field.keys() <= possible:
        said = _("{key}: use an object of label, unit, min and max, nothing else.")
        raise ValidationError(said.format(key=key))
    for part, value in field.items():
        if part in FIELD_TEXTS:
            _check_text(f"{key}.{part}", value, FIELD_TEXTS[part])
        else:
            _check_number(f"{key}.{part}", value)
    if field.keys() >= set(FIELD_NUMBERS) and field["min"] > field["max"]:
        raise ValidationError(_("{key}: min is greater than max.").format(key=key))


def _check_key(key: str, longest: int) -> None:
    if not is_text(key):
        raise ValidationError(_("Remove the characters that are not text."))
    if not 1 <= len(key) <= longest:
        said = _("Use names of 1 to {longest} characters, unlike “{name}”.")
        raise ValidationError(said.format(longest=longest, name=key[:longest]))


def _check_text(name: str, value: Any, longest: int) -> None:
    if not isinstance(value, str):
        raise ValidationError(_("{name}: put the value in quotes, it is a text.").format(name=name))
    if not is_text(value):
        raise ValidationError(
            _("{name}: remove the characters that are not text.").format(name=name)
        )
    if len(value) > longest:
        said = _("{name}: use at most {longest} characters.")
        raise ValidationError(said.format(name=name, longest=longest))


def _check_number(name: str, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise ValidationError(_("{name}: use a number.").format(name=name))


def validate_cmd(cmd: str) -> None:
    """The name of a command is a text that people can see and PostgreSQL can keep."""
    if not cmd.isprintable() or not is_text(cmd):
        raise ValidationError(_("Use letters, digits and signs that can be printed."))
    if not cmd.strip():
        raise ValidationError(_("Say what the device shall do, in a word such as reboot."))
    if cmd != cmd.strip():
        raise ValidationError(_("Leave out the spaces at its beginning and end."))


def read_json(text: str) -> Any:
    """What people typed as JSON; `validate_params` says whether a command can take it.

    Raises NoJSON for a text that is none, and ValidationError for numbers that would be changed,
    and for what is nested too deeply to be read.
    """
    numbers = _Numbers()
    try:
        value = json.loads(
            text,
            parse_constant=numbers.constant,
            parse_int=numbers.whole,
            parse_float=numbers.real,
        )
    except json.JSONDecodeError as error:
        said = _("This is no JSON (line {line}, column {column}). An example: {example}")
        place = {"line": error.lineno, "column": error.colno, "example": EXAMPLE}
        raise NoJSON(said.format(**place)) from error
    except RecursionError as error:
        raise ValidationError(TOO_DEEP) from error
    if numbers.fault:
        raise ValidationError(numbers.fault)
    return value


class _Numbers:
    """Reads numbers, and notes what is wrong with one: the text may turn out to be no JSON."""

    fault: Any = ""

    def constant(self, name: str) -> float:
        self.fault = f"{_('There is no {name} in JSON.').format(name=name)} {NOT_A_SIZE}"
        return 0.0

    def whole(self, digits: str) -> int:
        # Python refuses the longest ones, in words about itself.
        if len(digits) > LONGEST_WHOLE:
            self.fault = TOO_LONG
            return 0
        return int(digits)

    def real(self, text: str) -> float:
        number = float(text)
        if not number and text.lower().partition("e")[0].strip("-0."):
            self.fault = NOT_A_SIZE
        return number


def validate_params(params: Any) -> None:
    """What goes with a command is an object of JSON that PostgreSQL and any device can keep."""
    if not isinstance(params, dict):
        raise ValidationError(_('Use an object such as {"delay": 5}, or leave it out.'))
    _check_json(params, DEEPEST_PARAMS)


def _check_json(value: Any, levels: int) -> None:
    if isinstance(value, str) and not is_text(value):
        raise ValidationError(_("Remove the characters that are not text."))
    if isinstance(value, int | float):
        _check_size(value)
    if isinstance(value, dict | list) and not levels:
        raise ValidationError(TOO_DEEP)
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for child in value:
            _check_json(child, levels - 1)


def _check_size(number: float) -> None:
    if isinstance(number, int):
        fits = -(2**63) <= number < 2**64
    else:
        # A whole number that is longer came over the API as the nearest real one.
        fits = not number.is_integer() or -(2**63) < number < 2**64
    if not fits:
        raise ValidationError(TOO_LONG)
    if number and not SMALLEST <= abs(number) < 2**64:
        raise ValidationError(NOT_A_SIZE)


def is_text(text: str) -> bool:
    """Whether PostgreSQL can keep it: JSON can spell NUL and half of a surrogate pair as well."""
    return "\0" not in text and text == text.encode(errors="replace").decode()
