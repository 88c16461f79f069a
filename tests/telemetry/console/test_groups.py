"""The console's page of rejected messages by reason and device."""

import pytest
from django.db import connection

from telemetry import groups
from telemetry.console import grouped
from telemetry.models import RejectedMessage
from telemetry.reasons import Reason
from tests import cast as people
from tests.queries import plan_of, queries_of

REJECTED = "/admin/telemetry/rejectedmessage/"
GROUPS = f"{REJECTED}groups/"
TABLE = "telemetry_rejectedmessage"


@pytest.fixture
def client(cast):
    return people.console(cast.operator)


def shown(client, address=REJECTED, **parameters) -> dict[str, list[tuple[str, int]]]:
    """Reason → devices and how many messages of each."""
    sections = client.get(address, parameters).context["sections"]
    return {
        section["reason"]: [
            (row["group"].device_uid, row["group"].number) for row in section["rows"]
        ]
        for section in sections
    }


def many(tenant, count: int, **fields) -> None:
    """`count` messages of devices d-000, d-001 and so on, or of the device that `fields` name."""
    RejectedMessage.objects.bulk_create(
        RejectedMessage(
            id=people.uuid.uuid4(),
            tenant=tenant,
            topic=b"t",
            payload=b"{}",
            size=2,
            received_at=people.NOON,
            **{"device_uid": f"d-{number:03}", "reason": Reason.NUL, **fields},
        )
        for number in range(count)
    )


def test_open_messages_of_the_tenant_are_grouped_by_reason_and_device(cast, client):
    for uid in ("b", "a", "b", ""):
        people.rejected(cast.t0, device_uid=uid, reason=Reason.NUL)
    people.rejected(cast.t0, device_uid="a", reason=Reason.TOO_OLD)
    people.rejected(cast.t0, device_uid="a", reason=Reason.NUL, resolved_at=people.NOON)
    people.rejected(cast.other, device_uid="a", reason=Reason.NUL)
    people.rejected(None, device_uid="c", reason=Reason.UNKNOWN_TENANT)
    assert shown(client) == {"nul": [("", 1), ("a", 1), ("b", 2)], "too_old": [("a", 1)]}


def test_staff_see_the_groups_of_all(cast):
    people.rejected(cast.other, device_uid="a")
    people.rejected(None, device_uid="c", reason=Reason.UNKNOWN_TENANT)
    staff = people.console(cast.staff)
    assert shown(staff) == {"device_disabled": [("a", 1)], "unknown_tenant": [("c", 1)]}


def test_a_loud_device_is_counted_up_to_a_bound_and_hides_no_other(cast, client, monkeypatch):
    monkeypatch.setattr(groups, "COUNTED", 10)
    monkeypatch.setattr(grouped, "COUNTED", 10)
    many(cast.t0, 12, device_uid="loud")
    people.rejected(cast.t0, device_uid="quiet", reason=Reason.NUL)
    assert shown(client) == {"nul": [("loud", 10), ("quiet", 1)]}
    assert "10 or more" in client.get(REJECTED).text


def test_a_reason_with_many_devices_has_pages_of_its_own(cast, client):
    many(cast.t0, 60)
    assert len(shown(client)["nul"]) == grouped.FEW
    first = shown(client, GROUPS, reason="nul")["nul"]
    rest = shown(client, GROUPS, reason="nul", after=first[-1][0])["nul"]
    assert [uid for uid, _ in [*first, *rest]] == [f"d-{number:03}" for number in range(60)]


def test_a_group_says_when_what_to_do_and_where_to_go(cast, client):
    people.rejected(cast.t0, reason=Reason.NOT_FINITE, received_at=people.NOON)
    people.rejected(cast.t0, reason=Reason.NOT_FINITE)
    page = client.get(REJECTED).text
    assert "2026-01-14 12:00:00.000 UTC" in page
    assert "JSON has no NaN or Infinity" in page
    assert f'href="{REJECTED}?reason__exact=not_finite&amp;device_uid=dev-01"' in page
    assert f'href="{REJECTED}replay/?reason__exact=not_finite&amp;device_uid=dev-01"' in page
    assert f"/admin/devices/device/{cast.device.pk}/change/" in page


def test_a_group_of_no_device_leads_to_its_messages(cast, client):
    unnamed = people.rejected(cast.t0, device_uid="")
    people.rejected(cast.t0)
    address = f"{REJECTED}?{client.get(REJECTED).context['sections'][0]['rows'][0]['chosen']}"
    assert list(client.get(address).context["cl"].result_list) == [unnamed]


def test_where_nothing_is_open_the_page_says_what_would_be_there(cast, client):
    people.rejected(cast.t0, resolved_at=people.NOON)
    page = client.get(REJECTED).text
    assert "Nothing was rejected that is still open" in page
    assert f"{REJECTED}?state=resolved" in page


@pytest.mark.parametrize("reason", ["", "nonsense", "\0", "nul"])
@pytest.mark.parametrize("after", ["", "\0", "9" * 300])
def test_no_parameter_brings_the_page_down(client, reason, after):
    assert client.get(GROUPS, {"reason": reason, "after": after}).status_code == 200


def test_a_viewer_sees_no_groups(cast):
    viewer = people.console(cast.viewer)
    assert viewer.get(REJECTED).status_code == viewer.get(GROUPS).status_code == 403


def test_more_messages_and_devices_take_no_more_statements(cast, client):
    people.rejected(cast.t0)
    few = queries_of(client, REJECTED)
    many(cast.t0, 60)
    assert len(queries_of(client, REJECTED)) == len(few) <= 12


@pytest.mark.parametrize(
    ("actor", "index"),
    [("operator", "rejected_open_by_group"), ("staff", "rejected_open_by_reason")],
)
def test_groups_are_found_by_an_index(cast, actor, index):
    many(cast.t0, 500, device_uid="loud")
    # Most are of others: by the wrong index they would all be passed.
    many(cast.other, 3_000)
    # So few would be read from end to end.
    connection.cursor().execute(f"ANALYZE {TABLE}; SET LOCAL enable_seqscan = off")
    statements = queries_of(people.console(getattr(cast, actor)), REJECTED)
    asked = [statement for statement in statements if TABLE in statement]
    assert len(asked) == 2
    nodes = [node for statement in asked for node in plan_of(statement)]
    assert index in {node["Index Name"] for node in nodes if "Index Name" in node}
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}
