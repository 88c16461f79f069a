"""Rows for the broker: which are claimed, and at what cost."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.brokers import changes
from devices.brokers.changes import Told
from devices.credentials.issuing import issue
from devices.credentials.tokens import digest_of
from devices.models import BrokerChange, Credential, Device
from tests import cast as people
from tests.queries import plan_of

pytestmark = pytest.mark.django_db
ALIASES = ("device", "devices_credential", "change")


@pytest.fixture(autouse=True)
def access(settings):
    settings.MQTT_ACCESS = "mosquitto"


def no_changes_to_postgresql():
    """As after a vacuum between two rushes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pg_class SET reltuples = 0, relpages = 10 "
            "WHERE relname = 'devices_brokerchange'"
        )
        cursor.execute(changes.BY_INDEX)


def test_everything_asks_about_each_device_without_claiming(cast):
    token = people.token(cast.device)
    found = {change.uid: change for change in changes.everything()}
    assert set(found) == {"dev-01", "foreign-01"}
    assert found["dev-01"].token == token
    assert found["dev-01"].digests == {digest_of(token)}
    assert not found["foreign-01"].is_admitted
    (claimed,) = changes.claim(10)
    assert claimed._replace(leased_until=None) == found["dev-01"]


def test_only_tokens_in_force_count(cast):
    people.token(cast.device)
    newest = people.token(cast.device)
    assert changes.claim(1)[0].digests == {digest_of(newest)}
    Credential.objects.update(expires_at="2026-01-01T00:00Z")
    (change,) = changes.everything()[:1]
    assert (change.is_admitted, change.digests) == (False, set())


def test_what_is_in_hand_is_nobody_elses_until_it_is_settled(cast):
    people.token(cast.device)
    (change,) = changes.claim(10)
    assert changes.claim(10) == []
    changes.settle([Told(change, "It is away.")])
    assert changes.claim(10) == []
    assert BrokerChange.objects.get().error == "It is away."
    assert 0 < changes.wait() <= 1


def test_what_was_noted_meanwhile_is_told_again_at_once(cast):
    people.token(cast.device)
    (change,) = changes.claim(10)
    newer = people.token(cast.device)
    changes.settle([Told(change)])
    assert [each.token for each in changes.claim(10)] == [newer]


@pytest.mark.parametrize("asked", [changes.ALL, changes.CLAIMED], ids=["all", "claimed"])
def test_each_device_is_looked_up_whatever_postgresql_believes(cast, asked):
    devices = Device.objects.bulk_create(
        Device(device_uid=f"d{number}", name="", tenant=cast.t0) for number in range(500)
    )
    issue(devices, by=None)
    no_changes_to_postgresql()
    nodes = plan_of(changes.KNOWN.format(asked=asked) % {"uids": "'{d1,d2}'::text[]"})
    scans = [node for node in nodes if "Scan" in node["Node Type"] and node.get("Alias") in ALIASES]
    whole = [node for node in scans if not node.keys() & {"Index Cond", "Recheck Cond"}]
    # All devices are read as a whole where all of them are asked about.
    assert [node["Relation Name"] for node in whole] == ["devices_device"] * (asked == changes.ALL)
    assert {node["Alias"] for node in scans} == set(ALIASES)


def test_what_may_take_something_away_goes_before_new_tokens(cast):
    people.token(cast.device)
    BrokerChange.objects.note([cast.foreign.pk])
    assert [change.uid for change in changes.claim(1)] == ["foreign-01"]


def test_settled_a_second_time_nothing_of_what_was_noted_since_is_forgotten(cast):
    """As if the answer to the first COMMIT had been lost."""
    BrokerChange.objects.note([cast.device.pk])
    told = [Told(change) for change in changes.claim(10)]
    changes.settle(told)
    BrokerChange.objects.note([cast.device.pk])
    changes.settle(told)
    assert [change.uid for change in changes.claim(10)] == ["dev-01"]
    changes.settle(told)
    assert changes.claim(10) == []
    assert BrokerChange.objects.count() == 1


def test_who_told_too_late_does_not_end_the_lease_of_somebody_else(cast):
    BrokerChange.objects.note([cast.device.pk])
    (late,) = changes.claim(10)
    BrokerChange.objects.update(leased_until="2026-01-01T00:00Z")
    (mine,) = changes.claim(10)
    changes.settle([Told(late, "It took long.")])
    assert changes.claim(10) == []
    changes.settle([Told(mine)])
    assert not BrokerChange.objects.exists()


def test_a_device_that_is_called_like_the_platform_is_not_admitted(cast, settings):
    people.token(cast.device)
    settings.MQTT_CLIENT_ID = "dev"
    Device.objects.filter(pk=cast.device.pk).update(device_uid="dev-ingest")
    found = {change.uid: change.is_admitted for change in changes.everything()}
    assert found["dev-ingest"] is False


def test_tokens_are_bound_by_the_server_whose_log_would_have_them_otherwise(cast):
    with CaptureQueriesContext(connection) as said:
        token = people.token(cast.device)
    assert BrokerChange.objects.get().token == token
    assert len(said)
    assert not [each for each in said.captured_queries if token in each["sql"]]
