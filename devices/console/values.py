"""What a device measured last, and what of it a chart can show, for the page of the device."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from accounts.admin import moment
from devices.console.shown import state_of
from devices.models import Device

ROWS = 200
CHOSEN = 2
"""How many keys a chart shows before anybody chooses."""
OF_ITSELF = frozenset(
    ["batt", "battery", "heap", "lqi", "rssi", "seq", "signal", "snr", "uptime", "vbat", "wifi"]
)
"""Words in keys by which a device says how it is itself, and not what it measures."""


def meanings(device: Device) -> dict[str, dict[str, Any]]:
    """What the device's type says of its keys: key → label, unit, min and max, each optional."""
    return device.type.fields if device.type else {}


def interest(key: str, known: dict[str, dict[str, Any]]) -> tuple[bool, bool, str]:
    """By which keys are sorted where only a few are shown, the first ones being wanted most.

    What the type describes goes first. In which order it does, the database does not keep.
    """
    words = re.split(r"[^a-z]+", key.lower())
    return key not in known, not OF_ITSELF.isdisjoint(words), key


def rows_of(device: Device) -> list[dict[str, Any]]:
    """The newest value of each of the first ROWS keys."""
    known = meanings(device)
    latest = sorted(state_of(device).latest.items())[:ROWS]
    return [row_of(key, value, at, known.get(key, {})) for key, (value, at) in latest]


def row_of(key: str, value: Any, at: float, meaning: dict[str, Any]) -> dict[str, Any]:
    """`at` is in milliseconds since 1970."""
    limits = {limit: meaning.get(limit) for limit in ("min", "max")}
    return {
        "key": key,
        "label": meaning.get("label", ""),
        "unit": meaning.get("unit", ""),
        "value": json.dumps(value, ensure_ascii=False),
        "is_out": is_out(value, **limits),
        "at": at,
        "measured": moment(datetime.fromtimestamp(at / 1000, UTC)),
        **{limit: "" if bound is None else json.dumps(bound) for limit, bound in limits.items()},
    }


def is_out(value: Any, min: float | None, max: float | None) -> bool:
    """Whether a value is a number that is less or more than its type allows."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (min is not None and value < min) or (max is not None and value > max)


def chart_keys(device: Device) -> list[dict[str, str]]:
    """The keys whose newest value is a number, or true or false, with what they mean."""
    known = meanings(device)
    # The addresses of series separate keys by commas.
    return [
        {"key": key, "label": known.get(key, {}).get("label") or key, "unit": unit_of(known, key)}
        for key, (value, _) in sorted(state_of(device).latest.items())
        if isinstance(value, int | float) and "," not in key
    ]


def unit_of(known: dict[str, dict[str, Any]], key: str) -> str:
    unit: str = known.get(key, {}).get("unit", "")
    return unit


def usual_keys(device: Device) -> list[str]:
    """The keys that a chart begins with: those that the type describes go first, switches last."""
    known, latest = meanings(device), state_of(device).latest
    keys = [each["key"] for each in chart_keys(device)]
    keys.sort(
        key=lambda key: (key not in known, isinstance(latest[key][0], bool), interest(key, known))
    )
    return keys[:CHOSEN]
