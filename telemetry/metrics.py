"""What became of the readings that came in at a door, as this process counted it.

The law of conservation: received = stored + duplicate + rejected, of which the rejected are those
of all reasons together. What comes twice is counted twice, as in `telemetry/counts.py`.
"""

from collections.abc import Mapping

from prometheus_client import Counter

from telemetry.counts import Tally

# In no registry of the library's: each process tells what is its own.
RECEIVED = Counter(
    "iotplatform_readings_received", "Readings that came in at a door.", registry=None
)
READINGS = Counter(
    "iotplatform_readings", "Readings by what became of them.", ["outcome"], registry=None
)
REJECTED = Counter(
    "iotplatform_readings_rejected", "Rejected readings by reason.", ["reason"], registry=None
)
OF_READINGS = RECEIVED, READINGS, REJECTED
# So that they are there before the first one comes.
OUTCOMES = {outcome: READINGS.labels(outcome) for outcome in Tally._fields}


def count(tally: Tally, reasons: Mapping[str, int]) -> None:
    """Count what became of a batch, of which so many readings were rejected by `reasons`."""
    RECEIVED.inc(tally.received)
    for outcome, number in tally._asdict().items():
        OUTCOMES[outcome].inc(number)
    for reason, number in reasons.items():
        REJECTED.labels(reason).inc(number)
