"""POST /commands: whom a command to many is for, what it would do, what is refused."""

from types import SimpleNamespace

import pytest

from accounts.models import User
from devices.commands.serializers import BatchWholeSerializer
from devices.models import Command, CommandBatch, CommandStatus, Device
from tests import cast as people
from tests.cast import api
from tests.devices.commands.test_send_api import errors_of, refusal
from tests.devices.commands.test_sending import in_threads
from tests.queries import queries_of

URL = "/commands"
REBOOT = {"cmd": "reboot", "params": {"delay": 5}}
ALL = REBOOT | {"all": True}
REHEARSE = f"{URL}?dry_run=true"


@pytest.fixture
def fleet(cast) -> SimpleNamespace:
    """dev-01 and dev-02 in Hanoi, one of them on a roof, dev-03 in Hue."""
    labels = {
        "dev-01": {"site": "Hanoi"},
        "dev-02": {"site": "Hanoi", "roof": "yes"},
        "dev-03": {"site": "Hue", "roof": "yes"},
    }
    for uid, label in labels.items():
        if uid != "dev-01":
            people.device(uid, cast.t0)
        Device.objects.filter(device_uid=uid).update(labels=label)
    return cast


def send(user, key=None, url=URL, **body):
    headers = {} if key is None else {"Idempotency-Key": key}
    return api(user).post(url, body or ALL, headers=headers)


def sent_to() -> list[str]:
    return sorted(Command.objects.values_list("device__device_uid", flat=True))


def disable(*uids):
    Device.objects.filter(device_uid__in=uids).update(is_enabled=False)


def test_a_batch_is_answered_with_whom_it_is_for_and_how_far_it_is(fleet):
    disable("dev-03")
    answer = send(fleet.operator)
    made = CommandBatch.objects.get()
    assert answer.status_code == 202
    assert answer["Location"] == f"http://testserver/command-batches/{made.id}"
    batch = answer.json()
    assert batch.pop("created_at") < batch.pop("expires_at")
    assert batch == {
        "id": str(made.id),
        "tenant": "t0",
        "cmd": "reboot",
        "params": {"delay": 5},
        "target": {"all": True},
        "issued_by": "operator@t0.example",
        "cancelled_at": None,
        "total": 2,
        "counts": {**dict.fromkeys(CommandStatus.values, 0), "queued": 2},
        "late": 0,
        "skipped": [{"device_uid": "dev-03", "reason": "dev-03 is disabled. Enable it first."}],
    }


def test_the_description_has_every_field_of_the_answer(fleet):
    batch = send(fleet.operator).json()
    assert batch.keys() == BatchWholeSerializer().fields.keys()
    assert list(batch["counts"]) == CommandStatus.values


@pytest.mark.parametrize(
    ("target", "uids"),
    [
        ({"all": True}, ["dev-01", "dev-02", "dev-03"]),
        ({"labels": {"site": "Hanoi"}}, ["dev-01", "dev-02"]),
        ({"labels": {"site": "Hanoi", "roof": "yes"}}, ["dev-02"]),
        ({"device_uids": ["dev-03", "dev-01"]}, ["dev-01", "dev-03"]),
    ],
)
def test_devices_are_chosen_by_uid_by_labels_or_all_of_the_tenant(fleet, target, uids):
    answer = send(fleet.operator, **REBOOT, **target)
    assert (answer.status_code, answer.json()["target"]) == (202, target)
    assert sent_to() == uids


def test_a_device_that_is_named_twice_gets_one_command(fleet):
    assert send(fleet.operator, **REBOOT, device_uids=["dev-01"] * 3).json()["total"] == 1


