"""History as files of any size: CSV and NDJSON, read and handed out block by block."""

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
from django.db import transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from accounts.files import csv_text
from telemetry.models import TelemetryQuerySet

BLOCK_CHARACTERS = 1024 * 1024
# One reading may have MAX_PAYLOAD bytes: this many are in memory at once beyond the block.
FETCHED_ROWS = 100

# A spreadsheet takes what begins so for a formula, and formulas can send data away (OWASP).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")

Row = tuple[Any, ...]


def as_ndjson(readings: TelemetryQuerySet) -> Iterator[bytes]:
    """A line of JSON for each reading, oldest first, out of the annotation `json`."""
    for rows in blocks(readings, "json"):
        yield "".join([f"{text}\n" for _, _, text in rows]).encode()


def as_csv(readings: TelemetryQuerySet, keys: list[str]) -> Iterator[bytes]:
    """A row for each reading, oldest first: time, message id, and a column for each of `keys`."""
    texts = readings.annotate(text=Cast("payload", TextField()))
    lines: list[list[Any]] = [["ts", "msg_id", *map(cell, keys)]]
    for rows in blocks(texts, "text", "msg_id"):
        for ts, _, text, msg_id in rows:
            value_of = orjson.loads(text).get
            lines.append([ts.isoformat(), cell(msg_id), *[cell(value_of(key)) for key in keys]])
        yield csv_text(lines)
        lines = []


def cell(value: Any) -> Any:
    """A value of a payload as a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str):
        is_formula = value.startswith(FORMULA) and not NUMBER.match(value)
        return f"'{value}" if is_formula else value
    if isinstance(value, bool | dict | list):
        return orjson.dumps(value).decode()
    return value


def blocks(readings: TelemetryQuerySet, text: str, *fields: str) -> Iterator[list[Row]]:
    """The rows (ts, id, text, *fields), oldest first, in lists of about BLOCK_CHARACTERS of text.

    There is at least one list. A transaction is open only while a list is read, never while it is
    handed out: a slow reader of a long one would hold up `maintain` and the clean-up of dead rows.
    So every list sees the history as it is by then: what is added at times already passed is left
    out, nothing comes twice.
    """
    rows = readings.oldest().values_list("ts", "id", text, *fields)
    block, has_more = _block(rows)
    yield block
    while has_more:
        ts, last_id = block[-1][:2]
        block, has_more = _block(rows.filter(Q(ts__gt=ts) | Q(id__gt=last_id), ts__gte=ts))
        yield block


def _block(rows: Any) -> tuple[list[Row], bool]:
    """The first rows of a query, and whether there are more."""
    block: list[Row] = []
    characters = 0
    with transaction.atomic(), closing(rows.iterator(chunk_size=FETCHED_ROWS)) as found:
        for row in found:
            block.append(row)
            characters += len(row[2])
            if characters >= BLOCK_CHARACTERS:
                return block, True
    return block, False
