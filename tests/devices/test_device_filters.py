"""The list of devices: narrowed, ordered, in pages, and at what cost."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.filters import ORDERS
from devices.models import Device, DeviceType
from tests import cast as people
from tests.cast import NOON, api
from tests.queries import plan_of

DEVICES = "/devices"
HOUR = timedelta(hours=1)
# 2026-01-14T12:00:00Z, as a program writes it that forgets what “+” means in an address.
NOON_TEXT = NOON.isoformat()


def listed(client, query="") -> list[str]:
    answer = client.get(f"{DEVICES}?{query}")
    assert answer.status_code == 200, answer.content
    return [device["device_uid"] for device in answer.json()]


def statements(client, query="") -> list[str]:
    """What it takes to answer, beside the one that finds the person of the token."""
    with CaptureQueriesContext(connection) as captured:
        listed(client, query)
    return [query["sql"] for query in captured if "accounts_user" not in query["sql"]]


@pytest.fixture
def fleet(cast):
    """Three devices beside dev-01: one online, one offline since an hour, one disabled."""
    sensor = DeviceType.objects.create(name="sensor", tenant=cast.t0)
    people.device("roof", cast.t0, session="online", last_seen_at=NOON)
    people.device("gate", cast.t0, session="offline", last_seen_at=NOON - HOUR)
    people.device("pump", cast.t0, session="unknown", last_seen_at=NOON + HOUR)
    Device.objects.filter(device_uid="roof").update(
        type=sensor, name="The ROOF 100%", labels={"site": "Hanoi", "floor": "9"}
    )
    Device.objects.filter(device_uid="gate").update(labels={"site": "Hanoi"}, name="A gate")
    Device.objects.filter(device_uid="pump").update(is_enabled=False, labels={"site": "Hue: 2"})
    return cast


def test_a_person_sees_the_devices_of_their_tenant_by_uid(fleet):
    assert listed(api(fleet.viewer)) == ["dev-01", "gate", "pump", "roof"]
    assert listed(api(fleet.stranger)) == ["foreign-01"]
    assert listed(api(fleet.staff)) == ["dev-01", "foreign-01", "gate", "pump", "roof"]


@pytest.mark.parametrize(
    ("query", "uids"),
    [
        ("search=roof", ["roof"]),
        ("search=The+Ro", ["roof"]),
        ("search=DEV-0", ["dev-01"]),
        ("search=%25", ["roof"]),
        ("search=_", []),
        ("type=sensor", ["roof"]),
        ("type=Sensor", []),
        ("tenant=t0", ["dev-01", "gate", "pump", "roof"]),
        ("tenant=other", []),
        ("tenant=nobody", []),
        ("is_enabled=false", ["pump"]),
        ("is_enabled=true&type=sensor", ["roof"]),
        ("online=true", ["roof"]),
        ("online=false", ["dev-01", "gate", "pump"]),
        ("session=offline", ["gate"]),
        ("session=unknown", ["dev-01", "pump"]),
        ("label=site:Hanoi", ["gate", "roof"]),
        ("label=site:hanoi", []),
        ("label=site:Hanoi&label=floor:9", ["roof"]),
        ("label=site:Hanoi&label=site:Hue", []),
        ("label=site", ["gate", "pump", "roof"]),
        ("label=site&label=floor", ["roof"]),
        ("label=site:Hue:+2", ["pump"]),
        ("label=site:", []),
        ("last_seen_after=2026-01-14T12:00:00Z", ["pump", "roof"]),
        ("last_seen_before=2026-01-14T12:00:00Z", ["gate"]),
        (f"last_seen_after={NOON_TEXT}", ["pump", "roof"]),
        ("last_seen_before=2026-01-14T13:00:00%2B01:00", ["gate"]),
        ("search=&type=&label=&is_enabled=&session=&last_seen_after=&ordering=&limit=2", None),
    ],
)
def test_the_list_is_narrowed(fleet, query, uids):
    assert listed(api(fleet.viewer), query) == (["dev-01", "gate"] if uids is None else uids)


def test_staff_narrow_the_list_to_a_tenant(fleet):
    assert listed(api(fleet.staff), "tenant=other") == ["foreign-01"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("online=perhaps", "online"),
        ("is_enabled=2", "is_enabled"),
        ("session=up", "session"),
        ("label=:Hanoi", "label"),
        ("last_seen_after=yesterday", "last_seen_after"),
        ("last_seen_before=2026-02-30T00:00:00Z", "last_seen_before"),
        ("last_seen_before=2026-01-14T12:00:00%2B16:00", "last_seen_before"),
        ("ordering=tenant", "ordering"),
        ("ordering=--name", "ordering"),
        ("ordering=name,device_uid", "ordering"),
        ("search=%00", "search"),
        ("label=site&label=%00", "label"),
        ("tenant=%00", "tenant"),
        ("search=" + "x" * 256, "search"),
        ("limit=0", "limit"),
        ("cursor=nonsense", "cursor"),
        ("lable=site", "lable"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name(fleet, query, field):
    answer = api(fleet.viewer).get(f"{DEVICES}?{query}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("query", ["session=up", "ordering=tenant", "label=:x", "online=maybe"])
def test_what_is_wrong_is_said_with_what_would_be_right(fleet, query):
    detail = api(fleet.viewer).get(f"{DEVICES}?{query}").json()["detail"]
    assert ": Use " in detail or ": Write " in detail


@pytest.mark.parametrize(
    ("order", "uids"),
    [
        ("device_uid", ["dev-01", "gate", "pump", "roof"]),
        ("name", ["gate", "dev-01", "pump", "roof"]),
        ("last_seen_at", ["dev-01", "gate", "roof", "pump"]),
        ("created_at", ["dev-01", "roof", "gate", "pump"]),
    ],
)
def test_the_list_is_ordered_both_ways(fleet, order, uids):
    app = api(fleet.viewer)
    assert listed(app, f"ordering={order}") == uids
    assert listed(app, f"ordering=-{order}") == uids[::-1]


@pytest.mark.parametrize("order", ORDERS)
def test_pages_of_any_order_are_the_whole_list_once(fleet, order):
    Device.objects.update(name="same", created_at=NOON)
    app, whole = api(fleet.viewer), listed(api(fleet.viewer), f"ordering={order}")
    seen, address = [], f"{DEVICES}?ordering={order}&limit=1"
    while address:
        answer = app.get(address)
        seen += [device["device_uid"] for device in answer.json()]
        links = dict(
            reversed(link.split("; ")) for link in answer.get("Link", "").split(", ") if link
        )
        address = links.get('rel="next"', "").strip("<>")
    assert seen == whole


def test_a_page_keeps_its_filters(fleet):
    answer = api(fleet.viewer).get(f"{DEVICES}?label=site:Hanoi&label=site&limit=1")
    assert "&label=site%3AHanoi&label=site&limit=1>" in answer["Link"]


def test_a_deleted_device_is_in_no_list(fleet):
    Device.objects.filter(device_uid="roof").retire()
    assert "roof" not in listed(api(fleet.viewer))
    assert listed(api(fleet.staff), "search=roof") == []


def test_a_list_takes_one_statement_however_long_and_narrowed(fleet):
    app = api(fleet.viewer)
    for number in range(30):
        people.device(f"more-{number}", fleet.t0, last_seen_at=NOON, latest={"n": [number, 0.0]})
    everything = "search=m&online=false&label=site&type=sensor&tenant=t0&ordering=-last_seen_at"
    assert len(statements(app)) == len(statements(app, everything)) == 1


@pytest.fixture
def crowd(cast):
    """Some thousand devices, few of them in t0, few with any one label, and the planner knows."""
    Device.objects.bulk_create(
        Device(
            device_uid=f"crowd-{number:05}",
            tenant=cast.other if number % 20 else cast.t0,
            labels={"site": f"site {number % 500}"} if number % 40 else {"rare": "yes"},
        )
        for number in range(4_000)
    )
    with connection.cursor() as cursor:
        # As autovacuum does before long.
        cursor.execute("SELECT gin_clean_pending_list('device_by_label')")
        cursor.execute("ANALYZE devices_device")
    return cast


def test_a_page_of_a_tenant_is_read_from_an_index_in_its_order(crowd):
    app = api(crowd.viewer)
    link = app.get(f"{DEVICES}?limit=10")["Link"]
    for query in ("limit=10", link.partition("?")[2].partition(">")[0]):
        (statement,) = statements(app, query)
        nodes = plan_of(statement)
        assert "device_by_tenant" in {node.get("Index Name") for node in nodes}
        assert "Sort" not in {node["Node Type"] for node in nodes}


@pytest.mark.parametrize("label", ["site:site 7", "rare"])
def test_devices_with_a_label_are_found_by_an_index(crowd, label):
    (statement,) = statements(api(crowd.staff), f"label={label}")
    assert "device_by_label" in {node.get("Index Name") for node in plan_of(statement)}
