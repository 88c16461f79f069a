"""The streams as clients see them: what comes, and how they go on after a break."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from devices.models import Device
from telemetry.ingest import store
from telemetry.live import hub as hubs
from telemetry.live import readings, steps
from telemetry.telling import Span
from tests import cast as people
from tests.queries import plan_of
from tests.streams import end_streams
from tests.telemetry.conftest import message
from tests.telemetry.live.conftest import Reader, listeners, other_connection, wait_until


def say(device, *numbers):
    """One batch with these readings of a device."""
    tenant = device.tenant.slug
    uid = device.device_uid
    store([message({"msg_id": str(n), "n": n}, uid=uid, tenant=tenant) for n in numbers])


def numbers(event):
    return [reading["payload"]["n"] for reading in event.data["readings"]]


def resumed(live, place, path=None):
    return Reader(live.at, path or live.path, live.viewer, **{"Last-Event-ID": place})


def test_readings_come_as_the_api_shows_them(live, reader):
    say(live.device, 1, 2)
    data = reader.next("telemetry").data
    app = people.api(live.viewer)
    assert data.pop("readings") == app.get(f"/telemetry/{live.device}?order=asc").json()
    device = app.get(f"/devices/{live.device}").json()
    assert data == {name: device[name] for name in data}
    assert data.keys() == {
        "device_uid", "last_seen_at", "session", "session_since", "session_reason"
    }  # fmt: skip


def test_a_message_that_comes_again_brings_no_reading(live, reader):
    for said, new in (((1,), [1]), ((1,), []), ((1, 2), [2])):
        say(live.device, *said)
        assert numbers(reader.next("telemetry")) == new


def test_of_two_ingestors_nothing_comes_twice(live, reader):
    """What one tells of lies among the readings of the other, told of as well."""
    say(live.device, 1)
    assert numbers(reader.next()) == [1]
    device_id = live.device.pk
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id), max(ts) FROM telemetry_telemetry")
        first, ts = cursor.fetchone()
        moment = int(ts.timestamp() * 1_000_000)
        told = f"{first}-{first + 9} {device_id}:{moment - 10**6}+{2 * 10**6}"
        cursor.execute("SELECT pg_notify('telemetry', %s)", [told])
    assert numbers(reader.next()) == []


def test_a_word_of_its_session_comes_without_readings(live, reader):
    word = {"state": "online", "session": "s1"}
    store([message(word, uid=str(live.device), kind="status")])
    data = reader.next("telemetry").data
    assert (data["session"], data["readings"]) == ("online", [])


def test_more_than_a_client_wants_at_once_is_a_reset(live, reader, monkeypatch):
    monkeypatch.setattr(readings, "MOST", 2)
    monkeypatch.setattr(readings, "READ", readings.READ.replace("LIMIT 501", "LIMIT 3"))
    say(live.device, 1, 2)
    # Or both would be read at once.
    reader.next("telemetry")
    say(live.device, 3, 4, 5)
    reader.next("reset")


def test_readings_that_are_too_large_are_a_reset(live, reader, monkeypatch):
    monkeypatch.setattr(readings, "READ", readings.READ.replace(f"<= {readings.LARGEST}", "<= 9"))
    say(live.device, 1)
    reader.next("reset")


def test_each_step_of_a_command_comes_with_the_command_as_the_api_shows_it(live):
    with Reader(live.at, f"/live/commands?devices={live.device}", live.viewer) as reader:
        reader.next("ready")
        command = people.command(live.device)
        data = reader.next("command").data
    assert data == people.api(live.viewer).get(f"/commands/{command.id}").json()


def test_commands_of_another_tenant_are_nobody_elses(live):
    paths = ["/live/commands", f"/live/commands?devices={live.device}"]
    with (
        Reader(live.at, paths[0], live.viewer) as all_,
        Reader(live.at, paths[1], live.viewer) as one,
    ):
        for reader in (all_, one):
            reader.next("ready")
        people.command(live.foreign)
        people.command(live.device)
        assert all_.next("command").data["device_uid"] == str(live.device)
        assert one.next("command").data["device_uid"] == str(live.device)


def test_staff_see_commands_of_all_tenants(live):
    with Reader(live.at, "/live/commands", live.staff) as reader:
        reader.next("ready")
        people.command(live.foreign)
        assert reader.next("command").data["device_uid"] == "foreign-01"


def test_very_many_steps_are_a_reset_for_those_whom_they_concern(live, monkeypatch):
    monkeypatch.setattr(steps, "MOST", 1)
    people.device(f"{live.device}-foreign", live.other)
    theirs = Reader(live.at, "/live/commands", live.stranger)
    with theirs, Reader(live.at, "/live/commands", live.viewer) as ours:
        theirs.next("ready")
        ours.next("ready")
        people.batch(live.other)
        people.command(live.device)
        assert theirs.next().name == "reset"
        assert ours.next().name == "command"


def test_who_comes_back_gets_what_was_missed_and_nothing_twice(live, reader):
    say(live.device, 1)
    place = reader.next("telemetry").id
    reader.close()
    say(live.device, 2)
    say(live.device, 3)
    with resumed(live, place) as again:
        assert again.next("ready").id == place
        # Read one by one, or both at once.
        missed = numbers(again.next())
        while len(missed) < 2:
            missed += numbers(again.next())
        assert missed == [2, 3]
        say(live.device, 4)
        assert numbers(again.next()) == [4]


def test_quiet_times_move_the_place_from_which_one_resumes(live, reader, quick):
    with Reader(live.at, "/live/telemetry?devices=foreign-01", live.staff) as other:
        other.next("ready")
        say(live.device, 1)
        newest = reader.next("telemetry").id
        assert next(block for block in other.blocks() if block.get("id") == newest)[""]


@pytest.mark.parametrize("place", ["another-7", "nonsense", "{name}-999"])
def test_who_comes_back_from_an_unknown_place_loads_anew(live, reader, place):
    place = place.format(name=hubs.hub._ring.name)
    with resumed(live, place) as again:
        assert [again.next().name, again.next().name] == ["ready", "reset"]


def test_who_follows_another_device_than_before_loads_anew(live, reader):
    other = people.device(f"{live.device}-2", live.t0)
    say(live.device, 1)
    place = reader.next("telemetry").id
    path = f"{live.path},{other}"
    with resumed(live, place.replace("-1", "-0"), path) as again:
        assert [again.next().name, again.next().name] == ["ready", "reset"]


def test_a_lost_connection_to_the_database_is_a_reset_and_no_end(live, reader):
    say(live.device, 1)
    place = reader.next("telemetry").id
    with other_connection() as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE 'iotplatform-live@%'"
        )
    reader.next("reset")
    say(live.device, 2)
    assert numbers(reader.next("telemetry")) == [2]
    with resumed(live, place) as again:
        assert [again.next().name, again.next().name] == ["ready", "reset"]


def test_while_the_database_has_no_room_to_tell_clients_load_anew(live, reader, monkeypatch):
    monkeypatch.setattr(hubs, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(hubs, "USAGE", "SELECT 1")
    say(live.device, 1)
    assert sorted(reader.next().name for _ in range(3)) == ["reset", "reset", "telemetry"]
    monkeypatch.setattr(hubs, "USAGE", hubs.USAGE.replace("1", "0"))
    say(live.device, 2)
    while (got := reader.next()).name == "reset":
        pass
    assert numbers(got) == [2]


def test_one_connection_listens_for_all_streams_and_none_of_them_holds_another(live, reader):
    with (
        Reader(live.at, live.path, live.admin) as second,
        Reader(live.at, live.path, live.staff) as third,
    ):
        second.next("ready")
        third.next("ready")
        query = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE 'iotplatform%'"
        )
        with other_connection() as other:
            # This test's own, and the listener.
            wait_until(lambda: other.execute(query).fetchone() == (2,))
    assert listeners() == 1


def test_when_nobody_follows_anything_any_more_nobody_listens(live, reader, monkeypatch):
    monkeypatch.setattr(hubs, "RING_SECONDS", 0.0)
    reader.close()
    for stream in list(hubs.hub._streams):
        stream.cut()
    wait_until(lambda: not listeners())


def test_what_another_version_tells_is_a_reset(live, reader):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('telemetry', '*')")
    reader.next("reset")


def test_a_device_that_was_given_to_another_tenant_is_silent_at_once(live, reader):
    with Reader(live.at, live.path, live.staff) as staff:
        staff.next("ready")
        Device.objects.filter(pk=live.device.pk).update(tenant=live.other)
        say(Device.objects.get(pk=live.device.pk), 1)
        staff.next("telemetry")
    Device.objects.filter(pk=live.device.pk).update(tenant=live.t0)
    say(live.device, 2)
    assert numbers(reader.next("telemetry")) == [2]


def test_old_readings_stay_out_of_what_came_late(live, reader):
    """A reading of an hour ago makes a long span, in which others lie that were there before."""
    people.reading(live.device, timezone.now() - timedelta(minutes=30), n=99)
    late = {"msg_id": "late", "ts": timezone.now().timestamp() - 3600, "n": 1}
    store([message(each, uid=str(live.device)) for each in (late, {"msg_id": "now", "n": 2})])
    assert numbers(reader.next("telemetry")) == [1, 2]


def test_readings_are_found_by_the_index_in_the_partitions_that_they_lie_in(dev):
    store([message({"msg_id": "1", "n": 1})])
    ts = int(timezone.now().timestamp() * 1_000_000)
    told = readings.parameters({dev.pk: Span(ts - 10**6, ts + 10**6)}, (1, 2**40))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        nodes = plan_of(cursor.mogrify(readings.READ, told))
    scans = [node for node in nodes if "telemetry_" in node.get("Relation Name", "")]
    assert [node["Node Type"] for node in scans] == ["Index Scan"]


def test_streams_are_counted_while_they_are_open(live, reader):
    def counted():
        return hubs.STREAMS.collect()[0].samples[0].value

    assert counted() == 1
    end_streams()
    assert counted() == 0
