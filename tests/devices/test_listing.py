"""The list that is asked for most often is the one that a queryset would give."""

import re

import pytest

from devices import listing
from devices.models import Device
from tests import cast as people
from tests.cast import ACTORS, api


@pytest.fixture
def fleets(cast):
    for tenant in (cast.t0, cast.other):
        Device.objects.bulk_create(
            Device(device_uid=f"{tenant.slug}-{n}", tenant=tenant) for n in range(4)
        )
    people.device("heard", cast.t0, latest={"temp": [21.5, 1764000000123]}, session="online")
    Device.objects.filter(device_uid="t0-1").retire()
    return cast


@pytest.mark.parametrize("name", ACTORS)
@pytest.mark.parametrize("limit", ["", "limit=1", "limit=3", "limit=5", "limit=6"])
def test_everybody_sees_what_the_queryset_says(fleets, name, limit):
    app = api(getattr(fleets, name))
    # An order that is named, even the usual one, goes the usual way.
    usual = app.get(f"/devices?ordering=device_uid&{limit}")
    answer = app.get(f"/devices?{limit}")
    assert answer.json() == usual.json()
    assert ("Link" in answer.headers) == ("Link" in usual.headers)


def test_the_next_page_begins_where_the_first_one_ends(fleets):
    app = api(fleets.viewer)
    first = app.get("/devices?limit=2")
    second = app.get(re.search("<(.*)>", first["Link"])[1])
    uids = [device["device_uid"] for device in first.json() + second.json()]
    assert uids == ["dev-01", "heard", "t0-0", "t0-2"]


def test_a_tenant_without_devices_has_an_empty_list(fleets):
    Device.objects.filter(tenant=fleets.t0).retire()
    assert api(fleets.viewer).get("/devices").json() == []


def test_one_person_after_the_other_gets_their_own(fleets):
    people = (fleets.viewer, fleets.stranger, fleets.viewer)
    seen = [{row.device_uid for row in listing.first_of(user, 50)} for user in people]
    assert seen[0] == seen[2] == {"dev-01", "heard", "t0-0", "t0-2", "t0-3"}
    assert seen[1] == {"foreign-01", "other-0", "other-1", "other-2", "other-3"}


def test_the_list_is_one_statement_besides_the_login(fleets, django_assert_num_queries):
    with django_assert_num_queries(2):
        api(fleets.viewer).get("/devices")
