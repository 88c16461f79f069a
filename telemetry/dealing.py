"""Deals with many rejected messages, a bounded step at a time, in the order they came in.

A group can hold a hundred thousand: no request, and no transaction, is to take all of them.
"""

import time
from collections.abc import Callable
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from telemetry.models import RejectedMessage, RejectedMessageQuerySet
from telemetry.replay import Replayed

RESOLVED = "resolved"
"""The outcome of a message that was marked as dealt with."""

STEP = 5_000
SECONDS = 2.0
CHUNK = 500
CHUNK_BYTES = 8 << 20

Do = Callable[[list[UUID]], list[Replayed]]


class Place(NamedTuple):
    """How far a run has come: the message that it dealt with last."""

    received_at: datetime
    id: UUID


def resolve_all(ids: list[UUID]) -> list[Replayed]:
    """Mark those of `ids` that are open as dealt with, without storing them."""
    with transaction.atomic():
        # Locked in the order in which replaying locks them, so that the two never deadlock.
        messages = RejectedMessage.objects.lock_open(ids, without_payload=True)
        RejectedMessage.objects.filter(pk__in=[message.pk for message in messages]).resolve()
    return [Replayed(message, RESOLVED) for message in messages]


def step(
    messages: RejectedMessageQuerySet,
    do: Do,
    after: Place | None,
    note: Callable[[list[Replayed]], None],
) -> Place | None:
    """Let `do` deal with the next of `messages` behind `after`: STEP of them, or for SECONDS.

    `note` is told of each chunk. Returns how far it came, None if that was the end.
    """
    end = time.monotonic() + SECONDS
    left = STEP
    while True:
        chunk = _chunk(messages, after, min(CHUNK, left))
        if not chunk:
            return None
        # What was dealt with and who did it are kept together or not at all.
        with transaction.atomic():
            note(do([place.id for place in chunk]))
        after = chunk[-1]
        left -= len(chunk)
        if left <= 0 or time.monotonic() > end:
            return after


def _chunk(messages: RejectedMessageQuerySet, after: Place | None, most: int) -> list[Place]:
    """The next messages: at most so many, and no more than one transaction should hold."""
    rows = list(messages.behind(after).values_list("received_at", "id", "size")[:most])
    sums = accumulate(size for *_, size in rows)
    return [
        Place(at, id_)
        for number, ((at, id_, _), bytes_) in enumerate(zip(rows, sums, strict=True))
        if number == 0 or bytes_ <= CHUNK_BYTES
    ]
