"""The catalogues of Vietnamese: complete, compiled, and with nothing lost on the way."""

import gettext
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.utils import translation
from django.utils.translation import ngettext

from tests.iotplatform.processes import ROOT
from tests.iotplatform.words import libraries
from tests.iotplatform.words.catalogue import OF_LIBRARIES, OWN, Entry, entries

CATALOGUES = pytest.mark.parametrize("path", [OWN, OF_LIBRARIES], ids=["own", "libraries"])
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[ds]|\{[^{}]*\}")
SOURCES = ("accounts", "devices", "telemetry", "iotplatform", "templates", "locale", "manage.py")
MAKE = ["makemessages", "--locale", "vi", "--no-location", "--no-wrap", "--no-obsolete"]


@CATALOGUES
def test_every_text_is_translated(path):
    assert [each.text for each in entries(path) if not each.translation or each.is_fuzzy] == []


@CATALOGUES
def test_a_translation_has_the_placeholders_of_its_text(path):
    assert [each.text for each in entries(path) if placeholders(each) != expected(each)] == []


def placeholders(entry: Entry) -> set[str]:
    return set(PLACEHOLDER.findall(entry.translation))


def expected(entry: Entry) -> set[str]:
    """Vietnamese has one form, for one thing as for many."""
    text = entry.plural or entry.text
    # An example of JSON is no placeholder, and may be an example from Vietnam.
    return placeholders(entry) if '{"' in text else set(PLACEHOLDER.findall(text))


@CATALOGUES
def test_what_begins_or_ends_with_a_space_still_does(path):
    """For something follows."""
    spaces = [(each, re.findall(r"\A\s*|\s*\Z", each.text)) for each in entries(path)]
    assert [e.text for e, s in spaces if re.findall(r"\A\s*|\s*\Z", e.translation) != s] == []


@CATALOGUES
def test_the_compiled_catalogue_says_the_same(path):
    with path.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for each in entries(path):
        context = each.context or None
        if each.plural and context:
            said = compiled.npgettext(context, each.text, each.plural, 2)
        elif each.plural:
            said = compiled.ngettext(each.text, each.plural, 2)
        else:
            said = compiled.pgettext(context, each.text) if context else compiled.gettext(each.text)
        assert said == each.translation


def test_what_the_libraries_say_is_translated():
    with translation.override("vi"):
        left = [text for text in sorted(libraries.texts()) if translation.gettext(text) == text]
    assert left == []


def test_what_django_says_in_its_pages_is_translated():
    with translation.override("vi"):
        left = [each.text for each in libraries.in_django() if said(each) in each[1:3]]
    # “11th”: there is no such thing in Vietnamese.
    assert [text for text in left if not re.fullmatch(r"\{\}\w\w", text)] == []


def said(entry: Entry) -> str:
    if entry.plural:
        context = entry.context or None
        arguments = (entry.text, entry.plural, 2)
        return translation.npgettext(context, *arguments) if context else ngettext(*arguments)
    text = entry.text
    return translation.pgettext(entry.context, text) if entry.context else translation.gettext(text)


@pytest.mark.xgettext
def test_the_catalogue_has_the_texts_of_the_sources_and_no_others(tmp_path: Path):
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.pyc"))
        else:
            shutil.copy(ROOT / name, tmp_path)
    subprocess.run([sys.executable, "manage.py", *MAKE], cwd=tmp_path, check=True, timeout=120)
    made = entries(tmp_path / OWN.relative_to(ROOT))
    assert {each[:3] for each in made} == {each[:3] for each in entries(OWN)}
