"""How many rejected messages are kept: for REJECTED_DAYS, and REJECTED_MAX of a tenant."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Tenant
from telemetry.models import RejectedMessage, RejectedOverflow
from tests.cast import rejected
from tests.telemetry.upkeep.conftest import elsewhere, maintain, maintain_in_vain

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def many(tenant, count, *, resolved=(), payload=b"{}", age=0):
    """`count` messages of `age` days, a minute apart, number 0 the oldest; those of some numbers
    were dealt with."""
    for number in range(count):
        at = NOW - timedelta(days=age, minutes=count - number)
        rejected(
            tenant,
            payload,
            detail=f"{number}",
            received_at=at,
            resolved_at=NOW if number in resolved else None,
        )


def left(tenant):
    kept = RejectedMessage.objects.filter(tenant=tenant).order_by("received_at")
    return [int(number) for number in kept.values_list("detail", flat=True)]


def overflow():
    return dict(RejectedOverflow.objects.values_list("tenant_id", "number"))


def test_old_ones_go_whether_or_not_they_were_dealt_with(settings, dev):
    settings.REJECTED_DAYS = 7
    many(dev.tenant, 4, resolved=[1], age=7)
    many(None, 1, age=6)
    assert "rejected messages older than 7 days: 4 deleted" in maintain()
    assert (left(dev.tenant), left(None), overflow()) == ([], [0], {})


def test_of_too_many_those_go_first_that_were_dealt_with_and_then_the_oldest(settings, dev):
    settings.REJECTED_MAX = 3
    many(dev.tenant, 8, resolved=[2, 5, 7])
    assert "beyond 3 of a tenant: 5 removed" in maintain()
    assert left(dev.tenant) == [3, 4, 6]


def test_the_limit_is_that_of_a_tenant_and_of_no_tenant_together(settings, dev, monkeypatch):
    monkeypatch.setattr("telemetry.upkeep.rejected.CHUNK_ROWS", 2)
    settings.REJECTED_MAX = 2
    other = Tenant.objects.create(slug="other")
    many(dev.tenant, 7)
    many(None, 3)
    many(other, 2)
    assert "beyond 2 of a tenant: 6 to be removed" in maintain("--dry-run")
    assert "beyond 2 of a tenant: 6 removed" in maintain("--only", "rejected_excess")
    assert (left(dev.tenant), left(None), left(other)) == ([5, 6], [1, 2], [0, 1])
    assert overflow() == {dev.tenant_id: 5, None: 1}


def test_what_is_removed_is_counted_on(settings, dev):
    settings.REJECTED_MAX = 2
    for _ in range(2):
        many(dev.tenant, 3)
        many(None, 2)
        maintain()
    assert overflow() == {dev.tenant_id: 4, None: 2}


def test_few_that_are_large_are_too_many_too(settings, dev, monkeypatch):
    monkeypatch.setattr("telemetry.upkeep.rejected.LONGEST_TOPIC", 0)
    settings.MAX_PAYLOAD, settings.REJECTED_MAX = 10 << 10, 8
    many(dev.tenant, 4, payload=b"x" * (30 << 10))
    assert "beyond 8 of a tenant: 2 removed" in maintain()
    assert left(dev.tenant) == [2, 3]


def test_what_is_too_old_is_not_what_is_too_many(settings, dev):
    settings.REJECTED_MAX = 2
    many(dev.tenant, 3, age=100)
    many(dev.tenant, 3)
    assert "beyond 2 of a tenant: 1 removed" in maintain("--only", "rejected_excess")
    assert left(dev.tenant) == [0, 1, 2, 1, 2]


@pytest.mark.django_db(transaction=True)
def test_what_somebody_replays_at_this_moment_is_passed_over(settings, dev):
    settings.REJECTED_MAX = 1
    many(dev.tenant, 3)
    oldest = RejectedMessage.objects.earliest("received_at")
    with transaction.atomic():
        RejectedMessage.objects.lock_open([oldest.pk])
        said = elsewhere(lambda: maintain("--only", "rejected_excess"))
    assert "2 removed" in said
    assert left(dev.tenant) == [0]


@pytest.mark.django_db(transaction=True)
def test_nothing_is_removed_that_is_not_counted(settings, dev):
    settings.REJECTED_MAX = 1
    many(dev.tenant, 3)
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE telemetry_rejectedoverflow ADD CONSTRAINT none CHECK (number < 1)"
        )
        try:
            said = maintain_in_vain()
        finally:
            cursor.execute("ALTER TABLE telemetry_rejectedoverflow DROP CONSTRAINT none")
    assert "These failed, and are tried again by the next run: rejected_excess." in said
    assert left(dev.tenant) == [0, 1, 2]
