"""Filters of lists that say so when they do not understand a value."""

from typing import Any

from django import forms
from django_filters import BooleanFilter, CharFilter, FilterSet

from accounts.models import User

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class StrictBooleanField(forms.Field):
    """Yes, no, or nothing; anything else is an error and not nothing."""

    widget = forms.Select(choices=[("", "either"), ("true", "true"), ("false", "false")])

    def to_python(self, value: Any) -> bool | None:
        if value in (None, ""):
            return None
        try:
            return BOOLEANS[str(value).lower()]
        except KeyError:
            raise forms.ValidationError("Use true or false.", "invalid") from None


class StrictBooleanFilter(BooleanFilter):
    """`true` or `false`; what is neither is refused, where it would leave the list unfiltered."""

    field_class = StrictBooleanField


class UserFilters(FilterSet):
    tenant = CharFilter("tenant__slug", label="Slug of a tenant.")
    is_active = StrictBooleanFilter()
    search = CharFilter("email", "icontains", label="Part of an e-mail address.")

    class Meta:
        model = User
        fields = ["role", "tenant", "is_active", "search"]
