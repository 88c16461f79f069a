"""Filters: what they understand, and that they say so when they do not."""

import pytest
from django_filters import rest_framework as filters

from accounts.filters import StrictBooleanFilter
from accounts.models import User


class Filters(filters.FilterSet):
    is_active = StrictBooleanFilter()

    class Meta:
        model = User
        fields = ["is_active"]


@pytest.mark.parametrize("text", ["true", "True", "1"])
def test_a_yes_leaves_what_is_so(cast, text):
    cast.viewer.is_active = False
    cast.viewer.save()
    assert cast.viewer not in Filters({"is_active": text}).qs
    assert cast.admin in Filters({"is_active": text}).qs


@pytest.mark.parametrize("text", ["false", "FALSE", "0"])
def test_a_no_leaves_what_is_not(cast, text):
    assert not Filters({"is_active": text}).qs.exists()


def test_nothing_leaves_all(cast):
    assert Filters({"is_active": ""}).qs.count() == 5


@pytest.mark.parametrize("text", ["yes", "2", "tru", "null", " "])
def test_anything_else_is_an_error(db, text):
    assert Filters({"is_active": text}).errors == {"is_active": ["Use true or false."]}
