"""Messages minute by minute: what is counted, drawn and said of them."""

from datetime import UTC, datetime, timedelta

from iotplatform.home.traffic import HEIGHT, MINUTES, Traffic, traffic_of
from telemetry.counts import Tally
from telemetry.models import MessageCount
from tests import cast as people

NOW = datetime(2026, 1, 14, 12, 0, 30, tzinfo=UTC)
NOON = NOW.replace(second=0)


def ago(minutes):
    return NOON - timedelta(minutes=minutes)


def count(tenant, minutes, writer=1, **tally):
    MessageCount.objects.create(
        minute=ago(minutes), tenant_id=tenant and tenant.pk, writer=writer, **tally
    )


def test_writers_are_summed_and_only_the_tenants_that_a_person_sees_counted(cast):
    count(cast.t0, 0, stored=1)
    count(cast.t0, 1, stored=10, duplicate=2)
    count(cast.t0, 1, writer=2, stored=5, rejected=1)
    count(cast.other, 1, stored=100)
    count(None, 1, rejected=7)
    count(cast.t0, MINUTES, stored=1_000)
    mine = traffic_of(cast.operator, NOW, with_rejected=True)
    assert mine.minutes[-2:] == [Tally(15, 2, 1), Tally(1)]
    assert mine.total == Tally(16, 2, 1)
    assert traffic_of(cast.staff, NOW, with_rejected=True).total == Tally(116, 2, 8)


def test_bars_are_as_high_as_their_share_and_one_bad_message_is_seen():
    bars = Traffic(NOW, {ago(1): Tally(stored=1_000, rejected=1), ago(0): Tally(500)}).bars()
    last, now = (MINUTES - 2) * 4, (MINUTES - 1) * 4
    assert bars["stored"] == f"M{last} {HEIGHT}v-100h3v100zM{now} {HEIGHT}v-50h3v50z"
    assert bars["rejected"] == f"M{last} 0v-2h3v2z"


def test_quarters_have_all_that_the_minutes_have():
    traffic = Traffic(NOW, {ago(n): Tally(n, 1, 2) for n in range(MINUTES)})
    quarters = traffic.quarters()
    assert len(quarters) == 12
    assert sum(quarter.tally.stored for quarter in quarters) == traffic.total.stored
    assert quarters[0].start == ago(14)
    assert quarters[0].tally == Tally(sum(range(15)), 15, 30)


def test_the_drawing_is_said_in_words():
    words = Traffic(NOW, {ago(1): Tally(1_200, 3, 4), ago(2): Tally(2_000)}).summary(
        with_rejected=True
    )
    assert words == (
        "Readings of the last 3 hours: 3,200 stored, 3 known before. 4 rejected. "
        "The last full minute: 1,200. The busiest one: 2,000."
    )
    assert Traffic(NOW, {}).summary(with_rejected=True).startswith("No message came")


def test_a_quiet_platform_is_drawn_without_a_chart(cast):
    page = people.console(cast.viewer).get("/admin/").text
    assert "No message came in the last 3 hours." in page
    assert "<svg class" not in page
