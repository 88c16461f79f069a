"""What a device proves with that it is the one it says it is, and how it comes by that."""

from datetime import datetime

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from devices.models.devices import Device, DeviceType

DIGEST_BYTES = 32


class Origin(models.TextChoices):
    """How a credential came into being."""

    ISSUED = "issued", _("Issued")
    IMPORTED = "imported", _("Imported")
    ENROLLED = "enrolled", _("Enrolled")


class CredentialQuerySet(models.QuerySet["Credential"]):
    def visible_to(self, user: User) -> "CredentialQuerySet":
        """Those of the devices that the user may see."""
        return self.filter(device__in=Device.objects.visible_to(user))

    def in_force(self) -> "CredentialQuerySet":
        """Those that a device may connect with; by the database's clock."""
        still = models.Q(expires_at__isnull=True) | models.Q(expires_at__gt=Now())
        return self.filter(still, revoked_at__isnull=True)


class Credential(models.Model):
    """A secret of a device: a random token of 256 bits, of which only the SHA-256 is kept.

    The user name that belongs to it, and the client id, are the device's uid. `gateway_for` are
    further devices of its tenant that this one speaks for over the same connection. Several may be
    in force, so that a device has time to change to the next one.
    """

    device = models.ForeignKey(
        Device, verbose_name=_("device"), on_delete=models.CASCADE, related_name="credentials"
    )
    digest = models.BinaryField(_("digest"), max_length=DIGEST_BYTES, unique=True)
    origin = models.CharField(
        _("origin"), max_length=16, choices=Origin.choices, default=Origin.ISSUED
    )
    gateway_for = models.ManyToManyField(
        Device, verbose_name=_("gateway for"), related_name="gateways", blank=True
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    created_by = models.ForeignKey(
        User, verbose_name=_("created by"), on_delete=models.SET_NULL, null=True, related_name="+"
    )
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False)

    objects = CredentialQuerySet.as_manager()

    class Meta:
        verbose_name = _("credential")
        verbose_name_plural = _("credentials")
        ordering = ["-id"]
        indexes = [
            # Those whose time is over, for a broker that has to be told (devices/brokers).
            models.Index(
                fields=["expires_at"],
                name="credential_expiring",
                condition=models.Q(expires_at__isnull=False, revoked_at__isnull=True),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(origin__in=Origin.values), name="credential_origin_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.device} {self.created_at:%Y-%m-%d}"

    def is_in_force(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class EnrolmentKeyQuerySet(models.QuerySet["EnrolmentKey"]):
    def visible_to(self, user: User) -> "EnrolmentKeyQuerySet":
        """Platform staff see every key, others those of their tenant."""
        return self if user.sees_all_tenants else self.filter(tenant=user.works_in_id)


class EnrolmentKey(models.Model):
    """What new devices of a tenant get their first credential for, until it expires.

    It is in the firmware of up to `quota` devices, of which `uses` have come. As of a credential,
    only the SHA-256 is kept. `window_began_at` and `window_uses` count how often it was used in the
    minute at hand.
    """

    tenant = models.ForeignKey(
        Tenant, verbose_name=_("tenant"), on_delete=models.PROTECT, related_name="enrolment_keys"
    )
    type = models.ForeignKey(
        DeviceType,
        verbose_name=_("type"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="enrolment_keys",
        help_text=_("What new devices are. Without one they have no type."),
    )
    name = models.CharField(_("name"), max_length=128, help_text=_("For people: “Factory, lot 7”."))
    digest = models.BinaryField(_("digest"), max_length=DIGEST_BYTES, unique=True)
    quota = models.PositiveIntegerField(
        _("quota"),
        validators=[MinValueValidator(1)],
        help_text=_("How many devices may enrol with it."),
    )
    uses = models.PositiveIntegerField(_("uses"), default=0, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    created_by = models.ForeignKey(
        User, verbose_name=_("created by"), on_delete=models.SET_NULL, null=True, related_name="+"
    )
    expires_at = models.DateTimeField(_("expires at"))
    revoked_at = models.DateTimeField(_("revoked at"), null=True, editable=False)
    window_began_at = models.DateTimeField(_("window began at"), null=True, editable=False)
    window_uses = models.PositiveIntegerField(_("window uses"), default=0, editable=False)

    objects = EnrolmentKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("enrolment key")
        verbose_name_plural = _("enrolment keys")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(uses__lte=models.F("quota")), name="enrolment_key_within_quota"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Enrolment(models.Model):
    """That a device enrolled with a key: with the same one it may again, and stays who it is."""

    device = models.OneToOneField(
        Device,
        verbose_name=_("device"),
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="enrolment",
    )
    key = models.ForeignKey(
        EnrolmentKey, verbose_name=_("key"), on_delete=models.CASCADE, related_name="enrolments"
    )
    first_at = models.DateTimeField(_("first at"), db_default=Now())
    last_at = models.DateTimeField(_("last at"), db_default=Now())
    count = models.PositiveIntegerField(_("count"), default=1)

    class Meta:
        verbose_name = _("enrolment")
        verbose_name_plural = _("enrolments")

    def __str__(self) -> str:
        return f"{self.device_id} by {self.key_id}"
