"""JSON as the platform takes it: what PostgreSQL and every later reader can take too.

Looked for in this order: size, UTF-8, NUL, depth, JSON, numbers.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from telemetry.reasons import Reason, Rejected

MAX_DEPTH = 64
# PostgreSQL's numeric takes 16,383 digits behind the point; a shorter message cannot exceed that
# without an exponent.
LONG = 16_000
MAX_DIGITS = 400
LONGEST_EXPONENT = 4
# PostgreSQL writes an exponent out: a payload of nothing but 1e300 would grow by fifty times.
MOST_ZEROS = 500_000
LONG_NUMBER = re.compile(rb"[0-9]{400}")
LONG_EXPONENT = re.compile(rb"(?:\A|[:,\[\s])-?[0-9.]+[eE][-+]?[0-9]{3}")
EXPONENT = re.compile(rb"[0-9.][eE][-+]?([0-9]{1,3})")
# A string that does not end goes to the end of the text; without that, and without the possessive
# “*+”, a text of quotes would be searched again from each of them.
STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def parse(raw: bytes, max_payload: int) -> Any:
    """The JSON value in `raw`; of a text that is no JSON, the text."""
    if len(raw) > max_payload:
        raise Rejected(Reason.TOO_LARGE, f"{len(raw):,} bytes where {max_payload:,} are allowed.")
    # Optimization: orjson refuses whatever PostgreSQL or a later reader could not take, except for
    # what is looked for here. So an ordinary message is parsed once, and six times faster.
    if (b"\\" not in raw or b"\\u0000" not in raw) and not _has_odd_number(raw):
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return _parse_carefully(raw)
        if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH or not _is_deeper(value, MAX_DEPTH):
            return value
    return _parse_carefully(raw)


def _has_odd_number(raw: bytes) -> bool:
    """Whether a number may be there that rounds to zero, or too many digits."""
    # Only below one, or at zero, an exponent can be too long for PostgreSQL and fit a double.
    suspicious = b"e-" in raw or b"0e" in raw or b"E" in raw
    if suspicious and LONG_EXPONENT.search(raw):
        return True
    if len(raw) < LONG:
        return False
    return bool(LONG_NUMBER.search(raw)) or _zeros_in(raw) > MOST_ZEROS


def _zeros_in(raw: bytes) -> int:
    """How many zeros the exponents in `raw` stand for, if they can be as many as is too many."""
    # Optimization: to count is faster than to search.
    if raw.count(b"e") + raw.count(b"E") <= MOST_ZEROS // 999:
        return 0
    return sum(map(int, EXPONENT.findall(raw)))


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether more than `levels` arrays and objects are nested in `value`."""
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return False
    return levels == 0 or any(
        _is_deeper(child, levels - 1)
        for child in value
        if type(child) is dict or type(child) is list
    )


def _parse_carefully(raw: bytes) -> Any:
    """As `parse`, for what is not ordinary: finds the reason, and says it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Rejected(Reason.NOT_UTF8, f"Byte {error.start} is not UTF-8.") from None
    if "\0" in text:
        raise Rejected(Reason.NUL, f"Character {text.index(chr(0))} is NUL.")
    if _depth(text) > MAX_DEPTH:
        raise Rejected(Reason.TOO_DEEP, f"More than {MAX_DEPTH} brackets are open at once.")
    numbers = _Numbers()
    try:
        value = json.loads(
            text,
            parse_float=numbers.real,
            parse_int=numbers.integer,
            parse_constant=numbers.constant,
        )
    except ValueError:
        return text
    if numbers.fault:
        raise numbers.fault
    for string in _strings(value):
        _check_string(string)
    return value


class _Numbers:
    """Reads the numbers of a JSON text and notes the first that cannot be stored.

    It is noted, not raised: should the text turn out not to be JSON, it is kept as it is.
    """

    def __init__(self) -> None:
        self.fault: Rejected | None = None
        self.zeros = 0

    def constant(self, text: str) -> float:
        self.fault = self.fault or Rejected(Reason.NOT_FINITE, f"{text} is not JSON.")
        return 0.0

    def real(self, text: str) -> float:
        value = float(text)
        mantissa, _, exponent = text.lower().partition("e")
        vanished = value == 0.0 and any(digit in "123456789" for digit in mantissa)
        too_long = len(mantissa) > MAX_DIGITS or len(exponent) > LONGEST_EXPONENT
        if vanished or too_long or value in (float("inf"), float("-inf")):
            self._note(text)
            return 0.0
        self.zeros += abs(int(exponent or 0))
        if self.zeros > MOST_ZEROS:
            advice = f"Written out, the numbers have more than {MOST_ZEROS:,} zeros."
            self.fault = self.fault or Rejected(Reason.NUMBER, advice)
        return value

    def integer(self, text: str) -> int | float:
        if len(text) > 308:
            self._note(text)
            return 0
        value = int(text)
        return value if -(2**63) <= value < 2**64 else float(value)

    def _note(self, text: str) -> None:
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        self.fault = self.fault or Rejected(Reason.NUMBER, f"{shown} does not fit a double.")


def _depth(text: str) -> int:
    """How many brackets are open at once, at most; those in strings do not count."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for match in STRING_OR_BRACKET.finditer(text):
        sign = match[0]
        if sign in ("[", "{"):
            depth += 1
            deepest = max(deepest, depth)
        elif sign in ("]", "}"):
            depth -= 1
    return deepest


def _strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for child in value.values():
            yield from _strings(child)
    elif isinstance(value, list):
        for child in value:
            yield from _strings(child)


def _check_string(string: str) -> None:
    if "\0" in string:
        raise Rejected(Reason.NUL, "A string contains the character \\u0000.")
    try:
        string.encode()
    except UnicodeEncodeError:
        raise Rejected(Reason.NOT_UTF8, "A string contains half a surrogate pair.") from None
