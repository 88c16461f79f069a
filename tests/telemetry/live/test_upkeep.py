"""`maintain` beside live traffic: ingest, exports and streams do not wait for it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from telemetry import partitions
from telemetry.export import as_ndjson
from telemetry.ingest import store
from telemetry.models import Receipt, RejectedMessage, Telemetry
from telemetry.representation import as_json
from tests.cast import rejected
from tests.telemetry.conftest import message
from tests.telemetry.live.conftest import other_connection, wait_until
from tests.telemetry.upkeep.conftest import elsewhere, maintain

pytestmark = pytest.mark.django_db(transaction=True)
WAITS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%DETACH%'
  AND pid <> pg_backend_pid()
"""


@pytest.fixture
def too_old(live, settings):
    """A week to drop, and readings, receipts and rejected messages to delete."""
    now = timezone.now()
    for days in (30, 9):
        at = (now - timedelta(days=days)).timestamp()
        store([message({"ts": at + n, "n": n}, uid=live.device.device_uid) for n in range(20)])
    Receipt.objects.update(received_at=now - timedelta(days=8))
    live.t0.retention_days = 7
    live.t0.save()
    for _ in range(10):
        rejected(live.t0)
    settings.HISTORY_DAYS, settings.REJECTED_MAX = 20, 5
    return partitions.name_of(partitions.week_of(now - timedelta(days=30)))


class Ingest:
    """Stores one reading after the other, until its end."""

    def __init__(self, uid):
        self.uid, self.stored, self.is_over = uid, 0, threading.Event()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.is_over.set()

    def run(self):
        try:
            while not self.is_over.is_set():
                store([message({"number": self.stored}, uid=self.uid)])
                self.stored += 1
        finally:
            connection.close()

    def goes_on(self):
        """Wait for it to store some more; the number of one of these."""
        reached = self.stored + 5
        wait_until(lambda: self.stored >= reached)
        return reached - 1


def exported(live):
    readings = Telemetry.objects.of(live.device).between(timezone.now() - timedelta(days=1), None)
    return b"".join(as_ndjson(as_json(readings, live.device.device_uid, None))).count(b"\n")


def shown(reader, number):
    """Whether the stream gets to a reading of this number."""
    return any(f'"number": {number}' in str(got.data).replace("'", '"') for got in reader.events())


def test_neither_ingest_nor_exports_nor_streams_wait_for_it(live, reader, too_old):
    with (
        ThreadPoolExecutor(2) as threads,
        other_connection() as slow,
        Ingest(live.device.device_uid) as ingest,
    ):
        running = threads.submit(ingest.run)
        # An export that reads the week which is to go: dropped right away, it would hold up all.
        slow.execute("BEGIN")
        slow.execute("SELECT count(*) FROM telemetry_telemetry")
        upkeep = threads.submit(elsewhere, maintain)
        with connection.cursor() as cursor:
            wait_until(lambda: cursor.execute(WAITS) or cursor.fetchone()[0])
        assert shown(reader, ingest.goes_on())
        assert exported(live) > 0
        assert not upkeep.done()
        slow.execute("COMMIT")
        said = upkeep.result()
        assert shown(reader, ingest.goes_on())
    running.result()
    assert "readings older than 20 days: 1 dropped" in said
    assert "keeps them: 20 deleted" in said
    assert "beyond 5 of a tenant: 5 removed" in said
    assert too_old not in connection.introspection.table_names()
    assert Telemetry.objects.filter(device=live.device).count() == ingest.stored
    assert RejectedMessage.objects.count() == 5
