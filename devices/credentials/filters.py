"""How a list of credentials can be narrowed."""

from django_filters import rest_framework as filters

from accounts.filters import StrictBooleanFilter
from devices.credentials.representation import IS_IN_FORCE
from devices.models import Credential, CredentialQuerySet


class CredentialFilters(filters.FilterSet):
    in_force = StrictBooleanFilter(
        method="still_in_force", help_text="Whether `is_in_force` is true."
    )

    class Meta:
        model = Credential
        fields: list[str] = []

    def still_in_force(
        self, credentials: CredentialQuerySet, name: str, is_in_force: bool
    ) -> CredentialQuerySet:
        return credentials.alias(in_force=IS_IN_FORCE).filter(in_force=is_in_force)
