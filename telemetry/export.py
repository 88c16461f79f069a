"""History as files of any size: CSV and NDJSON, read and handed out block by block."""

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
from django.db import transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from accounts.files import FORMULA_SIGNS, csv_text
from telemetry.models import TelemetryQuerySet

BLOCK_CHARACTERS = 1024 * 1024
# A row costs memory however short its text is.
BLOCK_ROWS = 10_000
# One reading may have MAX_PAYLOAD bytes: this many are in memory at once beyond the block.
FETCHED_ROWS = 100

# A formula can begin a cell, and what is one where semicolons or tabs divide a file, whose quotes
# mean nothing then. Where commas do, they are heeded.
FORMULA = re.compile(rf"""\A(?=[\t\r\n])|(?:\A|[;\t\r\n])[ "]*(?=[{FORMULA_SIGNS}])""")
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")

COLUMNS = ["ts", "msg_id"]
"""Of every CSV file, before those of the keys."""

Row = tuple[Any, ...]


def as_ndjson(readings: TelemetryQuerySet) -> Iterator[bytes]:
    """A line of JSON for each reading, oldest first, out of the annotation `json`."""
    for rows in blocks(readings, "json"):
        yield "".join([f"{text}\n" for _, _, text in rows]).encode()


def as_csv(readings: TelemetryQuerySet, keys: list[str]) -> Iterator[bytes]:
    """A row for each reading, oldest first: time, message id, and a column for each of `keys`."""
    texts = readings.annotate(text=Cast("payload", TextField()))
    lines: list[list[Any]] = [[*COLUMNS, *map(cell, keys)]]
    for rows in blocks(texts, "text", "msg_id"):
        for ts, _, text, msg_id in rows:
            value_of = orjson.loads(text).get
            lines.append([ts.isoformat(), cell(msg_id), *[cell(value_of(key)) for key in keys]])
        yield csv_text(lines)
        lines = []


def cell(value: Any) -> Any:
    """A value of a payload as a cell, with an apostrophe wherever it could become a formula."""
    if isinstance(value, bool | dict | list):
        value = orjson.dumps(value).decode()
    if isinstance(value, str) and not NUMBER.match(value):
        return FORMULA.sub(r"\g<0>'", value)
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
            if characters >= BLOCK_CHARACTERS or len(block) >= BLOCK_ROWS:
                return block, True
    return block, False
