"""Catalogues of translations, as their sources (.po) have them."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

from tests.iotplatform.processes import ROOT

OWN = ROOT / "locale" / "vi" / "LC_MESSAGES" / "django.po"
OF_LIBRARIES = ROOT / "locale" / "libraries" / "vi" / "LC_MESSAGES" / "django.po"
NAMES = ("msgctxt", "msgid", "msgid_plural", "msgstr")
FIELD = re.compile(r'^(msgctxt|msgid_plural|msgid|msgstr)(?:\[\d\])? ((?:".*"\n?)+)', re.MULTILINE)


class Entry(NamedTuple):
    """A text with its translation; `plural` is empty where there is one form."""

    context: str
    text: str
    plural: str
    translation: str
    is_fuzzy: bool


def entries(path: Path) -> list[Entry]:
    """All of a catalogue but its header."""
    found = []
    for block in path.read_text().split("\n\n"):
        fields = {name: unquoted(lines) for name, lines in FIELD.findall(block + "\n")}
        if fields.get("msgid"):
            is_fuzzy = any(line.startswith("#,") and "fuzzy" in line for line in block.split("\n"))
            parts = (
                fields.get(name, "") for name in ("msgctxt", "msgid", "msgid_plural", "msgstr")
            )
            found.append(Entry(*parts, is_fuzzy))
    return found


def unquoted(lines: str) -> str:
    return "".join(ast.literal_eval(line) for line in lines.splitlines())