@pytest.mark.parametrize("actor", ["operator", "staff"])
def test_each_command_knows_its_batch_and_who_asked(fleet, actor):
    batch = send(getattr(fleet, actor), **ALL, tenant="t0").json()
    found = {(str(each.batch_id), each.issued_by.email) for each in Command.objects.all()}
    assert found == {(batch["id"], batch["issued_by"])}


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"all": True, "labels": {"site": "Hue"}},
        {"all": True, "device_uids": ["dev-01"]},
        {"labels": {"site": "Hue"}, "device_uids": ["dev-01"]},
    ],
)
def test_there_is_one_way_to_choose_at_a_time(fleet, target):
    assert "one of" in errors_of(send(fleet.operator, **REBOOT, **target))[""]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("all", False),
        ("all", None),
        ("all", "true"),
        ("all", 1),
        ("labels", {}),
        ("labels", []),
        ("labels", {"floor": 3}),
        ("device_uids", []),
        ("device_uids", "dev-01"),
        ("device_uids", None),
        ("tenants", "t0"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(fleet, name, value):
    target = {} if name in ("all", "labels", "device_uids") else {"all": True}
    assert errors_of(send(fleet.operator, **REBOOT, **target, **{name: value})).keys() == {name}
    assert not CommandBatch.objects.exists()


@pytest.mark.parametrize("uid", [5, None, "", "x" * 129, ["dev-01"]])
def test_a_uid_that_is_none_is_refused_with_its_place(fleet, uid):
    errors = errors_of(send(fleet.operator, **REBOOT, device_uids=["dev-01", uid]))
    assert errors.keys() == {"device_uids.1"}


def test_uids_that_are_not_there_refuse_the_whole_and_are_named(fleet):
    Device.objects.filter(device_uid="dev-03").retire()
    uids = ["dev-01", "nowhere", "foreign-01", "dev-03"]
    said = errors_of(send(fleet.operator, **REBOOT, device_uids=uids))["device_uids"]
    assert "nowhere, foreign-01, dev-03." in said
    assert not Command.objects.exists()


def test_of_very_many_the_first_are_named(fleet):
    uids = [f"no-{number}" for number in range(1, 1_031)]
    said = errors_of(send(fleet.operator, **REBOOT, device_uids=uids))["device_uids"]
    assert "no-20 and 1,010 more." in said
    assert "no-21" not in said


@pytest.mark.parametrize("labels", [{"site": "Nowhere"}, {"site": "Hue", "roof": "no"}])
def test_labels_that_no_device_has_are_refused(fleet, labels):
    said = errors_of(send(fleet.operator, **REBOOT, labels=labels))
    assert "No device of the tenant has these labels." in said["labels"]


def test_a_tenant_without_devices_is_sent_nothing(fleet):
    Device.objects.filter(tenant=fleet.t0).retire()
    assert errors_of(send(fleet.operator)) == {"all": "The tenant has no devices."}


def test_staff_name_the_tenant(fleet):
    assert "name the one" in errors_of(send(fleet.staff))["tenant"]
    assert send(fleet.staff, **ALL, tenant="other").json()["tenant"] == "other"
    assert sent_to() == ["foreign-01"]


def test_staff_of_a_tenant_need_not_name_it(fleet):
    boss = User.objects.create_superuser("boss@t0.example", "x", tenant=fleet.t0)
    assert send(boss).json()["tenant"] == "t0"


def test_staff_without_a_tenant_are_told_where_the_tenants_are(fleet):
    said = errors_of(send(fleet.staff, **ALL, tenant="nobody"))["tenant"]
    assert said == "There is no tenant “nobody”. GET /tenants shows which there are."


@pytest.mark.parametrize("tenant", ["other", "nobody"])
def test_nobody_sends_to_another_tenant(fleet, tenant):
    said = errors_of(send(fleet.operator, **ALL, tenant=tenant))
    assert said == {"tenant": f"There is no tenant “{tenant}”. Leave it out for your own."}


def test_staff_cannot_name_devices_of_another_tenant_than_the_one_they_say(fleet):
    body = REBOOT | {"tenant": "t0", "device_uids": ["foreign-01"]}
    assert "foreign-01" in errors_of(send(fleet.staff, **body))["device_uids"]


def test_a_viewer_sends_nothing_and_may_not_even_try(fleet):
    assert send(fleet.viewer).status_code == send(fleet.viewer, url=REHEARSE).status_code == 403


def test_a_dry_run_tells_what_would_be_done_and_leaves_no_trace(fleet, settings):
    settings.COMMAND_QUEUE = 1
    people.command(Device.objects.get(device_uid="dev-02"))
    disable("dev-03")
    answer = send(fleet.operator, url=REHEARSE)
    assert answer.status_code == 200
    assert (answer.json()["dry_run"], answer.json()["total"]) == (True, 1)
    assert [each["device_uid"] for each in answer.json()["skipped"]] == ["dev-02", "dev-03"]
    assert Command.objects.count() == 1
    assert not CommandBatch.objects.exists()


def test_a_dry_run_refuses_what_the_real_one_would_refuse(fleet, settings):
    bodies = [REBOOT | {"device_uids": ["nowhere"]}, REBOOT | {"labels": {"site": "x"}}, REBOOT]
    settings.MAX_COMMAND = 60
    bodies.append(ALL | {"params": {"text": "x" * 60}})
    settings.COMMAND_RATE = 2
    bodies.append(ALL)
    for body in bodies:
        said = [send(fleet.operator, url=url, **body) for url in (URL, REHEARSE)]
        assert [answer.status_code for answer in said] == [400, 400]
        assert said[0].json() == said[1].json()


def test_a_batch_for_which_there_is_no_room_this_minute_is_429(fleet, settings):
    settings.COMMAND_RATE = 3
    people.command(fleet.device)
    for url in (URL, REHEARSE):
        answer = send(fleet.operator, url=url)
        assert refusal(answer)[0] == 429
        assert 50 < int(answer["Retry-After"]) <= 60
    assert not CommandBatch.objects.exists()


def test_a_command_that_no_device_can_take_is_409_and_a_dry_run_tells_why(fleet):
    disable("dev-01", "dev-02", "dev-03")
    status, detail = refusal(send(fleet.operator))
    assert status == 409
    assert "dev-01 is disabled. Enable it first." in detail
    assert not CommandBatch.objects.exists()
    rehearsed = send(fleet.operator, url=REHEARSE).json()
    assert (rehearsed["total"], len(rehearsed["skipped"])) == (0, 3)


def test_a_request_that_comes_again_with_its_key_is_not_carried_out_again(fleet):
    first = send(fleet.operator, "key-1")
    people.device("dev-04", fleet.t0)
    again = send(fleet.operator, "key-1")
    assert (again.status_code, again["Idempotency-Replayed"]) == (202, "true")
    assert again.json() == first.json()
    assert Command.objects.count() == 3


def test_a_request_that_comes_again_is_known_though_its_devices_are_gone(fleet):
    body = REBOOT | {"device_uids": ["dev-01"]}
    first = send(fleet.operator, "key-1", **body)
    Device.objects.filter(device_uid="dev-01").retire()
    again = send(fleet.operator, "key-1", **body)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


@pytest.mark.parametrize(
    "other", [ALL | {"cmd": "stop"}, REBOOT | {"labels": {"site": "Hue"}}, ALL | {"expires_in": 9}]
)
def test_a_key_for_something_else_is_422(fleet, other):
    send(fleet.operator, "key-1")
    assert refusal(send(fleet.operator, "key-1", **other))[0] == 422
    assert CommandBatch.objects.count() == 1


def test_a_key_that_is_none_is_refused(fleet):
    assert errors_of(send(fleet.operator, "a b")).keys() == {"Idempotency-Key"}


def test_of_three_requests_with_one_key_at_one_moment_one_sends(transactional_db):
    cast = people.cast()
    answers = in_threads(*[lambda: send(cast.operator, "key-1")] * 3)
    assert {answer.status_code for answer in answers} == {202}
    assert CommandBatch.objects.count() == Command.objects.count() == 1


def test_sending_costs_the_same_for_few_devices_and_many(fleet):
    app = api(fleet.operator)
    few = queries_of(app, URL, "post", **ALL)
    for number in range(10, 60):
        people.device(f"dev-{number}", fleet.t0)
    assert len(queries_of(app, URL, "post", **ALL)) == len(few)
    assert Command.objects.count() == 3 + 53
