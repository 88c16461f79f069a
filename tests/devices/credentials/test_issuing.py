"""Giving credentials and taking them away: what is written, who is told, what is refused."""

import re
from datetime import timedelta

import orjson
import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from accounts.conflicts import Conflict
from devices.brokers.mosquitto.accounts import acls_of
from devices.credentials.issuing import MOST_FURTHER, Given, Terms, issue, revoke, speak_for
from devices.credentials.recorded import speak_for_and_record
from devices.credentials.tokens import digest_of, matching, new_token
from devices.daemon import services
from devices.models import BrokerChange, Credential, Device, Origin
from devices.mqtt import rights
from tests import cast as people

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def emqx(settings):
    settings.MQTT_ACCESS = "emqx"


@pytest.fixture
def mosquitto(settings):
    settings.MQTT_ACCESS = "mosquitto"


def in_force(device) -> list[Credential]:
    return list(Credential.objects.filter(device=device).in_force())


def noted() -> dict[str, str]:
    """Uid → the token that the broker is to be told."""
    return dict(BrokerChange.objects.values_list("device_uid", "token"))


def refused(field: str, *args, **terms) -> str:
    with pytest.raises(ValidationError) as error:
        issue(*args, Terms(**terms))
    assert list(error.value.detail) == [field]
    return str(error.value.detail[field])


def test_a_token_is_256_random_bits_that_need_no_quotes():
    tokens = {new_token() for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) == 64 and int(token, 16) >= 0 for token in tokens)


def test_only_the_digest_of_a_token_is_kept(cast):
    ((credential, token),) = issue([cast.device], cast.operator)
    kept = Credential.objects.get()
    assert kept == credential
    assert matching(token, [bytes(kept.digest)]) == 0
    assert matching(token[:-1], [bytes(kept.digest)]) is None
    row = Credential.objects.values_list().get()
    assert token not in str(row)
    assert (kept.created_by, kept.origin, kept.expires_at) == (cast.operator, Origin.ISSUED, None)


def test_each_of_many_devices_gets_a_token_of_its_own(cast):
    devices = [cast.device, people.device("dev-02", cast.t0), cast.foreign]
    issued = issue(devices, None)
    assert {each.credential.device for each in issued} == set(devices)
    assert len({each.token for each in issued}) == 3
    for credential, token in issued:
        assert digest_of(token) == bytes(Credential.objects.get(pk=credential.pk).digest)


def test_those_so_far_end_at_once(cast):
    issue([cast.device], None)
    ((newest, _),) = issue([cast.device], None)
    assert in_force(cast.device) == [newest]
    assert Credential.objects.exclude(pk=newest.pk).get().revoked_at


def test_with_an_overlap_they_live_on_but_never_longer_than_before(cast):
    soon = timezone.now() + HOUR / 2
    issue([cast.device], None, Terms(expires_at=soon))
    issue([cast.device], None, Terms(overlap=HOUR))
    issue([cast.device], None, Terms(overlap=2 * HOUR))
    newest, second, first = in_force(cast.device)
    assert newest.expires_at is None
    assert HOUR < second.expires_at - timezone.now() <= 2 * HOUR
    assert first.expires_at == soon


def test_a_gateway_stays_one_unless_it_is_said_otherwise(cast):
    meters = [people.device(f"meter-{n}", cast.t0) for n in range(2)]
    people.token(cast.device, gateway_for=meters)
    people.token(cast.device)
    assert set(in_force(cast.device)[0].gateway_for.all()) == set(meters)
    people.token(cast.device, gateway_for=meters[:1])
    assert list(in_force(cast.device)[0].gateway_for.all()) == meters[:1]
    people.token(cast.device, gateway_for=[])
    people.token(cast.device)
    assert not in_force(cast.device)[0].gateway_for.exists()


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_it_stays_one_also_after_its_last_credential_has_ended(cast, end):
    meter = people.device("meter-1", cast.t0)
    people.token(cast.device, gateway_for=[meter])
    if end == "revoked":
        revoke(Credential.objects.all())
    else:
        Credential.objects.update(expires_at=timezone.now(), revoked_at=timezone.now())
    people.token(cast.device)
    assert list(in_force(cast.device)[0].gateway_for.all()) == [meter]


def test_of_several_in_force_the_newest_says_what_a_gateway_is_for(cast):
    meter = people.device("meter-1", cast.t0)
    people.token(cast.device, gateway_for=[meter])
    people.token(cast.device, gateway_for=[], overlap=HOUR)
    people.token(cast.device, overlap=HOUR)
    assert not in_force(cast.device)[0].gateway_for.exists()


