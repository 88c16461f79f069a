"""The streams of a web server as production has it."""

import pytest

from tests.acceptance.web import serving
from tests.telemetry.live.conftest import Reader, wait_until

PATH = "/live/telemetry?devices=dev-01"


@pytest.mark.django_db(transaction=True)
def test_a_client_that_leaves_makes_room_and_a_stop_waits_for_no_stream(cast, tmp_path):
    # For requests that are open, this server waits longer than its test does.
    with serving(tmp_path, LIVE_STREAMS="1") as at:

        def status():
            with Reader(at, PATH, cast.viewer) as other:
                return other.answer.status

        with Reader(at, PATH, cast.viewer) as reader:
            reader.next("ready")
            assert status() == 503
        wait_until(lambda: status() == 200)

        def is_let_in():
            nonlocal reader
            reader = Reader(at, PATH, cast.viewer)
            return reader.answer.status == 200

        wait_until(is_let_in)
        reader.next("ready")
    with reader:
        assert reader.rest() == []
