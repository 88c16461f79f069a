"""/tenants: platform staff make them; a tenant's admin sees and renames their own."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import history
from accounts.models import Concern, Tenant
from devices.models import (
    Alert,
    AlertRule,
    BrokerChange,
    Command,
    CommandBatch,
    DeviceType,
    EnrolmentKey,
)
from tests import cast as people
from tests.accounts.doors import deleted_meanwhile

TOMORROW = timezone.now() + timedelta(days=1)
NEW = {"slug": "Acme.Hanoi-1", "name": "Acme Ltd", "retention_days": None}


def slugs(answer) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [tenant["slug"] for tenant in answer.json()]


def test_staff_see_all_of_them_and_an_admin_their_own(cast):
    assert slugs(people.api(cast.staff).get("/tenants")) == ["other", "t0"]
    assert slugs(people.api(cast.admin).get("/tenants/")) == ["t0"]


@pytest.mark.parametrize("who", ["viewer", "operator"])
def test_others_see_none(cast, who):
    assert people.api(getattr(cast, who)).get("/tenants").status_code == 403
    assert people.api(getattr(cast, who)).get("/tenants/t0").status_code == 403


def test_staff_make_one(cast):
    client = people.api(cast.staff)
    answer = client.post("/tenants", NEW)
    assert (answer.status_code, answer.json()) == (201, NEW)
    assert client.get(answer["Location"]).json() == NEW
    assert LogEntry.objects.get().get_change_message() == "Added."


def test_an_admin_makes_and_deletes_none(cast):
    assert people.api(cast.admin).post("/tenants", NEW).status_code == 403
    assert people.api(cast.admin).delete("/tenants/t0").status_code == 403
    assert set(Tenant.objects.all()) == {cast.t0, cast.other}


@pytest.mark.parametrize("slug", ["a/b", "+", "#", "a b", "ü", "", "x" * 129])
def test_a_slug_that_is_no_level_of_a_topic_is_refused(cast, slug):
    answer = people.api(cast.staff).post("/tenants", NEW | {"slug": slug})
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {"slug"}


def test_a_slug_that_is_taken_is_a_conflict(cast):
    answer = people.api(cast.staff).post("/tenants", NEW | {"slug": "t0"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert people.api(cast.staff).post("/tenants", NEW | {"slug": "T0"}).status_code == 201


@pytest.mark.parametrize("name", ["", " ", None, "x" * 256])
def test_a_tenant_has_a_name(cast, name):
    answer = people.api(cast.staff).post("/tenants", NEW | {"name": name})
    assert answer.json()["errors"][0]["field"] == "name"


def test_an_admin_renames_their_own(cast):
    answer = people.api(cast.admin).patch("/tenants/t0", {"name": "Acme"})
    assert answer.json() == {"slug": "t0", "name": "Acme", "retention_days": None}
    assert LogEntry.objects.get().get_change_message() == "Changed name."


def test_staff_say_for_how_long_a_tenant_keeps_readings(cast, settings):
    client = people.api(cast.staff)
    assert client.patch("/tenants/t0", {"retention_days": 30}).json()["retention_days"] == 30
    assert client.patch("/tenants/t0", {"retention_days": None}).json()["retention_days"] is None
    for wrong in (0, -1, settings.HISTORY_DAYS + 1, 10**30, "soon"):
        answer = client.patch("/tenants/t0", {"retention_days": wrong})
        assert answer.json()["errors"][0]["field"] == "retention_days", wrong


def test_an_admin_does_not(cast):
    client = people.api(cast.admin)
    answer = client.patch("/tenants/t0", {"retention_days": 30})
    assert "Only platform staff" in answer.json()["errors"][0]["detail"]
    assert client.patch("/tenants/t0", {"name": "A", "retention_days": None}).status_code == 200


def test_another_tenant_does_not_exist(cast):
    client = people.api(cast.admin)
    assert client.get("/tenants/other").status_code == 404
    assert client.patch("/tenants/other", {"name": "Mine"}).status_code == 404
    assert Tenant.objects.get(slug="other").name == "Other Ltd"


def test_a_slug_never_changes(cast):
    client = people.api(cast.staff)
    answer = client.patch("/tenants/t0", {"slug": "t1"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "slug")
    assert client.patch("/tenants/t0", {"slug": "t0", "name": "Same"}).status_code == 200


def test_an_empty_one_is_deleted(cast):
    client = people.api(cast.staff)
    client.post("/tenants", NEW)
    assert client.delete(f"/tenants/{NEW['slug']}").status_code == 204
    assert client.get(f"/tenants/{NEW['slug']}").status_code == 404


def command(tenant: Tenant) -> Command:
    """Of a device that is another tenant's, so that there is nothing else."""
    device = people.device("dev-09", Tenant.objects.get(slug="other"))
    return Command.objects.create(device=device, tenant=tenant, cmd="reboot", expires_at=TOMORROW)


