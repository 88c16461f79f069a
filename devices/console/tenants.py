"""What the console's pages of devices and of their types have in common."""

from typing import Any

from django.db import IntegrityError
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest

from accounts.admin import TenantScopedAdmin, person


class OwnTenantAdmin(TenantScopedAdmin):
    """Pages of things that every tenant has for itself."""

    def get_form(
        self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm]:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.own_tenant_id = person(request).works_in_id
        return form

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError:
            # Somebody did the same after the form was checked. Now its checks see that.
            return super().changeform_view(request, *args, **kwargs)