def test_what_cannot_be_is_refused_by_its_field(cast):
    me = [cast.device], None
    assert "these are none: foreign-01" in refused("gateway_for", *me, gateway_for=[cast.foreign])
    assert "speaks for itself" in refused("gateway_for", *me, gateway_for=[cast.device])
    assert "30 days at most" in refused("overlap", *me, overlap=timedelta(days=30, seconds=1))
    assert not Credential.objects.exists()


def test_a_uid_that_is_a_client_id_of_the_platform_gets_none(cast, settings):
    ours = people.device(f"{settings.MQTT_CLIENT_ID}-ingest", cast.t0)
    assert "another uid" in refused("device_uid", [cast.device, ours], None)
    assert not Credential.objects.exists()


def test_what_is_reserved_is_found_out_once_for_many_devices(cast, monkeypatch):
    calls, asked = [], services.services
    monkeypatch.setattr(services, "services", lambda: calls.append(1) or asked())
    issue([people.device(f"meter-{n}", cast.t0) for n in range(5)], None)
    assert len(calls) == 1


def test_mosquitto_has_no_overlap(cast, mosquitto):
    people.token(cast.device)
    assert "one token a device" in refused("overlap", [cast.device], None, overlap=HOUR)
    assert len(in_force(cast.device)) == 1


def test_a_device_that_was_deleted_meanwhile_gets_none(cast):
    second = people.device("dev-02", cast.t0)
    Device.objects.filter(pk=cast.device.pk).retire()
    (issued,) = issue([cast.device, second], None)
    assert issued.credential.device == second


def test_given_tokens_are_taken_as_they_are_each_with_its_end(cast):
    second, end = people.device("dev-02", cast.t0), timezone.now() + HOUR
    given = {cast.device.pk: Given("x" * 32, end), second.pk: Given("y" * 40)}
    issued = issue([cast.device, second], None, Terms(Origin.IMPORTED), given)
    assert {e.credential.device: (e.token, e.credential.expires_at) for e in issued} == {
        cast.device: ("x" * 32, end),
        second: ("y" * 40, None),
    }


def test_emqx_asks_itself_and_is_told_only_that_a_former_one_ended(cast):
    people.token(cast.device)
    assert noted() == {}
    people.token(cast.device, overlap=HOUR)
    assert noted() == {}
    people.token(cast.device)
    assert noted() == {"dev-01": ""}


def test_mosquitto_is_told_each_new_token_until_it_knows_it(cast, mosquitto):
    first, second = people.token(cast.device), people.token(cast.device)
    assert first != second
    assert noted() == {"dev-01": second}
    version = BrokerChange.objects.get().version
    revoke(Credential.objects.all())
    assert BrokerChange.objects.get().version > version


def test_with_an_open_broker_nobody_is_told(cast, settings):
    settings.MQTT_ACCESS = "open"
    people.token(cast.device)
    revoke(Credential.objects.all())
    assert noted() == {}


def test_what_a_device_may_not_any_more_its_gateways_are_told_too(cast):
    meter = people.device("meter-1", cast.t0)
    people.token(cast.device, gateway_for=[meter])
    BrokerChange.objects.note([meter.pk], with_gateways=True)
    assert noted() == {"dev-01": "", "meter-1": ""}


def test_noted_again_a_change_is_a_new_version_that_is_due_at_once(cast):
    BrokerChange.objects.note([cast.device.pk])
    version = BrokerChange.objects.get().version
    BrokerChange.objects.update(attempts=7, error="away", due_at=timezone.now() + HOUR)
    BrokerChange.objects.note([cast.device.pk])
    change = BrokerChange.objects.get()
    assert change.version > version
    assert (change.attempts, change.error) == (0, "")
    assert change.due_at < timezone.now() + HOUR / 2


def test_a_note_is_as_good_as_its_transaction_and_there_are_none_of_nobody(cast):
    BrokerChange.objects.note([])
    BrokerChange.objects.note([2**40])
    assert noted() == {}


def test_revoking_counts_what_had_not_ended_and_tells_the_broker(cast):
    people.token(cast.device)
    assert revoke(Credential.objects.all()) == 1
    assert noted() == {"dev-01": ""}
    assert revoke(Credential.objects.all()) == 0
    assert in_force(cast.device) == []


@pytest.mark.parametrize("who", ["operator", "stranger", "staff"])
def test_credentials_and_changes_are_seen_by_their_tenant_and_staff(cast, who):
    for device in (cast.device, cast.foreign):
        people.token(device)
        BrokerChange.objects.note([device.pk])
    user, seen = getattr(cast, who), {"operator": ["dev-01"], "stranger": ["foreign-01"]}
    expected = seen.get(who, ["dev-01", "foreign-01"])
    credentials = Credential.objects.visible_to(user).values_list("device__device_uid", flat=True)
    changes = BrokerChange.objects.visible_to(user).values_list("device_uid", flat=True)
    assert sorted(credentials) == sorted(changes) == expected


