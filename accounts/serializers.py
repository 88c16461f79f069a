"""Accounts over the API: what comes in, what goes out, and an example of each."""

from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied

from accounts.fields import SentOnly, TenantField
from accounts.models import Role, Tenant, User, validate_slug
from accounts.rest import StrictFields, person
from accounts.roles import LEAST_ROLE, grantable_by

LONGEST_PASSWORD = 1024
OWN = {
    "email": "Nobody changes their own e-mail address here. Use the console, or ask an admin.",
    "role": "Nobody changes their own role. Ask another admin.",
    "is_active": "Nobody switches themself off. Ask another admin.",
    "password": "Change your own at /auth/password, which asks for the one you have.",
}
"""What people cannot change about themselves, and what to do instead."""

ACME = {"slug": "acme", "name": "Acme Ltd", "retention_days": None}
NOT_THEIRS = "Only platform staff change for how long a tenant keeps readings. Ask them."


def example(name: str, value: Any, **options: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, **options)


class PasswordField(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        style = {"input_type": "password", **options.pop("style", {})}
        super().__init__(write_only=True, trim_whitespace=False, style=style, **options)


def check_password(password: str, user: User, field: str) -> None:
    """ValidationError for `field` if the password is too easy to guess."""
    try:
        validate_password(password, user)
    except DjangoValidationError as error:
        raise serializers.ValidationError({field: error.messages}) from error


@extend_schema_serializer(
    examples=[example("An operator", {"email": "operator@example.com", "password": "demo"})]
)
class LoginSerializer(StrictFields):
    """Who logs in."""

    email = serializers.EmailField(max_length=254)
    password = PasswordField()


@extend_schema_serializer(examples=[example("A refresh token", {"refresh_token": "eyJhbGciOi…"})])
class RefreshSerializer(StrictFields):
    """A refresh token, to be exchanged or ended."""

    refresh_token = serializers.CharField()


@extend_schema_serializer(
    examples=[
        example(
            "A new password",
            {"current_password": "demo", "new_password": "correct horse battery"},
        )
    ]
)
class NewPasswordSerializer(StrictFields):
    """A password in place of the one that the person has."""

    current_password = PasswordField()
    new_password = PasswordField(max_length=LONGEST_PASSWORD)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        user = person(self.context["request"])
        check_password(attrs["new_password"], user, "new_password")
        return attrs


@extend_schema_serializer(
    examples=[
        example(
            "Tokens",
            {
                "access_token": "eyJhbGciOi…",
                "token_type": "bearer",
                "refresh_token": "eyJhbGciOi…",
                "expires_in": 3600,
            },
        )
    ]
)
class TokensSerializer(serializers.Serializer):
    """Tokens that were just made."""

    access_token = serializers.CharField(
        help_text="For the header `Authorization: Bearer …` of every other request."
    )
    token_type = serializers.ChoiceField(["bearer"])
    refresh_token = serializers.CharField(help_text="For new tokens, once, within 30 days.")
    expires_in = serializers.IntegerField(help_text="Seconds that the access token is good for.")


@extend_schema_serializer(
    examples=[
        example(
            "A viewer",
            {
                "id": 3,
                "email": "viewer@example.com",
                "role": "viewer",
                "tenant": "t0",
                "is_superuser": False,
                "permissions": ["devices.view_device", "telemetry.view_telemetry"],
            },
        )
    ]
)
class MeSerializer(serializers.ModelSerializer):
    """Who one is, and what one may do."""

    tenant: Any = serializers.SlugRelatedField(
        slug_field="slug", read_only=True, allow_null=True, help_text="Slug; platform staff: null."
    )
    permissions = serializers.SerializerMethodField(
        help_text="Of the table of roles; `is_superuser` may do all there is."
    )

    class Meta:
        model = User
        fields = ["id", "email", "role", "tenant", "is_superuser", "permissions"]
        read_only_fields = fields

    def get_permissions(self, user: User) -> list[str]:
        return sorted(name for name in LEAST_ROLE if user.has_perm(name))


@extend_schema_serializer(
    examples=[
        example(
            "A user",
            {
                "id": 3,
                "email": "viewer@example.com",
                "role": "viewer",
                "tenant": "t0",
                "is_active": True,
                "is_superuser": False,
                "last_login": "2026-01-14T12:00:00Z",
                "created_at": "2026-01-05T08:30:00Z",
            },
            response_only=True,
        ),
        example(
            "A new user",
            {
                "email": "viewer@example.com",
                "role": "viewer",
                "password": "correct horse battery",
            },
            request_only=True,
        ),
    ]
)
class UserSerializer(StrictFields, SentOnly):
    """A person who works in a tenant, or platform staff."""

    tenant = TenantField(
        required=False,
        allow_null=True,
        help_text="Slug. Your own unless you are platform staff.",
    )
    password = PasswordField(
        max_length=LONGEST_PASSWORD,
        help_text="A new one ends the person's tokens and sessions.",
    )

    class Meta:
        model = User
        fields = [
            "id", "email", "role", "tenant", "is_active", "is_superuser",
            "last_login", "created_at", "password",
        ]  # fmt: skip
        read_only_fields = ["is_superuser", "last_login", "created_at"]
        # The form on the API's page begins with these.
        extra_kwargs = {"role": {"initial": Role.VIEWER}, "is_active": {"initial": True}}

    def validate_email(self, email: str) -> str:
        return User.objects.valid_email(email)

    def validate_role(self, role: str) -> str:
        if role not in grantable_by(person(self.context["request"])):
            raise serializers.ValidationError("You cannot give a role above your own.")
        return role

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        me = person(self.context["request"])
        if self.instance is None:
            attrs.setdefault("tenant", me.tenant)
        elif self.instance.role not in grantable_by(me):
            raise PermissionDenied("The person has more rights than you. Ask them, or an admin.")
        if self.instance == me:
            self._keep_own(attrs)
        is_of_staff = self.instance is not None and self.instance.is_superuser
        if "tenant" in attrs and not attrs["tenant"] and not is_of_staff:
            advice = "Choose a tenant: only platform staff can do without."
            raise serializers.ValidationError({"tenant": advice})
        if "password" in attrs:
            email = str(attrs.get("email") or getattr(self.instance, "email", ""))
            check_password(attrs["password"], User(email=email), "password")
        return attrs

    def _keep_own(self, attrs: dict[str, Any]) -> None:
        # That of a password is its hash, which equals no password that was sent.
        own = {name: getattr(self.instance, name) for name in OWN}
        own["password"] = None
        changed = [name for name in OWN if name in attrs and attrs[name] != own[name]]
        if changed:
            raise serializers.ValidationError({name: OWN[name] for name in changed})

    def create(self, validated_data: dict[str, Any]) -> User:
        user: User = User.objects.create_user(**validated_data)
        return user

    def update(self, instance: User, validated_data: dict[str, Any]) -> User:
        if password := validated_data.pop("password", None):
            validated_data["password"] = make_password(password)
        user: User = super().update(instance, validated_data)
        return user


@extend_schema_serializer(examples=[example("A tenant", ACME)])
class TenantSerializer(StrictFields, SentOnly):
    """A customer of the platform."""

    class Meta:
        model = Tenant
        fields = ["slug", "name", "retention_days"]
        # That it is taken, the database says, also if somebody takes it at the same moment.
        extra_kwargs = {"slug": {"validators": [validate_slug]}}

    def validate_slug(self, slug: str) -> str:
        if self.instance and slug != self.instance.slug:
            advice = "It never changes: the topics of the tenant's devices begin with it."
            raise serializers.ValidationError(advice)
        return slug

    def validate_retention_days(self, days: int | None) -> int | None:
        former = self.instance and self.instance.retention_days
        if days != former and not person(self.context["request"]).is_superuser:
            raise serializers.ValidationError(NOT_THEIRS)
        return days
