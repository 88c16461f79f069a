"""How the console shows the bytes that a device sent: nothing hidden, nothing interpreted."""

import json
import re
from io import StringIO
from itertools import groupby
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

LONGEST_SHOWN = 20_000
"""Characters of a text."""
BYTES_SHOWN = 8_192
"""Bytes of a dump, which takes five letters for each."""

HIDDEN = '<span class="rejected-hidden">{}</span>'
# Letters by their kind, but nothing is seen of them.
BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
OPENING, CLOSING = frozenset("[{"), frozenset("]}")


def text_of(data: bytes) -> str:
    """The bytes as text; those that are no UTF-8 become halves of characters, which `visible`
    shows as bytes."""
    return data.decode(errors="surrogateescape")


def is_plain(text: str) -> bool:
    """Whether people see all of the text as it is."""
    return all(map(_is_seen, text))


def visible(text: str) -> SafeString:
    """The text as HTML, in which what is not seen, or turns what is (control characters, those
    without width, of direction, bytes that are no text), is written out and marked."""
    runs = ((seen, "".join(letters)) for seen, letters in groupby(text, key=_is_seen))
    return format_html_join(
        "",
        "{}",
        (
            (run if seen else format_html(HIDDEN, "".join(map(_written, run))),)
            for seen, run in runs
        ),
    )


def _is_seen(letter: str) -> bool:
    if letter in "\n\t":
        return True
    return letter.isprintable() and not BLANK.match(letter)


def _written(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def pretty(text: str) -> str | None:
    """JSON with a line for each value, about LONGEST_SHOWN of it; None if it is no JSON.

    Only the space between changes: numbers keep their digits, and a key given twice is there twice.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    lines = StringIO()
    depth, before = 0, ""
    for match in TOKEN.finditer(text):
        token = match[0]
        depth -= token in CLOSING
        # An empty object or array stays in its line.
        if before == "," or (before in OPENING) != (token in CLOSING):
            lines.write("\n" + "  " * depth)
        lines.write(f"{token} " if token == ":" else token)
        depth += token in OPENING
        before = token
        if lines.tell() > LONGEST_SHOWN:
            break
    return lines.getvalue()


def hex_dump(data: bytes) -> str:
    """The bytes as people read bytes: offset, hexadecimal, and the letters among them."""
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:06x}  {row.hex(' '):<47}  {letters}")
    return "\n".join(lines)


def ways(data: bytes) -> list[dict[str, Any]]:
    """The ways to look at a payload, the one that says most first."""
    text = text_of(data)
    as_text = {
        "name": "text",
        "title": _("Text"),
        "shown": visible(text[:LONGEST_SHOWN]),
        "is_cut": len(text) > LONGEST_SHOWN,
    }
    as_hex = {
        "name": "hex",
        "title": _("Hex"),
        "shown": hex_dump(data[:BYTES_SHOWN]),
        "is_cut": len(data) > BYTES_SHOWN,
    }
    parsed = pretty(text)
    if parsed is None:
        return [as_text, as_hex] if is_plain(text) else [as_hex, as_text]
    as_json = {
        "name": "json",
        "title": "JSON",
        "shown": visible(parsed[:LONGEST_SHOWN]),
        "is_cut": len(parsed) > LONGEST_SHOWN,
    }
    return [as_json, as_text, as_hex]
