"""Files of devices and of what they have, CSV and JSON: read row by row into fields, and devices
written so that reading gives back exactly what was written."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import StringIO
from itertools import chain, islice
from typing import Any, NamedTuple

import orjson
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError

from accounts.files import FORMULA_SIGNS, csv_text
from accounts.rest import JSONRow
from accounts.words import number
from devices.models import DeviceQuerySet

COLUMNS = ["device_uid", "name", "tenant", "type", "is_enabled", "labels"]
SOURCES = ["device_uid", "name", "tenant__slug", "type__name", "is_enabled", "labels"]
LARGEST_FILE = 32 * 1024 * 1024
MOST_ROWS = 100_000
CHUNK = 2_000

# What a spreadsheet would take for a formula gets an apostrophe; one more if it looks like that
# already, so that reading can undo it.
FORMULA = re.compile(rf"'*[{FORMULA_SIGNS}\t\r\n]")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class FileError(ParseError):
    """The file as a whole cannot be read; the text says what to do about it."""


class Row(NamedTuple):
    """What a file says of one device.

    `line` is where it begins in a CSV file, and its place in a JSON array, from 1. A `fault` says
    why the fields cannot be told apart.
    """

    line: int
    fields: Any
    fault: str = ""


class Table(NamedTuple):
    """What a CSV file may hold: its columns, those that it has to have, and what cells mean.

    Of a file that `is_secret` nothing is told back, for its columns may be mixed up.
    """

    columns: Sequence[str]
    needed: Sequence[str]
    fields_of: Callable[[dict[str, str]], dict[str, Any]]
    is_secret: bool = False


def read_csv(raw: bytes, table: Table) -> list[Row]:
    """The rows of a CSV file in UTF-8 whose first line names the columns."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        said = _("Byte {place} is not UTF-8. Save the file as UTF-8.")
        raise FileError(said.format(place=error.start)) from error
    lines = csv_lines(text)
    columns = next(lines, (1, []))[1]
    check_columns(columns, table)
    return limited(csv_row(line, columns, cells, table) for line, cells in lines)


def read_json(elements: Any, what: str = "devices") -> list[Row]:
    """The rows in the value of a JSON file, which has to be an array of `what`."""
    if not isinstance(elements, list):
        raise FileError(_("Send an array of {what}.").format(what=what))
    return limited(Row(place, fields) for place, fields in enumerate(elements, 1))


def limited(rows: Iterable[Row]) -> list[Row]:
    found: list[Row] = []
    for row in rows:
        if len(found) == MOST_ROWS:
            said = _("There are more than {most} devices. Split the file.")
            raise FileError(said.format(most=number(MOST_ROWS)))
        found.append(row)
    return found


def csv_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV text that are not empty, each with the line on which it begins."""
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    begins = 1
    try:
        for cells in reader:
            if cells:
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        said = _("Line {line} is not CSV: {fault}. Check its quotes.")
        raise FileError(said.format(line=begins, fault=error)) from error


def check_columns(columns: list[str], table: Table) -> None:
    possible = _("Possible, separated by commas: {columns}.").format(
        columns=",".join(table.columns)
    )
    for place, column in enumerate(columns, 1):
        if column not in table.columns:
            said = _("There is no column number {place}.")
            if not table.is_secret:
                said = _("There is no column “{name}” to set.")
            raise FileError(f"{said.format(place=place, name=column[:80])} {possible}")
        if columns.count(column) > 1:
            said = _("There are two columns “{name}”. Remove one.")
            raise FileError(said.format(name=column))
    if not set(table.needed) <= set(columns):
        needed = _(" and ").join(table.needed)
        said = _("The first line has to name the columns, with {needed}.").format(needed=needed)
        raise FileError(f"{said} {possible}")


def csv_row(line: int, columns: list[str], cells: list[str], table: Table) -> Row:
    if len(cells) != len(columns):
        fault = _("The row has {count} cells, the first line of the file {columns}.")
        return Row(line, {}, fault.format(count=len(cells), columns=len(columns)))
    return Row(line, table.fields_of(dict(zip(columns, cells, strict=True))))


def device_fields(cells: dict[str, str]) -> dict[str, Any]:
    fields = {name: value_of(name, without_apostrophe(cell)) for name, cell in cells.items()}
    if fields.get("tenant") == "":
        del fields["tenant"]  # One's own, or the one it has: as if there were no such column.
    return fields


DEVICES = Table(COLUMNS, ["device_uid"], device_fields)


def value_of(column: str, cell: str) -> Any:
    """What a cell means. What has no meaning stays as it is, to be refused like any wrong value."""
    if column == "type":
        return cell or None
    if column == "is_enabled":
        return BOOLEANS.get(cell.strip().lower(), cell)
    if column == "labels":
        return labels_of(cell)
    return cell


def labels_of(cell: str) -> Any:
    if not cell.strip():
        return {}
    try:
        labels = orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell
    # Deeper brackets are an error anyway, and too deep for others to find out.
    is_deep = not isinstance(labels, dict) or any(
        isinstance(value, dict | list) for value in labels.values()
    )
    return cell if is_deep else labels


def with_apostrophe(cell: str) -> str:
    return f"'{cell}" if FORMULA.match(cell) else cell


def without_apostrophe(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def write_csv(devices: DeviceQuerySet, start: bytes = b"") -> Iterator[bytes]:
    """The file that `read_csv` reads, a chunk at a time; `start` comes before everything."""
    rows = devices.values_list(*SOURCES).iterator(CHUNK)
    for lines in chunks(chain([COLUMNS], map(cells_of, rows))):
        yield start + csv_text(lines)
        start = b""


def cells_of(values: tuple[Any, ...]) -> list[str]:
    uid, name, tenant, type_name, is_enabled, labels = values
    enabled = "true" if is_enabled else "false"
    texts = uid, name, tenant, type_name or "", enabled, json.dumps(labels, ensure_ascii=False)
    return [with_apostrophe(text) for text in texts]


def write_json(devices: DeviceQuerySet) -> Iterator[bytes]:
    """The array that `read_json` reads, a chunk of devices at a time."""
    row = JSONRow(**dict(zip(COLUMNS, SOURCES, strict=True)))
    texts = devices.annotate(row=row).values_list("row", flat=True).iterator(CHUNK)
    before = "["
    for rows in chunks(texts):
        yield (before + ",\n".join(rows)).encode()
        before = ",\n"
    yield b"[]\n" if before == "[" else b"]\n"


def chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk
