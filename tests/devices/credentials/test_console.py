"""The console's pages of credentials: on a device's page, a new one, and the end of one."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from devices.credentials.authenticating import authenticate
from devices.models import BrokerChange, Credential, Device
from tests import cast as people
from tests.queries import queries_of

CHANGES = "/admin/devices/brokerchange/"
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def emqx(settings):
    settings.MQTT_ACCESS = "emqx"


def page_of(device) -> str:
    return reverse("admin:devices_device_change", args=[device.pk])


def new_page(device) -> str:
    return reverse("admin:devices_device_credential", args=[device.pk])


def revoke_page(credential) -> str:
    return reverse("admin:devices_credential_revoke", args=[credential.device_id, credential.pk])


def gateway_page(credential) -> str:
    return reverse("admin:devices_credential_gateway", args=[credential.device_id, credential.pk])


def section_of(device, user) -> str:
    page = people.console(user).get(page_of(device)).text
    return page[page.index('id="credentials"') :]


def make(user, device, **fields):
    return people.console(user).post(new_page(device), {"overlap": 0, **fields})


def token_in(page) -> str:
    assert page.status_code == 200
    (token,) = re.findall(r'id="token"[^>]*>([0-9a-f]{64})<', page.text)
    return token


# On the page of a device -------------------------------------------------------------------------


def test_the_page_of_a_device_shows_its_credentials(cast):
    people.token(cast.device, cast.admin)
    people.token(cast.device, cast.operator, expires_at=timezone.now() + HOUR * 48)
    Credential.objects.in_force().update(last_used_at=timezone.now() - HOUR)
    page = people.console(cast.operator).get(page_of(cast.device)).text
    section = page[page.index('id="credentials"') :]
    for said in ("In force", "Revoked", "by operator@t0.example", "an hour ago"):
        assert said in section
    newest, former = Credential.objects.all()
    for link in (revoke_page, gateway_page):
        assert link(newest) in section
        assert link(former) not in section


def test_one_whose_time_is_over_has_expired_whoever_noticed_it(cast):
    people.token(cast.device, expires_at=timezone.now() + HOUR)
    Credential.objects.update(expires_at=timezone.now())
    client = people.console(cast.operator)
    assert "Expired" in client.get(page_of(cast.device)).text
    Credential.objects.update(revoked_at=Credential.objects.get().expires_at)
    assert "Expired" in client.get(page_of(cast.device)).text


def test_a_device_without_credentials_says_so_and_leads_to_a_new_one(cast):
    page = people.console(cast.operator).get(page_of(cast.device)).text
    section = page[page.index('id="credentials"') :]
    assert "None yet." in section
    assert new_page(cast.device) in section


def test_a_viewer_sees_nothing_of_credentials(cast):
    people.token(cast.device)
    page = people.console(cast.viewer).get(page_of(cast.device)).text
    assert "redential" not in page
    assert people.console(cast.viewer).get(CHANGES).status_code == 403


def test_the_page_says_what_the_broker_does_not_know_yet(cast):
    BrokerChange.objects.note([cast.device.pk])
    BrokerChange.objects.update(attempts=3, error="Connection <refused>.", token="secret")
    page = people.console(cast.operator).get(page_of(cast.device)).text
    assert "The broker does not know the newest state yet" in page
    assert "3 attempts in vain: Connection &lt;refused&gt;." in page
    assert "secret" not in page


def test_the_page_says_that_an_open_broker_asks_for_none(cast, settings):
    settings.MQTT_ACCESS = "open"
    section = section_of(cast.device, cast.operator)
    assert "MQTT__ACCESS is open" in section
    assert "It cannot connect" not in section


def test_the_page_says_why_the_device_cannot_connect_as_the_api_does(cast):
    address = "/devices/dev-01/access"
    said = people.api(cast.operator).get(address).json()["reason"]
    section = section_of(cast.device, cast.operator)
    assert "It cannot connect" in section
    assert "no credential in force" in said
    assert said in section
    people.token(cast.device)
    assert "It cannot connect" not in section_of(cast.device, cast.operator)
    Device.objects.filter(pk=cast.device.pk).update(is_enabled=False)
    said = people.api(cast.operator).get(address).json()["reason"]
    assert "is disabled" in said
    assert said in section_of(cast.device, cast.operator)


def test_an_old_credential_that_outlives_many_lets_the_device_in(cast):
    people.token(cast.device)
    for _ in range(11):
        people.token(cast.device, overlap=HOUR)
    Credential.objects.filter(pk__gt=Credential.objects.last().pk).update(revoked_at=timezone.now())
    assert "It cannot connect" not in section_of(cast.device, cast.operator)
    Credential.objects.update(revoked_at=timezone.now())
    assert "It cannot connect" in section_of(cast.device, cast.operator)


@pytest.mark.parametrize("access", ["open", "mosquitto"])
def test_of_a_broker_that_does_not_tell_no_use_is_denied(cast, settings, access):
    people.token(cast.device)
    assert "last used never" in section_of(cast.device, cast.operator)
    settings.MQTT_ACCESS = access
    assert "last used: the broker does not tell" in section_of(cast.device, cast.operator)
    Credential.objects.update(last_used_at=timezone.now() - HOUR)
    section = section_of(cast.device, cast.operator)
    assert "last used over HTTP: <time" in section
    assert "an hour ago" in section


def test_very_many_credentials_are_cut(cast):
    for _ in range(12):
        people.token(cast.device)
    page = people.console(cast.operator).get(page_of(cast.device)).text
    assert page.count("Revoked") == 9
    assert "Older ones are not shown." in page


def test_more_credentials_take_no_more_statements(cast):
    people.token(cast.device, gateway_for=[people.device("meter-1", cast.t0)])
    client = people.console(cast.operator)
    client.get(page_of(cast.device))
    few = queries_of(client, page_of(cast.device))
    for _ in range(5):
        people.token(cast.device)
    assert len(queries_of(client, page_of(cast.device))) == len(few)
    assert sum('FROM "devices_credential"' in each for each in few) == 1


# A new one ---------------------------------------------------------------------------------------


def test_the_token_is_the_answer_to_the_form_and_on_no_other_page(cast):
    client = people.console(cast.operator)
    assert 'id="token"' not in client.get(new_page(cast.device)).text
    page = client.post(new_page(cast.device), {"overlap": 0})
    token = token_in(page)
    assert "no-store" in page["Cache-Control"]
    assert authenticate("dev-01", token, "dev-01")
    assert "t0/devices/dev-01/telemetry" in page.text
    # tests/acceptance/test_scripts.py has what the script does.
    assert "devices/copy.js" in page.text
    assert 'data-copy="token"' in page.text
    history = reverse("admin:devices_device_history", args=[cast.device.pk])
    for address in (new_page(cast.device), page_of(cast.device), history, CHANGES, "/admin/"):
        assert token not in client.get(address).text
    kept = [str(dict(client.session)), str(client.cookies), str(list(LogEntry.objects.values()))]
    assert not [each for each in kept if token in each]


def test_the_form_says_that_the_present_token_ends(cast, settings):
    client = people.console(cast.operator)
    assert "The present one ends" not in client.get(new_page(cast.device)).text
    people.token(cast.device)
    text = " ".join(client.get(new_page(cast.device)).text.split())
    assert "The present one ends at once, or after the hours that you choose; who is" in text
    settings.MQTT_ACCESS = "mosquitto"
    text = " ".join(client.get(new_page(cast.device)).text.split())
    assert "The present one ends at once; who is connected with it is put off then." in text


def test_what_was_said_of_it_holds(cast):
    people.device("meter-1", cast.t0)
    people.device("meter-2", cast.t0)
    former = people.token(cast.device)
    fields = {"expires_at": "2100-05-01T10:30", "gateway_for": "meter-1,\r\nmeter-2 ; meter-1"}
    make(cast.operator, cast.device, **fields, overlap=24)
    made = Credential.objects.first()
    assert made.expires_at.isoformat() == "2100-05-01T10:30:00+00:00"
    assert {each.device_uid for each in made.gateway_for.all()} == {"meter-1", "meter-2"}
    assert made.created_by == cast.operator
    assert authenticate("dev-01", former)


def test_the_form_proposes_what_it_is_a_gateway_for_so_far(cast):
    people.token(cast.device, gateway_for=[people.device("meter-1", cast.t0)])
    form = people.console(cast.operator).get(new_page(cast.device)).context["form"]
    assert form["gateway_for"].value() == "meter-1"
    Credential.objects.update(revoked_at=timezone.now())
    form = people.console(cast.operator).get(new_page(cast.device)).context["form"]
    assert form["gateway_for"].value() == "meter-1"
    make(cast.operator, cast.device, gateway_for="")
    assert not Credential.objects.first().gateway_for.exists()


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"expires_at": "2020-01-01T00:00"}, "expires_at", "This is past."),
        ({"expires_at": "soon"}, "expires_at", "Enter a valid date/time."),
        ({"overlap": "-1"}, "overlap", "greater than or equal to 0"),
        ({"overlap": "721"}, "overlap", "less than or equal to 720"),
        ({"overlap": "x"}, "overlap", "whole number"),
        ({"gateway_for": "foreign-01 <b>"}, "gateway_for", "no such devices: <b>, foreign-01."),
        ({"gateway_for": "dev-01"}, "gateway_for", "speaks for itself"),
        ({"gateway_for": "a\0b"}, "gateway_for", "Null characters"),
    ],
)
def test_what_cannot_be_is_explained_and_nothing_is_made(cast, fields, field, said):
    page = make(cast.operator, cast.device, **fields)
    assert said in str(page.context["form"].errors[field][0])
    assert "<b>" not in page.text
    assert not Credential.objects.exists()


def test_a_fault_of_the_device_is_shown_above_the_form(cast, settings):
    ours = people.device(f"{settings.MQTT_CLIENT_ID}-ingest", cast.t0)
    assert "Give the device another uid." in make(cast.operator, ours).text


def test_under_mosquitto_there_is_no_overlap_to_choose(cast, settings):
    settings.MQTT_ACCESS = "mosquitto"
    page = people.console(cast.operator).get(new_page(cast.device))
    assert "overlap" not in page.context["form"].fields
    token = token_in(make(cast.operator, cast.device, overlap=5))
    assert BrokerChange.objects.get().token == token


def test_a_disabled_device_may_have_one_and_the_page_says_what_it_lacks(cast):
    Device.objects.filter(pk=cast.device.pk).update(is_enabled=False)
    page = make(cast.operator, cast.device)
    assert token_in(page)
    assert "as soon as it is enabled" in page.text


# What one speaks for -----------------------------------------------------------------------------


def test_what_one_speaks_for_is_changed_with_its_token_as_it_is(cast):
    people.device("meter-2", cast.t0)
    token = people.token(cast.device, gateway_for=[people.device("meter-1", cast.t0)])
    credential, client = Credential.objects.get(), people.console(cast.operator)
    form = client.get(gateway_page(credential)).context["form"]
    assert form["gateway_for"].value() == "meter-1"
    fields = {"gateway_for": "meter-2\r\n"}
    answer = client.post(gateway_page(credential), fields, follow=True)
    assert answer.redirect_chain == [(page_of(cast.device), 302)]
    assert "The token stays the same." in answer.text
    assert ("t0", "meter-2") in authenticate("dev-01", token).names
    said = LogEntry.objects.get().change_message
    assert said == f"Credential {credential.pk} now speaks for meter-2."
    again = client.post(gateway_page(credential), fields, follow=True)
    assert "Nothing was changed." in again.text
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize("uid", ["nobody", "foreign-01", "dev-01"])
def test_what_it_cannot_speak_for_is_explained_and_nothing_changes(cast, uid):
    people.token(cast.device)
    page = people.console(cast.operator).post(
        gateway_page(Credential.objects.get()), {"gateway_for": uid}
    )
    assert page.context["form"].errors["gateway_for"]
    assert not Credential.objects.get().gateway_for.exists()


def test_one_that_has_ended_cannot_be_changed(cast):
    people.token(cast.device)
    Credential.objects.update(revoked_at=timezone.now())
    client, address = people.console(cast.operator), gateway_page(Credential.objects.get())
    assert "Make the device a new one" in client.get(address).text
    assert "Make the device a new one" in client.post(address, {"gateway_for": ""}).text
    assert not LogEntry.objects.exists()


# The end of one ----------------------------------------------------------------------------------


def test_to_revoke_asks_first(cast):
    token = people.token(cast.device)
    credential, client = Credential.objects.get(), people.console(cast.operator)
    page = client.get(revoke_page(credential))
    assert "it stays out until it has a new one" in page.text
    assert authenticate("dev-01", token)
    answer = client.post(revoke_page(credential), follow=True)
    assert answer.redirect_chain == [(page_of(cast.device), 302)]
    assert "cannot connect with it any more" in answer.text
    assert authenticate("dev-01", token) is None
    assert LogEntry.objects.get().change_message == f"Credential {credential.pk} revoked."


def test_one_that_has_ended_cannot_be_revoked_again(cast):
    people.token(cast.device)
    credential, client = Credential.objects.get(), people.console(cast.operator)
    client.post(revoke_page(credential))
    assert "It has ended already." in client.get(revoke_page(credential)).text
    assert "It had ended already." in client.post(revoke_page(credential), follow=True).text
    assert LogEntry.objects.count() == 1


def test_of_several_the_last_one_alone_is_called_so(cast):
    people.token(cast.device)
    people.token(cast.device, overlap=HOUR)
    page = people.console(cast.operator).get(revoke_page(Credential.objects.first())).text
    assert "it stays out" not in page


# Who may -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actor", "status"), [("viewer", 403), ("stranger", 404), ("operator", 200), ("staff", 200)]
)
def test_only_those_who_may_reach_the_pages(cast, actor, status):
    people.token(cast.device)
    client = people.console(getattr(cast, actor))
    credential = Credential.objects.get()
    addresses = new_page(cast.device), gateway_page(credential), revoke_page(credential)
    assert {client.get(each).status_code for each in addresses} == {status}
    if status != 200:
        assert {client.post(each).status_code for each in addresses} == {status}
        assert Credential.objects.in_force().count() == 1


def test_a_credential_is_found_below_its_own_device_alone(cast):
    people.token(cast.device)
    credential, second = Credential.objects.get(), people.device("dev-02", cast.t0)
    client = people.console(cast.operator)
    for args in ([second.pk, credential.pk], [cast.device.pk, credential.pk + 1], ["x", 1]):
        for name in ("revoke", "gateway"):
            address = reverse(f"admin:devices_credential_{name}", args=args)
            assert client.post(address, {"gateway_for": "dev-02"}).status_code == 404
    assert Credential.objects.in_force().exists()


# What the broker does not know -------------------------------------------------------------------


def test_the_list_of_changes_has_the_troubled_ones_first_and_never_a_token(cast):
    second = people.device("dev-02", cast.t0)
    BrokerChange.objects.note([cast.device.pk, second.pk, cast.foreign.pk])
    BrokerChange.objects.update(token="secret")
    BrokerChange.objects.filter(device_uid="dev-02").update(attempts=2, error="away")
    client = people.console(cast.operator)
    page = client.get(CHANGES)
    found = [change.device_uid for change in page.context["cl"].result_list]
    assert found == ["dev-02", "dev-01"]
    one = client.get(f"{CHANGES}dev-02/change/")
    for text in (page.text, one.text):
        assert "away" in text
        assert "secret" not in text


def test_nobody_edits_a_change_and_a_neighbour_sees_none(cast):
    BrokerChange.objects.note([cast.device.pk])
    address = f"{CHANGES}dev-01/change/"
    staff = people.console(cast.staff)
    assert 'name="_save"' not in staff.get(address).text
    assert staff.post(address, {"token": "x"}).status_code == 403
    assert staff.get(f"{CHANGES}add/").status_code == 403
    assert people.console(cast.stranger).get(address).status_code == 404
    statements = queries_of(staff, CHANGES)
    assert not [each for each in statements if '"devices_brokerchange"."token"' in each]
