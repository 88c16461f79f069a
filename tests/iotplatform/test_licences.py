"""The terms of all that is used are known, allowed, and on docs/licences.md."""

import re
import tomllib

from iotplatform import settings
from tests.iotplatform import licences
from tests.iotplatform.licences import ROOT


def test_the_page_is_what_make_licences_would_write():
    assert licences.PAGE.read_text() == licences.page()


def test_every_licence_is_permissive_or_its_terms_are_met():
    allowed = licences.PERMISSIVE | licences.WITH_TERMS.keys()
    assert {
        each.name: each.licence
        for each in licences.everything()
        if not licences.terms(each.licence) <= allowed
    } == {}


def test_no_reason_outlives_its_licence():
    used = set().union(*(licences.terms(each.licence) for each in licences.everything()))
    assert licences.WITH_TERMS.keys() <= used


def test_whatever_has_a_licence_beside_it_is_listed():
    # Hidden directories are those of tools, and of what is installed.
    files = [*ROOT.glob("[!.]*/**/LICENSE*"), *ROOT.glob("[!.]*/**/COPYING*")]
    found = {str(path.relative_to(ROOT)) for path in files}
    assert found == licences.VENDORED.keys()


def test_the_images_are_listed():
    assert licences.images() == licences.IMAGES.keys()


def test_the_version_is_the_same_wherever_it_stands():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == settings.SPECTACULAR_SETTINGS["VERSION"]
    newest = re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == project["version"]


def test_the_licence_is_the_one_that_the_project_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (ROOT / "LICENSE").read_text().startswith(f"{project['license']} License")
