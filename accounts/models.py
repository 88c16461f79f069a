"""Tenants and the people who work in them."""

import unicodedata
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

SLUG_PATTERN = r"[A-Za-z0-9_.:-]{1,128}"
"""What a tenant's slug and a device's uid look like: one level of an MQTT topic, case kept."""

validate_slug = RegexValidator(
    rf"\A{SLUG_PATTERN}\Z",
    _("Use 1 to 128 letters, digits or the signs _ . : - and nothing else."),
)


def validate_retention(days: int) -> None:
    """Refuse to promise more days than HISTORY_DAYS, after which the platform drops whole weeks."""
    if days > settings.HISTORY_DAYS:
        said = _("The platform keeps readings for {days} days (HISTORY_DAYS), and none for longer.")
        raise ValidationError(said.format(days=settings.HISTORY_DAYS), "retention")


class TenantQuerySet(models.QuerySet["Tenant"]):
    def visible_to(self, user: "User") -> "TenantQuerySet":
        """Platform staff see every tenant, others their own."""
        return self if user.sees_all_tenants else self.filter(pk=user.works_in_id)


class Tenant(models.Model):
    """A customer of the platform; the first level of every topic of its devices."""

    slug = models.CharField(
        _("slug"),
        max_length=128,
        unique=True,
        validators=[validate_slug],
        help_text=_("The first level of the topics of its devices. Never changes."),
    )
    name = models.CharField(_("name"), max_length=255)
    retention_days = models.PositiveIntegerField(
        _("retention days"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), validate_retention],
        help_text=_(
            "Days that readings are kept, if fewer than the platform keeps them. The type of a "
            "device may say fewer, not more."
        ),
    )

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(slug__regex=rf"^{SLUG_PATTERN}$"),
                name="tenant_slug_is_topic_level",
            ),
            models.CheckConstraint(
                condition=models.Q(retention_days__gt=0), name="tenant_retention_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.slug

    def contents(self) -> list[str]:
        """What it has, in plural nouns: “devices”, “users”.

        Optimization: `delete` would read all of it to find that out.
        """
        fields: Any = self._meta.get_fields(include_hidden=True)
        holders = [
            (field.related_model, field.field.name)
            for field in fields
            if field.one_to_many and field.on_delete is not models.SET_NULL
        ]
        return sorted(
            str(model._meta.verbose_name_plural)
            for model, tenant in holders
            if model._base_manager.filter(**{tenant: self}).exists()
        )


class Role(models.TextChoices):
    """What a person may do inside a tenant; `accounts/roles.py` has the table."""

    VIEWER = "viewer", _("Viewer")
    OPERATOR = "operator", _("Operator")
    ADMIN = "admin", _("Admin")


class UserQuerySet(models.QuerySet["User"]):
    def visible_to(self, user: "User") -> "UserQuerySet":
        """Platform staff see everybody, others the people of their tenant.

        Staff who belong to a tenant are hidden from it: whoever can change a person's password can
        become that person.
        """
        if user.sees_all_tenants:
            return self
        return self.filter(tenant=user.works_in_id, is_superuser=False)


class UserManager(BaseUserManager["User"].from_queryset(UserQuerySet)):  # type: ignore[misc]
    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """One spelling for what looks the same, and the domain in small letters."""
        return super().normalize_email(unicodedata.normalize("NFKC", email or ""))

    def valid_email(self, text: str) -> str:
        """`text` as it is kept; Django's ValidationError if it is, or by that becomes, none."""
        email = self.normalize_email(text)
        self.model._meta.get_field("email").run_validators(email)
        return email

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

    email = models.EmailField(_("e-mail address"))
    role = models.CharField(_("role"), max_length=16, choices=Role.choices, default=Role.VIEWER)
    tenant = models.ForeignKey(
        Tenant,
        verbose_name=_("tenant"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="users",
    )
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("Switch off instead of deleting: the history stays.")
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    language = models.CharField(
        _("language"),
        max_length=8,
        blank=True,
        default="",
        # The release before, which does not know it, adds people while servers are replaced.
        db_default="",
        choices=settings.LANGUAGES,
        help_text=_("Of the console. Empty for the one that the browser asks for."),
    )

    switched_to: Tenant | None = None
    """The tenant that platform staff have narrowed their view to (accounts/console.py). Not kept
    here: rights and log entries stay those of the person."""

    USERNAME_FIELD = "email"
    objects = UserManager()

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        ordering = ["email"]
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_unique",
                violation_error_message=_("There is a user with this e-mail address already."),
            ),
            models.CheckConstraint(
                condition=models.Q(tenant__isnull=False) | models.Q(is_superuser=True),
                name="user_has_tenant_or_is_superuser",
                violation_error_message=_("Choose a tenant: only platform staff can do without."),
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

    @property
    def sees_all_tenants(self) -> bool:
        """Platform staff do, until they narrow their view to one."""
        return self.is_superuser and self.switched_to is None

    @property
    def works_in(self) -> Tenant | None:
        """The one tenant of what they see and make; None for staff who see all of them."""
        return self.switched_to if self.is_superuser else self.tenant

    @property
    def works_in_id(self) -> int | None:
        """The same, without reading it. None is no leave to see all: ask `sees_all_tenants`."""
        if self.is_superuser:
            return self.switched_to.pk if self.switched_to else None
        return self.tenant_id


class ChangeQuerySet(models.QuerySet["Change"]):
    def visible_to(self, user: User) -> "ChangeQuerySet":
        """Platform staff see all; others what concerns their tenant, whoever did it."""
        return self if user.sees_all_tenants else self.filter(concern__tenant=user.works_in_id)


class Change(LogEntry):
    """Something that a person added, changed or deleted, as the console and the API note it."""

    objects = ChangeQuerySet.as_manager()  # type: ignore[assignment, misc]

    class Meta:
        proxy = True
        verbose_name = _("change")
        verbose_name_plural = _("history")


class Concern(models.Model):
    """The tenant that a change concerns. The database notes it, whoever notes the change."""

    entry = models.OneToOneField(LogEntry, models.CASCADE, primary_key=True)
    tenant = models.ForeignKey(Tenant, models.SET_NULL, null=True, related_name="+", db_index=False)

    class Meta:
        indexes = [models.Index(fields=["tenant", "-entry"], name="concern_newest")]

    def __str__(self) -> str:
        return f"{self.entry_id} {self.tenant_id}"


class LoginAttemptQuerySet(models.QuerySet["LoginAttempt"]):
    def wait(self, failures: int, window: timedelta, now: datetime) -> timedelta:
        """How long until fewer than `failures` of these failed, or may yet fail, within `window`.

        Those that are checked right now are waited for only a moment.
        """
        failed = models.Q(succeeded=False, at__gt=now - window)
        checked = models.Q(succeeded=None, at__gt=now - LoginAttempt.CHECKED_FOR)
        failed_first = models.F("succeeded").asc(nulls_last=True)
        counted = self.filter(failed | checked).order_by(failed_first, "-at")
        # The one that has to leave for there to be room.
        last = counted[failures - 1 : failures].first()
        if last is None:
            return timedelta()
        return LoginAttempt.MOMENT if last.succeeded is None else last.at + window - now

    def with_passwords(self) -> "LoginAttemptQuerySet":
        """Those of people; keys of devices that fail shut nobody out."""
        return self.exclude(account__startswith=LoginAttempt.KEYS)

    def with_keys(self) -> "LoginAttemptQuerySet":
        return self.filter(account__startswith=LoginAttempt.KEYS)

    def known(self, now: datetime) -> "LoginAttemptQuerySet":
        """Those by which an address is known to an account."""
        return self.filter(succeeded=True, at__gt=now - LoginAttempt.KNOWN_FOR)

    def outdated(self, now: datetime) -> "LoginAttemptQuerySet":
        """Those that play no part any more."""
        old = models.Q(at__lt=now - timedelta(days=1)) & ~models.Q(succeeded=True)
        return self.filter(old | models.Q(at__lt=now - LoginAttempt.KNOWN_FOR))


class LoginAttempt(models.Model):
    """A password that was tried, as `accounts/logins.py` counts them, or an enrolment key that was
    none (`devices/enrolment/failures.py`)."""

    KNOWN_FOR = timedelta(days=30)
    """How long an address is known to an account that logged in from there."""
    CHECKED_FOR = timedelta(minutes=1)
    """After that, whoever was checking the password is gone."""
    MOMENT = timedelta(seconds=1)
    """How soon to try again where others are checked."""
    KEYS = "key:"
    """How the account of an attempt with an enrolment key begins."""

    account = models.CharField(
        max_length=64,
        help_text="Hash of what was given as e-mail address: some people type a password there.",
    )
    address = models.GenericIPAddressField(help_text="Of IPv6 the first half, one network.")
    at = models.DateTimeField()
    succeeded = models.BooleanField(null=True, help_text="Unknown while it is checked.")

    objects = LoginAttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("login attempt")
        verbose_name_plural = _("login attempts")
        indexes = [
            models.Index(fields=["account", "address", "at"], name="loginattempt_pair"),
            models.Index(fields=["account", "at"], name="loginattempt_account"),
            models.Index(fields=["address", "at"], name="loginattempt_address"),
        ]

    def __str__(self) -> str:
        return f"{self.address} {self.at}"

    def settle(self, succeeded: bool) -> None:
        """Note how it ended. Of those that succeeded the newest is enough."""
        self.succeeded = succeeded
        self.save(update_fields=["succeeded"])
        if succeeded:
            same = LoginAttempt.objects.filter(account=self.account, address=self.address)
            same.filter(succeeded=True, pk__lt=self.pk).delete()
