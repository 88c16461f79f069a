"""Rows for the broker: which are claimed, and at what cost."""

import pytest
from django.db import connection

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
    assert changes.claim(10) == [found["dev-01"]]


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


@pytest.mark.parametrize("asked", [changes.ALL, changes.CLAIM])
def test_each_device_is_looked_up_whatever_postgresql_believes(cast, asked):
    devices = Device.objects.bulk_create(
        Device(device_uid=f"d{number}", name="", tenant=cast.t0) for number in range(500)
    )
    issue(devices, by=None)
    no_changes_to_postgresql()
    nodes = plan_of(changes.KNOWN.format(asked=asked) % {"limit": 100, "lease": 60})
    scans = [node for node in nodes if "Scan" in node["Node Type"] and node.get("Alias") in ALIASES]
    whole = [node for node in scans if not node.keys() & {"Index Cond", "Recheck Cond"}]
    # All devices are read as a whole where all of them are asked about.
    assert [node["Relation Name"] for node in whole] == ["devices_device"] * (asked == changes.ALL)
    assert {node["Alias"] for node in scans} == set(ALIASES)
