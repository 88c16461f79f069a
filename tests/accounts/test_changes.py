"""The page “History”: who changed what, for whom it concerns."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from accounts.history import CHANGE, record
from accounts.models import Concern, Tenant, User
from devices.credentials.issuing import issue
from devices.credentials.recorded import issue_and_record
from devices.models import CommandBatch, Device, DeviceType
from telemetry.models import MessageCount
from tests import cast as people
from tests.queries import plan_of, queries_of

HISTORY = "/admin/accounts/change/"


def seen(somebody: User, **asked) -> list[str]:
    """The things whose changes somebody sees."""
    found = people.console(somebody).get(HISTORY, asked).context["cl"].result_list
    return [change.object_repr for change in found]


@pytest.fixture
def changes(cast):
    """Somebody of each tenant changed a device of theirs, and then staff both of them."""
    for who, what in ((cast.operator, cast.device), (cast.stranger, cast.foreign)):
        record(who, CHANGE, what, ["name"])
        record(cast.staff, CHANGE, what, ["is_enabled"])
    return cast


def test_a_tenants_admin_sees_what_concerns_the_tenant_and_nothing_else(changes):
    assert seen(changes.admin) == ["dev-01"] * 2
    assert seen(changes.stranger) == ["foreign-01"] * 2
    assert seen(changes.staff) == ["foreign-01"] * 2 + ["dev-01"] * 2


def test_platform_staff_are_no_names_to_a_tenant(changes):
    page = people.console(changes.admin).get(HISTORY).text
    assert "Platform staff" in page
    assert changes.staff.email not in page
    assert changes.staff.email in people.console(changes.staff).get(HISTORY).text


def test_what_concerns_staff_is_nothing_for_the_tenant_that_they_belong_to(cast):
    User.objects.filter(pk=cast.staff.pk).update(tenant=cast.t0)
    cast.staff.refresh_from_db()
    record(cast.staff, CHANGE, cast.staff, ["language"])
    assert seen(cast.admin) == []
    assert len(seen(cast.staff)) == 1


def test_a_thing_without_a_tenant_is_its_changers_or_nobodys(cast):
    shared = DeviceType.objects.create(name="Sensor", tenant=None)
    record(cast.staff, CHANGE, shared, ["name"])
    assert seen(cast.admin) == []
    record(cast.admin, CHANGE, shared, ["name"])
    assert seen(cast.admin) == ["Sensor"]
    assert seen(cast.stranger) == []


def test_every_kind_of_thing_with_a_page_is_noted_with_its_tenant(cast):
    things = [
        (cast.t0, cast.t0),
        (cast.viewer, cast.t0),
        (cast.foreign, cast.other),
        (people.command(cast.device), cast.t0),
        (people.batch(cast.other), cast.other),
        (people.rejected(cast.other), cast.other),
        (people.rejected(None), None),
        (people.enrolment_key(cast.t0, cast.admin).key, cast.t0),
        (DeviceType.objects.create(name="Sensor", tenant=cast.other), cast.other),
        (issue([cast.foreign], None)[0].credential, cast.other),
    ]
    LogEntry.objects.all().delete()
    for thing, _tenant in things:
        record(cast.staff, CHANGE, thing)
    entries = LogEntry.objects.order_by("pk")
    assert [(entry.get_edited_object(), entry.concern.tenant) for entry in entries] == things


def test_an_entry_about_what_cannot_be_looked_up_hinders_nobody(cast):
    nobodys = MessageCount.objects.create(tenant_id=10**9, writer=1, minute=timezone.now())
    about = [(Device, each) for each in ("", "x", None, "9" * 30, "-1")]
    about += [(CommandBatch, "1"), (Session, "1"), (MessageCount, str(nobodys.pk))]
    LogEntry.objects.bulk_create(
        LogEntry(
            user=who,
            content_type=ContentType.objects.get_for_model(model),
            object_id=key,
            action_flag=CHANGE,
        )
        for model, key in about
        for who in (cast.staff, cast.admin)
    )
    noted = Concern.objects.order_by("entry_id").values_list("tenant", flat=True)
    assert list(noted) == [None, cast.t0.pk] * len(about)


def test_entries_that_a_statement_of_ours_writes_are_noted_as_well(cast):
    issue_and_record([cast.device, cast.foreign], cast.staff)
    assert seen(cast.admin) == ["dev-01"]
    assert seen(cast.stranger) == ["foreign-01"]


def test_a_tenant_that_has_only_a_history_can_be_deleted(cast):
    empty = Tenant.objects.create(slug="empty", name="Empty")
    record(cast.staff, CHANGE, empty, ["name"])
    assert people.api(cast.staff).delete("/tenants/empty").status_code == 204
    assert seen(cast.staff) == ["Empty", "Empty"]
    assert not Concern.objects.filter(tenant__isnull=False).exists()


def test_a_change_leads_to_its_thing_unless_that_is_gone(changes):
    link = f'href="/admin/devices/device/{changes.device.pk}/change/">dev-01</a>'
    client = people.console(changes.admin)
    assert link in client.get(HISTORY).text
    LogEntry.objects.update(action_flag=3)
    assert link not in client.get(HISTORY).text


def test_the_history_is_narrowed_by_person_object_and_time(changes):
    users = ContentType.objects.get_for_model(User).pk
    devices = ContentType.objects.get_for_model(changes.device).pk
    assert seen(changes.admin, user=changes.operator.pk) == ["dev-01"]
    assert seen(changes.admin, object=devices) == ["dev-01"] * 2
    assert seen(changes.admin, object=users) == []
    assert seen(changes.admin, action_time_to_0="2001-01-01") == []
    assert seen(changes.admin, action_time_from_0="2001-01-01") == ["dev-01"] * 2


def test_people_of_others_can_be_neither_chosen_nor_asked_for(changes):
    page = people.console(changes.admin).get(HISTORY).text
    assert changes.stranger.email not in page
    assert seen(changes.admin, user=changes.staff.pk) == ["dev-01"] * 2
    answer = people.console(changes.admin).get(HISTORY, {"user__email__startswith": "s"})
    assert answer.status_code == 400


def test_the_history_of_a_tenant_is_read_in_the_order_of_an_index(changes):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
    (statement,) = [
        sql
        for sql in queries_of(people.console(changes.admin), HISTORY)
        if 'FROM "django_admin_log"' in sql and "ORDER BY" in sql
    ]
    nodes = plan_of(statement)
    assert "concern_newest" in [node.get("Index Name") for node in nodes]
    assert "Sort" not in [node["Node Type"] for node in nodes]


def test_the_history_is_a_page_of_few_queries(changes):
    for _ in range(20):
        record(changes.operator, CHANGE, changes.device, ["name"])
    assert len(queries_of(people.console(changes.admin), HISTORY)) <= 8


def test_on_the_page_of_a_thing_staff_are_no_names_either(changes):
    page = f"/admin/devices/device/{changes.device.pk}/history/"
    shown = people.console(changes.viewer).get(page).text
    assert changes.operator.email in shown
    assert "Platform staff" in shown
    assert changes.staff.email not in shown
    assert changes.staff.email in people.console(changes.staff).get(page).text
