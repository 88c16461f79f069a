"""What the tests of upkeep share: the command, and a database with a week long gone by."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from telemetry import partitions
from telemetry.ingest import store
from tests.telemetry.conftest import message


def maintain(*arguments):
    out = StringIO()
    call_command("maintain", *arguments, stdout=out)
    return out.getvalue()


def maintain_in_vain(*arguments):
    """What it says, with what went wrong."""
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("maintain", *arguments, stdout=out, stderr=out)
    return f"{out.getvalue()}{caught.value}"


def elsewhere(do):
    """What `do` returns in a thread, which has a connection of its own."""

    def run():
        try:
            return do()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result(timeout=20)


def drop_weeks():
    for week in partitions.existing():
        connection.cursor().execute(f"DROP TABLE {partitions.name_of(week)}")


@pytest.fixture
def _no_weeks(transactional_db):
    """Other tests leave empty ones, and these would too."""
    drop_weeks()
    yield
    drop_weeks()


@pytest.fixture
def _old_week(_no_weeks, dev):
    """A week long gone by, with a reading in it."""
    store([message({"ts": (datetime.now(UTC) - timedelta(days=30)).timestamp()})])
