"""The streams as clients see them: what comes, what is resumed, and when it ends."""

from datetime import UTC, datetime

import pytest

from telemetry import partitions
from telemetry.ingest import store
from tests import cast as people
from tests.telemetry.conftest import message
from tests.telemetry.live.conftest import Reader


@pytest.fixture
def cast(at):
    made = people.cast()
    partitions.make_ahead(datetime.now(UTC))
    return made


def test_a_reading_comes_as_the_api_shows_it(at, cast):
    with Reader(at, "/live/telemetry?devices=dev-01", cast.viewer) as reader:
        reader.next("ready")
        store([message({"msg_id": "1", "temp": 1}), message({"msg_id": "2", "temp": 2})])
        data = reader.next("telemetry").data
    shown = people.api(cast.viewer).get("/telemetry/dev-01?order=asc").json()
    assert data["readings"] == shown
    device = people.api(cast.viewer).get("/devices/dev-01").json()
    for name in ("device_uid", "last_seen_at", "session", "session_since", "session_reason"):
        assert data[name] == device[name]
