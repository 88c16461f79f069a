"""Long lists come in pages: nothing twice, nothing left out, whatever happens in between."""

import re

import pytest

from devices.models import Device
from tests import cast as people
from tests.cast import api


def links(response):
    """What `Link` says: relation → address."""
    found = re.findall(r'<([^>]*)>; rel="(\w+)"', response.headers.get("Link", ""))
    return {relation: url for url, relation in found}


def walk(client, url, relation="next"):
    """The pages from `url` on, each as a list of uids."""
    while url:
        response = client.get(url)
        assert response.status_code == 200, response.content
        yield [each["device_uid"] for each in response.json()]
        url = links(response).get(relation)


@pytest.fixture
def fleet(cast):
    Device.objects.bulk_create(
        Device(device_uid=f"d{n}", tenant=cast.t0, name="one" if n % 3 else "two") for n in range(8)
    )
    return api(cast.viewer)


@pytest.mark.parametrize("ordering", ["device_uid", "-device_uid", "name", "-name", "created_at"])
@pytest.mark.parametrize("limit", [1, 2, 3, 9, 100])
def test_pages_one_after_the_other_are_the_whole_list(fleet, ordering, limit):
    whole = [uid for page in walk(fleet, f"/devices?ordering={ordering}") for uid in page]
    pages = list(walk(fleet, f"/devices?ordering={ordering}&limit={limit}"))
    assert [uid for page in pages for uid in page] == whole
    assert len(whole) == len(set(whole)) == 9
    assert {len(page) for page in pages[:-1]} <= {limit}


def test_the_way_back_is_the_way_there(fleet):
    there, back = "/devices?limit=2&ordering=-name", None
    visited = [fleet.get(there)]
    while url := links(visited[-1]).get("next"):
        visited.append(fleet.get(url))
        back = links(visited[-1])["prev"]
    pages = list(walk(fleet, back, "prev"))
    assert pages == [[each["device_uid"] for each in page.json()] for page in visited[-2::-1]]


def test_the_first_page_has_none_before_it_and_the_last_none_after(fleet):
    first = fleet.get("/devices?limit=5")
    assert set(links(first)) == {"next"}
    last = fleet.get(links(first)["next"])
    assert set(links(last)) == {"first", "prev"}
    assert fleet.get(links(last)["first"]).json() == first.json()


def test_a_list_of_one_page_has_no_links(fleet):
    assert "Link" not in fleet.get("/devices").headers


def test_a_page_keeps_what_was_asked_for(fleet):
    response = fleet.get("/devices?limit=1&search=d&ordering=-device_uid")
    assert "search=d" in links(response)["next"]
    assert "limit=1" in links(response)["next"]


def test_what_comes_or_goes_meanwhile_moves_nothing(fleet, cast):
    first = fleet.get("/devices?limit=4")
    people.device("a-new-one", cast.t0)
    Device.objects.filter(device_uid="d1").retire()
    rest = [uid for page in walk(fleet, links(first)["next"]) for uid in page]
    assert rest == ["d4", "d5", "d6", "d7", "dev-01"]


NOT_LIMITS = ["0", "-1", "10001", "x", "1.5", "٣", "1e3", "9" * 400, "0" * 8 + "19999"]


@pytest.mark.parametrize("limit", NOT_LIMITS)
def test_a_limit_that_is_none_is_refused(fleet, limit):
    response = fleet.get("/devices", {"limit": limit})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "limit"


def test_a_cursor_of_another_making_is_refused(fleet):
    response = fleet.get("/devices", {"cursor": "WyJ4Il0:abc"})
    assert response.status_code == 400
    assert "Link header" in response.json()["detail"]


def test_a_cursor_belongs_to_the_order_it_was_made_for(fleet):
    url = links(fleet.get("/devices?limit=1&ordering=name"))["next"]
    response = fleet.get(url.replace("ordering=name", "ordering=-name"))
    assert response.status_code == 400
    assert "another order" in response.json()["detail"]
