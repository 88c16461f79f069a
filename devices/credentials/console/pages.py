"""The console's pages to give a device a new credential, and to end one."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.views.generic import FormView, TemplateView
from rest_framework.exceptions import APIException
from unfold.views import UnfoldModelAdminViewMixin

from accounts.admin import person
from devices.commands.console.sending import refuse
from devices.commands.console.shown import page_of
from devices.credentials.access import notice_of, topics_of
from devices.credentials.console.forms import NewForm
from devices.credentials.console.many import ManyPage
from devices.credentials.console.section import row_of
from devices.credentials.recorded import issue_and_record, revoke_and_record
from devices.models import Credential, Device

GONE = "Somebody deleted the device meanwhile."


class NewPage(UnfoldModelAdminViewMixin, FormView):
    """A form, and the token as the answer to it: on no other page, and kept by nobody."""

    title = "New credential"
    template_name = "admin/devices/credential/new.html"
    permission_required = "devices.add_credential"
    form_class = NewForm
    device: Device

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.has_permission():
            self.device = self.model_admin.get_object(request, kwargs["object_id"])
        return super().dispatch(request, *args, **kwargs)

    def get_initial(self) -> dict[str, Any]:
        newest = Credential.objects.filter(device=self.device).in_force().first()
        further = newest.gateway_for.values_list("device_uid", flat=True) if newest else ()
        return {"overlap": 0, "gateway_for": "\n".join(further)}

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
            "opts": self.model_admin.opts,
            "device": self.device,
            "page": page_of(self.device),
            "topics": topics_of(self.device),
            "notice": notice_of(self.device),
        }


class RevokePage(UnfoldModelAdminViewMixin, TemplateView):
    """What a credential is, and a button to end it."""

    title = "Revoke a credential"
    template_name = "admin/devices/credential/revoke.html"
    permission_required = "devices.change_credential"
    credential: Credential

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.has_permission():
            device = self.model_admin.get_object(request, kwargs["object_id"])
            credentials = Credential.objects.filter(device=device).select_related("device")
            self.credential = get_object_or_404(credentials, pk=kwargs["number"])
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        device = self.credential.device
        if revoke_and_record(self.credential, person(request)):
            messages.success(request, f"Revoked. {device} cannot connect with it any more.")
        else:
            messages.info(request, "It had ended already.")
        return redirect(page_of(device))

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        device = self.credential.device
        others = Credential.objects.filter(device=device).in_force().exclude(pk=self.credential.pk)
        return {
            **super().get_context_data(**context),
            "opts": self.model_admin.opts,
            "device": device,
            "page": page_of(device),
            "row": row_of(self.credential, may_change=True),
            "is_last": not others.exists(),
        }


def pages(admin: Any) -> list[URLPattern]:
    """The addresses of these pages, below those of devices, which `admin` shows."""
    site = admin.admin_site.admin_view
    new, revoke = (page.as_view(model_admin=admin) for page in (NewPage, RevokePage))
    many = ManyPage.as_view(model_admin=admin)
    below = "<path:object_id>/credential/"
    return [
        path("credentials/", site(many), name="devices_device_credentials"),
        path(below, site(new), name="devices_device_credential"),
        path(f"{below}<int:number>/revoke/", site(revoke), name="devices_credential_revoke"),
    ]
