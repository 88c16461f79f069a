"""What the platform says to people, in the language of the page that they read.

Most texts are translated where they are said. Some are kept in rows, in English, by processes that
talk to nobody: `sentence` makes them known, and `in_language` translates what a row has. What a
device said of itself is none of them and stays as it is.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from django.utils.formats import number_format
from django.utils.translation import get_language, gettext

PLACEHOLDER = re.compile(r"\{(\w+)[^}]*\}")


class Pattern(NamedTuple):
    """A sentence with placeholders, and what finds it again once these are filled."""

    template: str
    filled: re.Pattern[str]


_whole: set[str] = set()
_patterns: list[Pattern] = []


def sentence(template: str) -> str:
    """`template`, which rows keep as it is, or with its named placeholders filled.

    Write it as sentence(gettext_noop("…")), by which it comes into the catalog as well.
    """
    pieces = PLACEHOLDER.split(template)
    if len(pieces) == 1:
        _whole.add(template)
    else:
        # Text and names of placeholders, in turn.
        parts = [
            f"(?P<{piece}>.+?)" if is_name else re.escape(piece)
            for piece, is_name in zip(pieces, [False, True] * len(pieces), strict=False)
        ]
        _patterns.append(Pattern(template, re.compile("".join(parts), re.DOTALL)))
    return template


def in_language(text: str) -> str:
    """What a row says, in the language of the page; as it is if it is none of our sentences."""
    if (get_language() or "en").startswith("en"):
        return text
    if text in _whole:
        return gettext(text)
    for template, filled in _patterns:
        if found := filled.fullmatch(text):
            said = PLACEHOLDER.sub(r"{\1}", gettext(template))
            return said.format(**{name: in_language(it) for name, it in found.groupdict().items()})
    return text


def number(count: int) -> str:
    """A whole number as people write it: 12,345 or 12.345."""
    return number_format(count, force_grouping=True)


def listed(names: Sequence[str], most: int) -> str:
    """The first `most` of `names`, and how many more there are."""
    if len(names) <= most:
        return ", ".join(names)
    text = gettext("{names} and {count} more")
    return text.format(names=", ".join(names[:most]), count=number(len(names) - most))
