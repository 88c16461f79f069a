"""The table of permissions: what each role may do, and that nothing else grants anything."""

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import AnonymousUser, Group, Permission

from accounts.models import Role, User
from accounts.roles import LEAST_ROLE, RoleBackend, allows, grantable_by
from tests import cast as people


@pytest.mark.parametrize(
    ("permission", "roles"),
    [
        ("devices.view_device", ["viewer", "operator", "admin"]),
        ("devices.change_device", ["operator", "admin"]),
        ("telemetry.change_rejectedmessage", ["operator", "admin"]),
        ("accounts.add_user", ["admin"]),
        ("accounts.delete_user", []),
        ("accounts.add_tenant", []),
        ("telemetry.change_telemetry", []),
    ],
)
def test_a_permission_belongs_to_a_role_and_those_above_it(permission, roles):
    assert [role for role in Role if allows(role, permission)] == roles


def test_every_permission_of_the_table_exists(db):
    names = {f"{p.content_type.app_label}.{p.codename}" for p in Permission.objects.all()}
    assert set(LEAST_ROLE) <= names


def test_a_superuser_may_do_what_the_table_grants_to_nobody(cast):
    assert cast.staff.has_perm("accounts.delete_user")
    assert not cast.admin.has_perm("accounts.delete_user")


def test_a_user_who_was_switched_off_may_do_nothing(cast):
    cast.admin.is_active = False
    assert not cast.admin.has_perm("devices.view_device")
    assert cast.admin.get_all_permissions() == set()


def test_nobody_in_particular_may_do_nothing():
    nobody = AnonymousUser()
    assert not RoleBackend().has_perm(nobody, "devices.view_device")
    assert RoleBackend().get_all_permissions(nobody) == set()


def test_a_group_grants_nothing(cast):
    group = Group.objects.create(name="would-be admins")
    group.permissions.set(Permission.objects.all())
    cast.viewer.groups.add(group)
    assert not User.objects.get(pk=cast.viewer.pk).has_perm("devices.change_device")


def test_a_module_is_open_to_those_who_may_do_something_in_it(cast):
    assert cast.admin.has_module_perms("accounts")
    assert not cast.operator.has_module_perms("accounts")


def test_nobody_grants_a_role_above_their_own(cast):
    assert grantable_by(cast.operator) == [Role.VIEWER, Role.OPERATOR]
    assert grantable_by(cast.admin) == grantable_by(cast.staff) == list(Role)


def test_login_needs_the_password_and_ignores_the_case_of_the_address(cast):
    people.user("Ann@T0.example", cast.t0, password=people.PASSWORD)
    assert authenticate(username="ann@t0.example", password=people.PASSWORD)
    assert not authenticate(username="ann@t0.example", password="guess")


def test_a_user_without_a_password_cannot_log_in(cast):
    assert not authenticate(username=cast.viewer.email, password="")
