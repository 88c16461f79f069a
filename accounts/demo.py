"""Logging in as the service before this one did it, for trials: AUTH_DEMO, only with DEBUG."""

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from accounts.models import Role, Tenant, User

TENANT = "t0"


def is_on() -> bool:
    return settings.DEBUG and settings.AUTH_DEMO


def may_stay(user: User) -> bool:
    """Whether tokens of `user` hold: those that were given for any password, while it is on."""
    return user.has_usable_password() or is_on()


class DemoBackend(BaseBackend):
    """Any password does for an e-mail address that nobody has, and for who was made by that.

    Grants no permission: that is for the table of roles. Sessions end when it is switched off.
    """

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:
        if not is_on() or not credentials.get("username"):
            return None
        user = find_or_make(credentials["username"])
        # Who was made with a password needs it, and `RoleBackend` has found it wrong.
        return user if user and may_enter(user) else None

    def get_user(self, user_id: int) -> User | None:
        user = User.objects.filter(pk=user_id).first() if is_on() else None
        return user if user and may_enter(user) else None


def may_enter(user: User) -> bool:
    if not user.is_active or user.has_usable_password():
        return False
    # Others had their password taken away, and have more rights than everybody gets here.
    is_operator = user.role == Role.OPERATOR and not user.is_superuser
    return is_operator and user.tenant is not None and user.tenant.slug == TENANT


def find_or_make(email: str) -> User | None:
    """Who has this address; if nobody has, a new operator of the demo's tenant."""
    try:
        return User.objects.get_by_natural_key(email)
    except User.DoesNotExist:
        pass
    try:
        email = User.objects.valid_email(email)
        tenant, _ = Tenant.objects.get_or_create(slug=TENANT, defaults={"name": TENANT})
        with transaction.atomic():
            return User.objects.create_user(email, tenant=tenant, role=Role.OPERATOR)
    except ValidationError:
        return None
    except IntegrityError:
        # Made at the same moment by another request.
        return User.objects.get_by_natural_key(email)
