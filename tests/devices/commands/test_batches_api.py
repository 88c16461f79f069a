"""Batches over the API: how far commands to many are, and taking them back."""

import uuid

import pytest

from devices.commands.serializers import BatchSerializer
from devices.models import Command, CommandBatch, CommandStatus, Device
from tests import cast as people
from tests.cast import NOON, api
from tests.queries import plan_of, queries_of

BATCHES = "/command-batches"
SENT = {"status": "sent", "sent_at": NOON, "claimed_at": NOON}


@pytest.fixture
def batch(cast) -> CommandBatch:
    """A command to dev-01, dev-02 and dev-03."""
    for number in (2, 3):
        people.device(f"dev-0{number}", cast.t0)
    return people.batch(cast.t0, cast.operator)


def move(batch, uid, **fields):
    batch.commands.filter(device__device_uid=uid).update(**fields)


def listed(user, **parameters):
    answer = api(user).get(BATCHES, parameters)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def counts(**some):
    return {**dict.fromkeys(CommandStatus.values, 0), **some}


def test_a_batch_counts_its_commands_by_state_and_the_late_ones(cast, batch):
    move(batch, "dev-01", **SENT)
    move(batch, "dev-02", status="expired", finished_at=NOON, is_late=True)
    shown = api(cast.viewer).get(f"{BATCHES}/{batch.id}").json()
    assert (shown["total"], shown["late"]) == (3, 1)
    assert shown["counts"] == counts(queued=1, sent=1, expired=1)


def test_a_list_has_all_but_whom_they_are_for_and_whom_they_left_out(cast, batch):
    whole = api(cast.viewer).get(f"{BATCHES}/{batch.id}").json()
    (shown,) = listed(cast.viewer)
    assert shown | {"target": {"all": True}, "skipped": []} == whole
    assert shown.keys() == BatchSerializer().fields.keys()


def test_a_batch_whose_devices_are_all_deleted_has_no_commands(cast):
    people.batch(cast.t0)
    Device.objects.filter(tenant=cast.t0).retire()
    (shown,) = listed(cast.viewer)
    assert (shown["total"], shown["late"], shown["counts"]) == (0, 0, counts())


def test_commands_to_deleted_devices_are_not_counted_as_they_are_not_listed(cast, batch):
    Device.objects.filter(device_uid="dev-02").retire()
    (shown,) = listed(cast.viewer)
    assert shown["total"] == shown["counts"]["queued"] == 2
    assert len(api(cast.viewer).get("/commands", {"batch": batch.id}).json()) == 2


def test_the_newest_come_first_and_pages_follow_each_other(cast, batch):
    made = [batch, people.batch(cast.t0), people.batch(cast.t0)]
    first = api(cast.viewer).get(BATCHES, {"limit": 2})
    second = api(cast.viewer).get(first["Link"].partition(">")[0].removeprefix("<"))
    shown = [each["id"] for each in first.json() + second.json()]
    assert shown == [str(each.id) for each in made[::-1]]


def test_everybody_sees_the_batches_of_their_tenant_and_staff_all(cast, batch):
    foreign = people.batch(cast.other, cmd="stop")
    assert [each["tenant"] for each in listed(cast.viewer)] == ["t0"]
    assert [each["id"] for each in listed(cast.stranger)] == [str(foreign.id)]
    assert len(listed(cast.staff)) == 2
    assert [each["tenant"] for each in listed(cast.staff, tenant="t0")] == ["t0"]
    assert [each["tenant"] for each in listed(cast.staff, cmd="stop")] == ["other"]


@pytest.mark.parametrize(
    ("method", "end"), [("get", ""), ("post", "/cancel")], ids=["read", "cancel"]
)
def test_a_batch_of_others_is_not_there(cast, method, end):
    foreign = people.batch(cast.other)
    urls = [f"{BATCHES}/{id}{end}" for id in (foreign.id, uuid.uuid4(), "-" * 36)]
    answers = [getattr(api(cast.admin), method)(url) for url in urls]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, answers[0].content)
    }
    assert Command.objects.get().status == "queued"


def test_a_list_can_be_narrowed_to_a_time_of_sending(cast, batch):
    CommandBatch.objects.update(created_at=NOON)
    assert len(listed(cast.viewer, created_after="2026-01-14T12:00:00Z")) == 1
    assert listed(cast.viewer, created_before="2026-01-14T12:00:00Z") == []


def test_counts_are_one_statement_however_many_batches_there_are(cast, batch):
    for _ in range(5):
        people.batch(cast.t0)
    # One more finds the person of the token.
    assert len(queries_of(api(cast.viewer), BATCHES)) == 3
    assert len(queries_of(api(cast.viewer), f"{BATCHES}/{batch.id}")) == 3


def test_a_page_is_a_scan_of_an_index_in_its_order(cast, batch):
    common = {"tenant": cast.t0, "cmd": "x", "target": {"all": True}, "expires_at": NOON}
    CommandBatch.objects.bulk_create(CommandBatch(**common) for _ in range(2_000))
    nodes = plan_of(queries_of(api(cast.viewer), BATCHES, limit=10)[-2])
    assert "batch_by_tenant" in {node.get("Index Name") for node in nodes}
    assert "Sort" not in {node["Node Type"] for node in nodes}


def cancel(user, batch):
    return api(user).post(f"{BATCHES}/{batch.id}/cancel")


def test_of_a_batch_what_is_queued_is_cancelled_and_the_rest_goes_on(cast, batch):
    move(batch, "dev-01", **SENT)
    move(batch, "dev-02", claimed_at=NOON)
    answer = cancel(cast.operator, batch)
    assert answer.status_code == 200
    assert answer.json()["counts"] == counts(queued=1, sent=1, cancelled=1)
    assert answer.json()["cancelled_at"]
    assert batch.commands.get(status="cancelled").device.device_uid == "dev-03"


def test_to_cancel_again_is_harmless(cast, batch):
    move(batch, "dev-01", claimed_at=NOON)
    first = cancel(cast.operator, batch).json()
    assert first["counts"] == counts(queued=1, cancelled=2)
    assert cancel(cast.operator, batch).json() == first


def test_a_batch_of_which_all_is_over_can_be_cancelled_without_harm(cast, batch):
    batch.commands.update(status="succeeded", finished_at=NOON)
    assert cancel(cast.operator, batch).json()["counts"] == counts(succeeded=3)


def test_a_viewer_cancels_nothing(cast, batch):
    assert cancel(cast.viewer, batch).status_code == 403
    assert not Command.objects.filter(status="cancelled").exists()


def test_there_is_nothing_to_send_with_a_cancellation(cast, batch):
    answer = api(cast.operator).post(f"{BATCHES}/{batch.id}/cancel", {"force": True})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "force")
