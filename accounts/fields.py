"""Parts of serializers that several applications use."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError

from accounts.models import Tenant, User
from accounts.rest import person


def no_such_tenant(slug: str, user: User) -> str:
    """That `user` cannot name this tenant, and what they can do."""
    said = _("There is no tenant “{slug}”. GET /tenants shows which there are.")
    if user.tenant_id:
        said = _("There is no tenant “{slug}”. Leave it out for your own.")
    return str(said.format(slug=slug))


class TenantField(serializers.SlugRelatedField):
    """The slug of a tenant. One that the person may not see does not exist for them."""

    default_error_messages = {"invalid": _("Use the slug of a tenant.")}

    def __init__(self, **options: Any) -> None:
        super().__init__(slug_field="slug", **options)

    def get_queryset(self) -> Any:
        return Tenant.objects.visible_to(person(self.context["request"]))

    def get_initial(self) -> str | None:
        tenant = person(self.context["request"]).tenant
        return tenant.slug if tenant else None

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            return self.get_queryset().get(slug=data)
        except Tenant.DoesNotExist:
            said = no_such_tenant(data, person(self.context["request"]))
            raise ValidationError(said, "does_not_exist") from None


class SentOnly(serializers.ModelSerializer):
    """Of two people who change the same thing each writes what they sent and nothing else.

    What somebody deleted meanwhile is not found.
    """

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        row = type(instance)._base_manager.filter(pk=instance.pk)
        if validated_data and not row.update(**validated_data):
            raise NotFound
        for name, value in validated_data.items():
            setattr(instance, name, value)
        return instance
