"""Tenants and the people who work in them."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower

SLUG_PATTERN = r"[A-Za-z0-9_.:-]{1,128}"
"""What a tenant's slug and a device's uid look like: one level of an MQTT topic, case kept."""

validate_slug = RegexValidator(
    rf"\A{SLUG_PATTERN}\Z", "Use 1 to 128 letters, digits or the signs _ . : - and nothing else."
)


class TenantQuerySet(models.QuerySet["Tenant"]):
    def visible_to(self, user: "User") -> "TenantQuerySet":
        """Platform staff see every tenant, others their own."""
        return self if user.is_superuser else self.filter(pk=user.tenant_id)


class Tenant(models.Model):
    """A customer of the platform; the first level of every topic of its devices."""

    slug = models.CharField(
        max_length=128,
        unique=True,
        validators=[validate_slug],
        help_text="The first level of the topics of its devices. Never changes.",
    )
    name = models.CharField(max_length=255)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(slug__regex=rf"^{SLUG_PATTERN}$"),
                name="tenant_slug_is_topic_level",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.slug


class Role(models.TextChoices):
    """What a person may do inside a tenant; `accounts/roles.py` has the table."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class UserQuerySet(models.QuerySet["User"]):
    def visible_to(self, user: "User") -> "UserQuerySet":
        """Platform staff see everybody, others the people of their tenant.

        Staff who belong to a tenant are hidden from it: whoever can change a person's password can
        become that person.
        """
        return self if user.is_superuser else self.filter(tenant=user.tenant_id, is_superuser=False)


class UserManager(BaseUserManager["User"].from_queryset(UserQuerySet)):  # type: ignore[misc]
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A person with `password`; without one they cannot log in until it is set."""
        user: User = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Platform staff: every tenant, every right."""
        return self.create_user(email, password, is_superuser=True, role=Role.ADMIN, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """The person with this e-mail address, however its letters are cased."""
        # Lower, as in the unique constraint: upper case makes one of letters that differ there.
        found: User = self.alias(lower=Lower("email")).get(lower=Lower(models.Value(username)))
        return found


class User(AbstractBaseUser, PermissionsMixin):
    """A person. Logs in with an e-mail address and works in one tenant, or is platform staff."""

    email = models.EmailField("e-mail address")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="users"
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="Switch off instead of deleting: the history stays."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    objects = UserManager()

    class Meta:
        ordering = ["email"]
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_unique",
                violation_error_message="There is a user with this e-mail address already.",
            ),
            models.CheckConstraint(
                condition=models.Q(tenant__isnull=False) | models.Q(is_superuser=True),
                name="user_has_tenant_or_is_superuser",
                violation_error_message="Choose a tenant: only platform staff can do without.",
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="user_role_is_known"
            ),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def is_staff(self) -> bool:
        """Everybody who may log in may open the console; roles decide what they find there."""
        return self.is_active


class LoginAttemptQuerySet(models.QuerySet["LoginAttempt"]):
    def wait(self, failures: int, window: timedelta, now: datetime) -> timedelta:
        """How long until fewer than `failures` of these failed within `window`."""
        failed = self.filter(succeeded=False, at__gt=now - window).order_by("-at")
        # The one that has to leave the window for there to be room in it.
        oldest = failed.values_list("at", flat=True)[failures - 1 : failures]
        return next((at + window - now for at in oldest), timedelta())

    def outdated(self, now: datetime) -> "LoginAttemptQuerySet":
        """Those that play no part any more."""
        old = models.Q(at__lt=now - LoginAttempt.KNOWN_FOR)
        return self.filter(old | models.Q(at__lt=now - timedelta(days=1), succeeded=False))


class LoginAttempt(models.Model):
    """A password that was tried, as `accounts/logins.py` counts them."""

    KNOWN_FOR = timedelta(days=30)
    """How long an address is known to an account that logged in from there."""

    account = models.CharField(
        max_length=64,
        help_text="Hash of what was given as e-mail address: some people type a password there.",
    )
    address = models.GenericIPAddressField(help_text="Of IPv6 the first half, one network.")
    at = models.DateTimeField()
    succeeded = models.BooleanField(default=False, help_text="Nor yet, while it is checked.")

    objects = LoginAttemptQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["account", "address", "at"], name="loginattempt_pair"),
            models.Index(fields=["account", "at"], name="loginattempt_account"),
            models.Index(fields=["address", "at"], name="loginattempt_address"),
        ]

    def __str__(self) -> str:
        return f"{self.address} {self.at}"

    def mark_succeeded(self) -> None:
        self.succeeded = True
        self.save(update_fields=["succeeded"])
