"""The tokens of simulated devices, from the one-time file that made them. None is ever said."""

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from devices.bulk.files import FileError, csv_lines, without_apostrophe

COLUMNS = ("device_uid", "token")
ISSUE = "Issue one by POST /credentials, or simulate fewer devices (--devices, --prefix)."
SHAPE = (
    "Its first line has to name the columns, with device_uid and token, as in the file that is "
    "the answer to POST /credentials."
)
SHAPE_OF_JSON = 'Write an array of objects with device_uid and token, or {"dev-01": "its token"}.'
NAMED = 5


class TokensError(Exception):
    """The file does not have what the devices need; the text says what to do about it."""


def read_tokens(path: Path, uids: Collection[str]) -> dict[str, str]:
    """Uid → token, for all of `uids`, from a file in CSV or JSON. Others in it are passed over."""
    text = _text(path)
    pairs = _from_json(text) if text.lstrip()[:1] in ("[", "{") else _from_csv(text)
    tokens: dict[str, str] = {}
    # Of others nothing may be told back: their columns may be mixed up.
    for uid, token in [pair for pair in pairs if pair[0] in uids]:
        if tokens.setdefault(uid, token) != token:
            raise TokensError(f"There are two tokens for {uid}. Leave the one that is in force.")
    missing = [uid for uid in uids if not tokens.get(uid)]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise TokensError(f"There is no token for {', '.join(missing[:NAMED])}{more}. {ISSUE}")
    return {uid: tokens[uid] for uid in uids}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise TokensError(f"It cannot be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise TokensError(f"Byte {error.start} is not UTF-8. Save it as UTF-8.") from error


def _from_csv(text: str) -> Iterator[tuple[str, str]]:
    try:
        (_, header), *rows = csv_lines(text) if text.strip() else [(1, [])]
    except FileError as error:
        raise TokensError(str(error)) from error
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise TokensError(f"There is no column {' and no '.join(missing)}. {SHAPE}")
    for line, cells in rows:
        if len(cells) != len(header):
            raise TokensError(f"Line {line} has {len(cells)} cells, the first one {len(header)}.")
        row = dict(zip(header, cells, strict=True))
        yield without_apostrophe(row["device_uid"]), row["token"]


def _from_json(text: str) -> Iterator[tuple[str, str]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Without its cause, which has the text.
        place = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise TokensError(f"It is not JSON{place}. {SHAPE_OF_JSON}") from None
    for uid, token in found.items() if isinstance(found, dict) else _elements(found):
        if not isinstance(uid, str) or not isinstance(token, str):
            raise TokensError(f"A device_uid or token is no text. {SHAPE_OF_JSON}")
        yield uid, token


def _elements(found: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for place, each in enumerate(found, 1):
        if not isinstance(each, dict) or not each.keys() >= set(COLUMNS):
            raise TokensError(f"Element {place} lacks device_uid or token. {SHAPE_OF_JSON}")
        yield each["device_uid"], each["token"]
