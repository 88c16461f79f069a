"""Tenants and users: who sees whom, and what the database refuses."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import Tenant, User
from tests import cast as people


def test_a_user_sees_their_tenant_and_staff_see_all(cast):
    assert list(Tenant.objects.visible_to(cast.viewer)) == [cast.t0]
    assert set(Tenant.objects.visible_to(cast.staff)) == {cast.t0, cast.other}


def test_a_user_sees_the_people_of_their_tenant(cast):
    assert set(User.objects.visible_to(cast.admin)) == {cast.viewer, cast.operator, cast.admin}
    assert cast.stranger in User.objects.visible_to(cast.staff)


def test_staff_inside_a_tenant_are_hidden_from_it(cast):
    User.objects.filter(pk=cast.staff.pk).update(tenant=cast.t0)
    assert cast.staff not in User.objects.visible_to(cast.admin)


def test_an_address_is_found_however_it_is_cased(cast):
    assert User.objects.get_by_natural_key("VIEWER@T0.EXAMPLE") == cast.viewer


def test_an_address_that_is_equal_in_capitals_only_is_another(cast):
    # In capitals the dotless i is an I: a look-up by upper case would find two people here.
    other = people.user("\N{LATIN SMALL LETTER DOTLESS I}van@t0.example", cast.t0)
    people.user("ivan@t0.example", cast.t0)
    assert User.objects.get_by_natural_key(other.email) == other


def test_two_users_cannot_share_an_address(cast):
    with pytest.raises(IntegrityError, match="user_email_unique"), transaction.atomic():
        people.user("VIEWER@t0.example", cast.other)


def test_a_user_without_a_tenant_has_to_be_staff(db):
    with pytest.raises(IntegrityError, match="user_has_tenant_or_is_superuser"):
        User.objects.create_user("lost@example.com")


def test_a_role_nobody_knows_is_refused(cast):
    with pytest.raises(IntegrityError, match="user_role_is_known"):
        people.user("king@t0.example", cast.t0, role="king")


@pytest.mark.parametrize("slug", ["", "a/b", "+", "#", "a b", "ü", "a\n", "x" * 129])
def test_a_slug_that_is_no_level_of_a_topic_is_refused(slug):
    with pytest.raises(ValidationError):
        Tenant(slug=slug, name="n").clean_fields()


@pytest.mark.parametrize("slug", ["t0", "ACME.Hanoi-1_a:b", "x" * 128])
def test_a_slug_of_letters_digits_and_four_signs_is_fine(slug):
    Tenant(slug=slug, name="n").clean_fields()


def test_the_database_refuses_a_slug_that_no_form_saw(db):
    with pytest.raises(IntegrityError, match="tenant_slug_is_topic_level"):
        Tenant.objects.create(slug="a/b", name="n")


def test_everybody_who_may_log_in_may_open_the_console(cast):
    assert cast.viewer.is_staff
    assert not User(is_active=False).is_staff
