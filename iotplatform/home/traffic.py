"""Messages of the last hours on the home page, minute by minute."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Sum
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.words import number
from telemetry.counts import Tally
from telemetry.models import MessageCount

HOURS = 3
MINUTES = HOURS * 60
MINUTE = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)
# A bar for each minute, in units of the drawing.
STEP, BAR, HEIGHT = 4, 3, 100
LEAST = 2
"""How high a bar is at least where there is anything: one bad message among thousands is seen."""


class Quarter(NamedTuple):
    """A quarter of an hour, for who reads the numbers."""

    start: datetime
    tally: Tally


class Traffic:
    """What came in each of the last minutes, the one that is going on included."""

    def __init__(self, now: datetime, tallies: dict[datetime, Tally]) -> None:
        last = now.replace(second=0, microsecond=0)
        self.start = last - (MINUTES - 1) * MINUTE
        self.minutes = [tallies.get(self.start + n * MINUTE, Tally()) for n in range(MINUTES)]
        self.total = Tally()
        for tally in self.minutes:
            self.total = self.total.plus(tally)
        self.most = max(tally.stored + tally.rejected for tally in self.minutes)

    @property
    def per_minute(self) -> int:
        """Stored in the last full minute."""
        return self.minutes[-2].stored

    @property
    def width(self) -> int:
        return MINUTES * STEP

    def bars(self) -> dict[str, str]:
        """The outlines of the bars: of what was stored, and above it what was rejected."""
        drawn: dict[str, list[str]] = {"stored": [], "rejected": []}
        for place, tally in enumerate(self.minutes):
            base = HEIGHT
            for name, lines in drawn.items():
                if count := getattr(tally, name):
                    high = max(LEAST, round(count * HEIGHT / self.most))
                    lines.append(f"M{place * STEP} {base}v-{high}h{BAR}v{high}z")
                    base -= high
        return {name: "".join(lines) for name, lines in drawn.items()}

    def marks(self) -> list[datetime]:
        """The times below the bars: where they begin, and every hour from there."""
        return [self.start + hours * timedelta(hours=1) for hours in range(HOURS)]

    def quarters(self) -> list[Quarter]:
        """Newest first. They begin with the bars, not with the clock."""
        sums: Counter[tuple[int, str]] = Counter()
        for place, tally in enumerate(self.minutes):
            for name, count in tally._asdict().items():
                sums[place * MINUTE // QUARTER, name] += count
        return [
            Quarter(
                self.start + n * QUARTER, Tally(**{name: sums[n, name] for name in Tally._fields})
            )
            for n in reversed(range(MINUTES * MINUTE // QUARTER))
        ]

    def summary(self, *, with_rejected: bool) -> str:
        """The drawing in words."""
        if not self.total.received:
            return _("No message came in the last {hours} hours.").format(hours=HOURS)
        said = [
            _("Readings of the last {hours} hours: {stored} stored, {duplicate} known before."),
            _("The last full minute: {per_minute}. The busiest one: {most}."),
        ]
        if with_rejected:
            said.insert(1, _("{rejected} rejected."))
        numbers: dict[str, Any] = {**self.total._asdict(), "per_minute": self.per_minute}
        shown = {name: number(count) for name, count in (numbers | {"most": self.most}).items()}
        return " ".join(said).format(hours=HOURS, **shown)


def traffic_of(user: User, now: datetime, *, with_rejected: bool) -> Traffic:
    """The messages of the devices that `user` sees; those of nobody too for platform staff."""
    since = now - MINUTES * MINUTE
    # The unique index begins with the minute.
    counts = MessageCount.objects.visible_to(user).filter(minute__gt=since).values("minute")
    sums = counts.annotate(*(Sum(name) for name in Tally._fields)).order_by()
    rows = sums.values_list("minute", *(f"{name}__sum" for name in Tally._fields))
    shown = {minute: Tally(*map(int, tally)) for minute, *tally in rows}
    if not with_rejected:
        shown = {minute: tally._replace(rejected=0) for minute, tally in shown.items()}
    return Traffic(now, shown)
