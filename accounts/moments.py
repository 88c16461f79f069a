"""Points in time as people and programs write them in requests."""

import re
from datetime import UTC, datetime, timedelta

from django.utils.dateparse import parse_datetime

FARTHEST = timedelta(hours=15, minutes=59)
"""The offset from UTC that PostgreSQL still takes."""
PLUS_LOST = re.compile(r"(T\S+) (\d\d:?\d\d)\Z")
ADVICE = "Write it as 2026-01-31T13:45:00Z."


def parse_moment(text: str) -> datetime:
    """The moment that an ISO 8601 text means, in UTC, which it is without an offset.

    Raises ValueError with a sentence for whoever wrote it.
    """
    # In an address, “+” means a space, and few clients know.
    text = PLUS_LOST.sub(r"\1+\2", text.strip())
    try:
        moment = parse_datetime(text)
    except ValueError as error:
        raise ValueError(f"There is no such time. {ADVICE}") from error
    if moment is None:
        raise ValueError(f"This is no time. {ADVICE}")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if abs(moment.utcoffset() or timedelta()) > FARTHEST:
        raise ValueError(f"No place on earth is more than 15:59 from UTC. {ADVICE}")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"This is outside the years 1 to 9999. {ADVICE}") from error
