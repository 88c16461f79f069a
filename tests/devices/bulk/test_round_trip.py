"""What is exported can be imported, and is the same again."""

import csv
import json
from io import StringIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devices.bulk.files import COLUMNS, DEVICES, cells_of, csv_text, read_csv
from devices.models import Device
from tests import cast as people
from tests.devices.bulk.conftest import exported, rows, send

# What PostgreSQL keeps in a text.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "'=1",
    "''=1",
    "'",
    "'tis",
    "\uff1d1",
]


@given(name=TEXTS, kind=TEXTS, labels=st.dictionaries(TEXTS, TEXTS, max_size=3), on=st.booleans())
@example(name='"', kind=",", labels={"'": '"'}, on=True)
@example(name="\r", kind="\n", labels={}, on=False)
@example(name="'=", kind="''", labels={}, on=False)
def test_every_cell_survives(name, kind, labels, on):
    file = csv_text([COLUMNS, cells_of(("-d", name, "t0", kind, on, labels))])
    (row,) = read_csv(file, DEVICES)
    assert list(row.fields) == COLUMNS
    assert tuple(row.fields.values()) == ("-d", name, "t0", kind or None, on, labels)


@given(TEXTS)
def test_no_cell_begins_like_a_formula(name):
    cell = cells_of(("d", name, "t0", None, True, {}))[1]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@pytest.fixture
def fleet(cast, types):
    for number, name in enumerate(
        [*FORMULAS, " spaces ", 'quote " comma , line \n end', "Hà Nội 🏭"]
    ):
        device = people.device(f"-dev.{number}", cast.t0)
        device.name, device.is_enabled = name, bool(number % 2)
        device.type = [types.own, types.shared, None][number % 3]
        device.labels = {"site": name, "=key": "x"} if number % 2 else {}
        device.save()
    return cast


def settings() -> list[dict]:
    return list(Device.objects.values().order_by("pk"))


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_import_of_what_was_exported_changes_nothing(fleet, kind):
    file = exported(fleet.operator, **{"as": kind})
    before = settings()
    answer = send(fleet.operator, json.loads(file) if kind == "json" else file)
    assert {outcome for *_, outcome in rows(answer)} == {"unchanged"}
    assert settings() == before


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_import_brings_back_what_was_changed_meanwhile(fleet, kind):
    file = exported(fleet.operator, **{"as": kind})
    before = settings()
    Device.objects.filter(tenant=fleet.t0).update(name="x", type=None, labels={"x": "x"})
    assert settings() != before
    send(fleet.operator, json.loads(file) if kind == "json" else file)
    assert settings() == before


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_import_makes_devices_anew_that_are_no_more(fleet, kind):
    file = exported(fleet.operator, **{"as": kind})
    Device.objects.filter(tenant=fleet.t0).delete()
    send(fleet.operator, json.loads(file) if kind == "json" else file)
    assert exported(fleet.operator, **{"as": kind}) == file


def test_a_csv_file_is_read_by_others_as_well(cast):
    table = list(csv.DictReader(StringIO(exported(cast.viewer).decode(), newline="")))
    assert table == [
        {
            "device_uid": "dev-01",
            "name": "Device dev-01",
            "tenant": "t0",
            "type": "",
            "is_enabled": "true",
            "labels": "{}",
        }
    ]
