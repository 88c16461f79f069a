"""What is thought of a device's session once the broker has been told to end it."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from devices.brokers import changes
from devices.brokers.changes import Told
from devices.credentials.issuing import issue, revoke
from devices.models import BrokerChange, Credential, Device, DeviceState, Session
from tests import cast as people


@pytest.fixture
def device(cast: SimpleNamespace, settings: SimpleNamespace) -> Device:
    """Online for an hour, by a token from before that."""
    settings.MQTT_ACCESS = "mosquitto"
    before = timezone.now() - timedelta(hours=1)
    DeviceState.objects.create(
        device=cast.device, session=Session.ONLINE, session_id="s1", since=before
    )
    people.token(cast.device)
    Credential.objects.update(created_at=before - timedelta(hours=1))
    BrokerChange.objects.all().delete()
    return cast.device


def told(error: str = "", again: float | None = None) -> None:
    changes.settle([Told(change, error, again) for change in changes.claim(10)])


def session_of(device: Device) -> tuple[str, str]:
    state = DeviceState.objects.get(device=device)
    return state.session, state.reason


def test_a_disabled_device_is_offline_once_the_broker_knows(device):
    Device.objects.update(is_enabled=False)
    BrokerChange.objects.note([device.pk])
    assert session_of(device)[0] == Session.ONLINE
    told()
    assert session_of(device) == (Session.OFFLINE, "Its access was taken away.")


def test_so_is_one_without_a_credential(device):
    revoke(Credential.objects.filter(device=device))
    told()
    assert session_of(device)[0] == Session.OFFLINE


def test_one_with_a_new_token_is_not_known_to_be_there_until_it_comes_with_it(device):
    issue([device], None)
    told()
    assert session_of(device)[0] == Session.UNKNOWN
    assert "new credential" in session_of(device)[1]


def test_one_that_came_with_its_new_token_meanwhile_stays_online(device):
    issue([device], None)
    DeviceState.objects.update(since=timezone.now(), session_id="s2")
    told()
    assert session_of(device)[0] == Session.ONLINE


def test_one_that_keeps_its_credential_stays_what_it_is(device):
    BrokerChange.objects.note([device.pk])
    told()
    assert session_of(device)[0] == Session.ONLINE


@pytest.mark.parametrize("trouble", [{"error": "The broker is away."}, {"again": 5.0}])
def test_nothing_changes_before_the_broker_knows(device, trouble):
    Device.objects.update(is_enabled=False)
    BrokerChange.objects.note([device.pk])
    told(**trouble)
    assert session_of(device)[0] == Session.ONLINE


def test_while_the_broker_is_away_those_who_look_are_told_so(device):
    Device.objects.update(is_enabled=False)
    BrokerChange.objects.note([device.pk])
    changes.wait_for_broker("It is away.")
    assert BrokerChange.objects.get().error == "It is away."
    told(error="It said no.")
    changes.wait_for_broker("It is away.")
    assert BrokerChange.objects.get().error == "It said no."


def test_what_went_wrong_is_not_forgotten_by_trying_again(device):
    BrokerChange.objects.note([device.pk])
    told(error="It said no.")
    BrokerChange.objects.update(due_at=timezone.now())
    told(again=5.0)
    assert BrokerChange.objects.get().error == "It said no."
