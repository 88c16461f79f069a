"""The one table of permissions: what the least role is for each thing a person can do.

Names are Django's (`app.action_model`), so the admin site asks this table without knowing it. What
is not listed, nobody but platform staff (superusers) may do.
"""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model

from accounts.models import Role, User

RANK = {Role.VIEWER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}

LEAST_ROLE = {
    "devices.view_device": Role.VIEWER,
    "devices.view_devicestate": Role.VIEWER,
    "devices.view_devicetype": Role.VIEWER,
    "telemetry.view_telemetry": Role.VIEWER,
    "devices.add_device": Role.OPERATOR,
    "devices.change_device": Role.OPERATOR,
    "devices.delete_device": Role.OPERATOR,
    "devices.view_command": Role.VIEWER,
    "devices.view_commandbatch": Role.VIEWER,
    "devices.add_command": Role.OPERATOR,
    "devices.add_commandbatch": Role.OPERATOR,
    "devices.change_command": Role.OPERATOR,
    "devices.change_commandbatch": Role.OPERATOR,
    "devices.view_credential": Role.OPERATOR,
    "devices.add_credential": Role.OPERATOR,
    "devices.change_credential": Role.OPERATOR,
    "devices.view_brokerchange": Role.OPERATOR,
    "devices.view_alert": Role.VIEWER,
    "devices.view_alertrule": Role.OPERATOR,
    "telemetry.view_rejectedmessage": Role.OPERATOR,
    "telemetry.change_rejectedmessage": Role.OPERATOR,
    "accounts.view_user": Role.ADMIN,
    "accounts.add_user": Role.ADMIN,
    "accounts.change_user": Role.ADMIN,
    "accounts.view_tenant": Role.ADMIN,
    "accounts.change_tenant": Role.ADMIN,
    "accounts.view_change": Role.ADMIN,
    # Whoever has a key can make devices.
    "devices.view_enrolmentkey": Role.ADMIN,
    "devices.add_enrolmentkey": Role.ADMIN,
    "devices.change_enrolmentkey": Role.ADMIN,
    # Who makes rules decides to whom the platform sends what.
    "devices.add_alertrule": Role.ADMIN,
    "devices.change_alertrule": Role.ADMIN,
    "devices.delete_alertrule": Role.ADMIN,
    # A type decides how long readings are kept.
    "devices.add_devicetype": Role.ADMIN,
    "devices.change_devicetype": Role.ADMIN,
    "devices.delete_devicetype": Role.ADMIN,
}


def allows(role: str, permission: str) -> bool:
    """Whether `role` is enough for `permission`."""
    least = LEAST_ROLE.get(permission)
    return least is not None and RANK[Role(role)] >= RANK[least]


def grantable_by(user: User) -> list[Role]:
    """The roles that `user` may give to others: none above their own."""
    highest = RANK[Role.ADMIN if user.is_superuser else Role(user.role)]
    return [role for role in Role if RANK[role] <= highest]


class RoleBackend(ModelBackend):
    """Logs in by e-mail and password; grants permissions by role instead of by group."""

    def get_all_permissions(
        self,
        user_obj: User | AnonymousUser,
        obj: Model | None = None,
    ) -> set[str]:
        if isinstance(user_obj, AnonymousUser) or not user_obj.is_active:
            return set()
        return {name for name in LEAST_ROLE if allows(user_obj.role, name)}

    def has_perm(self, user_obj: Any, perm: str, obj: Model | None = None) -> bool:
        return user_obj.is_active and not user_obj.is_anonymous and allows(user_obj.role, perm)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return any(name.startswith(f"{app_label}.") for name in self.get_all_permissions(user_obj))
