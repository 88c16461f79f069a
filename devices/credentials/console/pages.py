"""The console's pages to give a device a new credential, to change one, and to end one."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView, TemplateView
from rest_framework.exceptions import APIException

from accounts.admin import person
from devices.commands.console.pages import DevicePage
from devices.commands.console.sending import refuse
from devices.commands.console.shown import page_of
from devices.credentials.access import notice_of, topics_of
from devices.credentials.console.forms import FurtherForm, NewForm
from devices.credentials.console.many import ManyPage
from devices.credentials.console.section import row_of
from devices.credentials.recorded import (
    issue_and_record,
    revoke_and_record,
    speak_for_and_record,
)
from devices.models import Credential

GONE = _("Somebody deleted the device meanwhile.")
CHANGED = _("Changed. The token stays the same.")
UNCHANGED = _("It speaks for these already. Nothing was changed.")


class NewPage(DevicePage, FormView):
    """A form, and the token as the answer to it: on no other page, and kept by nobody."""

    title = _("New credential")
    template_name = "admin/devices/credential/new.html"
    permission_required = "devices.add_credential"
    form_class = NewForm

    def get_initial(self) -> dict[str, Any]:
        # As the API takes it over: whether or not that one has ended.
        newest = Credential.objects.filter(device=self.device).first()
        return {"overlap": 0, "gateway_for": further_in(newest) if newest else ""}

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"by": person(self.request)}

    def form_valid(self, form: NewForm) -> HttpResponse:
        try:
            issued = issue_and_record([self.device], person(self.request), form.terms())
        except APIException as error:
            refuse(form, error.detail)
            return self.form_invalid(form)
        if not issued:
            form.add_error(None, GONE)
            return self.form_invalid(form)
        # No redirect: to show it on another page it would have to be kept.
        answer = self.render_to_response(self.get_context_data(form=form, token=issued[0].token))
        answer["Cache-Control"] = "no-store"
        return answer

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return {
            **super().get_context_data(**context),
            "topics": topics_of(self.device),
            "notice": notice_of(self.device),
            "is_provided": Credential.objects.filter(device=self.device).in_force().exists(),
        }


class CredentialPage(DevicePage):
    """A page about one credential of a device."""

    permission_required = "devices.change_credential"

    @cached_property
    def credential(self) -> Credential:
        view: Any = self
        return get_object_or_404(self.device.credentials, pk=view.kwargs["number"])

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        row = row_of(self.credential, may_change=True)
        return {**super().get_context_data(**context), "row": row}


class FurtherPage(CredentialPage, FormView):
    """A form of whom a credential speaks for."""

    title = _("Change what it speaks for")
    template_name = "admin/devices/credential/further.html"
    form_class = FurtherForm

    def get_initial(self) -> dict[str, Any]:
        return {"gateway_for": further_in(self.credential)}

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"by": person(self.request)}

    def form_valid(self, form: FurtherForm) -> HttpResponse:
        further = form.cleaned_data["gateway_for"]
        try:
            is_changed = speak_for_and_record(self.credential, further, person(self.request))
        except APIException as error:
            refuse(form, error.detail)
            return self.form_invalid(form)
        messages.info(self.request, CHANGED if is_changed else UNCHANGED)
        return redirect(page_of(self.device))


class RevokePage(CredentialPage, TemplateView):
    """What a credential is, and a button to end it."""

    title = _("Revoke a credential")
    template_name = "admin/devices/credential/revoke.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if revoke_and_record(self.credential, person(request)):
            said = gettext("Revoked. {device} cannot connect with it any more.")
            messages.success(request, said.format(device=self.device))
        else:
            messages.info(request, gettext("It had ended already."))
        return redirect(page_of(self.device))

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        others = self.device.credentials.in_force().exclude(pk=self.credential.pk)
        return {**super().get_context_data(**context), "is_last": not others.exists()}


def further_in(credential: Credential) -> str:
    """Whom it speaks for, as the form has them: one a line."""
    there = credential.gateway_for.filter(deleted_at__isnull=True)
    return "\n".join(there.values_list("device_uid", flat=True))


def pages(admin: Any) -> list[URLPattern]:
    """The addresses of these pages, below those of devices, which `admin` shows."""
    site = admin.admin_site.admin_view
    many, new, further, revoke = (
        site(page.as_view(model_admin=admin))
        for page in (ManyPage, NewPage, FurtherPage, RevokePage)
    )
    below = "<path:object_id>/credential/"
    return [
        path("credentials/", many, name="devices_device_credentials"),
        path(below, new, name="devices_device_credential"),
        path(f"{below}<int:number>/gateway/", further, name="devices_credential_gateway"),
        path(f"{below}<int:number>/revoke/", revoke, name="devices_credential_revoke"),
    ]
