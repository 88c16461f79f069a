"""GET /alerts."""

import pytest

from devices.models import Alert
from tests import cast as people
from tests.devices.alerts.fleet import ago


@pytest.fixture
def alerts(cast):
    first = people.alert(cast.device)
    Alert.objects.filter(pk=first.pk).update(cleared_at=ago(1), end="over")
    return [first, people.alert(people.device("dev-02", cast.t0)), people.alert(cast.foreign)]


def uids(who, query: str = "") -> list[str]:
    return [each["device_uid"] for each in people.api(who).get(f"/alerts{query}").json()]


def test_everybody_sees_those_of_their_tenant_the_newest_first(cast, alerts):
    assert uids(cast.viewer) == ["dev-02", "dev-01"]
    assert uids(cast.stranger) == ["foreign-01"]
    assert uids(cast.staff, "?tenant=t0") == ["dev-02", "dev-01"]


def test_they_can_be_narrowed_and_come_in_pages(cast, alerts):
    assert uids(cast.viewer, "?open=true") == ["dev-02"]
    assert uids(cast.viewer, "?open=false") == ["dev-01"]
    assert uids(cast.viewer, "?device=dev-01") == ["dev-01"]
    assert uids(cast.viewer, "?device=foreign-01") == []
    answer = people.api(cast.viewer).get("/alerts?limit=1")
    assert 'rel="next"' in answer["Link"]


def test_an_alert_says_what_is_wrong_since_when(cast, alerts, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        newest = people.api(cast.viewer).get("/alerts").json()[0]
    assert {**newest, "id": 1, "since": "", "raised_at": ""} == {
        "id": 1, "device_uid": "dev-02", "rule": "Pumps", "condition": "silent",
        "since": "", "raised_at": "", "cleared_at": None, "end": "",
    }  # fmt: skip