def batch(tenant: Tenant) -> CommandBatch:
    target = {"all": True}
    return CommandBatch.objects.create(tenant=tenant, target=target, expires_at=TOMORROW)


def alert(tenant: Tenant) -> None:
    """Of another tenant's rule and device, so that there is nothing else."""
    raised = people.alert(people.device("dev-09", Tenant.objects.get(slug="other")))
    Alert.objects.filter(pk=raised.pk).update(tenant=tenant)


CONTENTS = {
    "alert rules": lambda tenant: AlertRule.objects.create(
        tenant=tenant, name="Silent", webhook_url=""
    ),
    "alerts": alert,
    "commands": command,
    "command batches": batch,
    "devices": lambda tenant: people.device("dev-09", tenant),
    "enrolment keys": lambda tenant: EnrolmentKey.objects.create(
        tenant=tenant, digest=bytes(32), quota=1, expires_at=TOMORROW
    ),
    "broker changes": lambda tenant: BrokerChange.objects.create(device_uid="d", tenant=tenant),
    "device types": lambda tenant: DeviceType.objects.create(name="Sensor", tenant=tenant),
    "rejected messages": people.rejected,
    "users": lambda tenant: people.user("last@acme.example", tenant),
}


@pytest.mark.parametrize("what", CONTENTS)
def test_one_with_anything_in_it_is_not_and_the_answer_says_what_is(cast, what):
    CONTENTS[what](Tenant.objects.create(slug="acme", name="Acme"))
    answer = people.api(cast.staff).delete("/tenants/acme")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert answer.json()["detail"].startswith(f"The tenant has {what} still. ")
    assert Tenant.objects.filter(slug="acme").exists()
    assert not LogEntry.objects.exists()


def test_all_that_is_in_the_way_is_named():
    fields = Tenant._meta.get_fields(include_hidden=True)
    models = {field.related_model for field in fields if field.one_to_many}
    # What the history notes of a tenant, it notes of nobody then.
    models.remove(Concern)
    assert {model._meta.verbose_name_plural for model in models} == set(CONTENTS)


def test_what_is_in_it_is_not_read(cast):
    people.rejected(cast.t0)
    with CaptureQueriesContext(connection) as captured:
        people.api(cast.staff).delete("/tenants/t0")
    assert not [query["sql"] for query in captured if "payload" in query["sql"]]


def test_one_that_is_deleted_meanwhile_is_not_found(cast, monkeypatch):
    client = people.api(cast.staff)
    client.post("/tenants", NEW)
    deleted_meanwhile(Tenant.objects.filter(slug=NEW["slug"]), monkeypatch)
    assert client.patch(f"/tenants/{NEW['slug']}", {"name": "Late"}).status_code == 404
    assert LogEntry.objects.filter(action_flag=CHANGE).count() == 0


def test_a_change_that_changes_nothing_is_not_in_the_history(cast):
    for body in ({}, {"name": cast.t0.name}):
        assert people.api(cast.admin).patch("/tenants/t0", body).status_code == 200
    assert not LogEntry.objects.exists()


def test_a_change_is_made_with_its_history_or_not_at_all(cast, monkeypatch):
    monkeypatch.setattr(history, "record", None)
    with pytest.raises(TypeError):
        people.api(cast.admin).patch("/tenants/t0", {"name": "Acme"})
    assert Tenant.objects.get(slug="t0").name == cast.t0.name