# What one in force speaks for --------------------------------------------------------------------


@pytest.fixture
def gateway(cast):
    """A credential that is for meter-1; there is a meter-2."""
    cast.meters = [people.device(f"meter-{n}", cast.t0) for n in (1, 2)]
    people.token(cast.device, gateway_for=cast.meters[:1])
    BrokerChange.objects.all().delete()
    return Credential.objects.get()


def test_what_it_speaks_for_changes_while_the_token_stays(cast, gateway):
    digest = bytes(gateway.digest)
    assert speak_for(gateway, cast.meters[1:])
    kept = Credential.objects.get()
    assert list(kept.gateway_for.all()) == cast.meters[1:]
    assert bytes(kept.digest) == digest
    assert noted() == {"dev-01": ""}


def test_the_same_devices_are_no_change_and_nobody_is_told(cast, gateway):
    assert not speak_for_and_record(gateway, cast.meters[:1], cast.operator)
    assert noted() == {}
    assert not LogEntry.objects.exists()


def test_one_that_has_ended_speaks_for_nobody_else_any_more(cast, gateway):
    revoke(Credential.objects.all())
    with pytest.raises(Conflict, match="Make the device a new one"):
        speak_for(gateway, [])
    assert list(gateway.gateway_for.all()) == cast.meters[:1]


def test_that_of_a_device_that_was_deleted_meanwhile_has_ended_too(cast, gateway):
    Device.objects.filter(pk=cast.device.pk).retire()
    with pytest.raises(Conflict):
        speak_for(gateway, cast.meters)


@pytest.mark.parametrize(("who", "said"), [("foreign", "foreign-01"), ("device", "for itself")])
def test_what_no_new_one_may_be_for_it_may_not_either(cast, gateway, who, said):
    with pytest.raises(ValidationError, match=said):
        speak_for(gateway, [getattr(cast, who)])
    assert noted() == {}


# How many, and which of them are held meanwhile ---------------------------------------------------


@pytest.mark.parametrize(("access", "most"), [("mosquitto", 500), ("emqx", 5_000), ("open", 5_000)])
def test_a_list_that_is_too_long_for_the_broker_is_refused(cast, settings, access, most):
    settings.MQTT_ACCESS = access
    meters = [Device(pk=10**6 + number, tenant=cast.t0) for number in range(most + 1)]
    said = refused("gateway_for", [cast.device], None, gateway_for=meters)
    assert f"up to {most:,} devices, and these are {most + 1:,}" in said
    assert not Credential.objects.exists()


def test_nor_may_one_in_force_be_given_such_a_list(cast, gateway, mosquitto):
    meters = [Device(pk=10**6 + number, tenant=cast.t0) for number in range(501)]
    with pytest.raises(ValidationError, match="between several gateways"):
        speak_for(gateway, meters)
    assert list(gateway.gateway_for.all()) == cast.meters[:1]


def test_the_longest_list_fits_into_one_message_of_mosquitto():
    longest = [("t" * 128, f"{n:0128}") for n in range(MOST_FURTHER["mosquitto"] + 1)]
    acls = [acl.as_json() for acl in acls_of(rights.of_devices(longest))]
    assert len(orjson.dumps(acls)) < 0.9 * 2**20


def locked(work) -> list[set[str]]:
    """The numbers in each statement that locks something."""
    with CaptureQueriesContext(connection) as captured:
        work()
    found = [each["sql"] for each in captured if "FOR NO KEY UPDATE" in each["sql"]]
    return [set(re.findall(r"\d+", sql.partition("WHERE")[2])) for sql in found]


def new_for_a_meter(cast, gateway):
    issue([cast.device], None, Terms(gateway_for=cast.meters[:1]))


def new_after_a_revoked_one(cast, gateway):
    revoke(Credential.objects.all())
    issue([cast.device], None)


def other_list(cast, gateway):
    speak_for(gateway, cast.meters[:1])


@pytest.mark.parametrize("work", [new_for_a_meter, new_after_a_revoked_one, other_list])
def test_those_it_is_to_speak_for_are_locked_with_it_so_that_none_is_disabled_unseen(
    cast, gateway, work
):
    statements = locked(lambda: work(cast, gateway))
    assert {str(cast.device.pk), str(cast.meters[0].pk)} in statements


@pytest.mark.parametrize(
    ("count", "said"), [(0, "the device alone"), (2, "m-0, m-1"), (22, " and 2 more")]
)
def test_the_history_says_whom_it_speaks_for(cast, gateway, count, said):
    speak_for_and_record(
        gateway, [people.device(f"m-{n}", cast.t0) for n in range(count)], cast.operator
    )
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (cast.operator, str(cast.device.pk))
    assert entry.change_message.startswith(f"Credential {gateway.pk} now speaks for ")
    assert entry.change_message.endswith(f"{said}.")
