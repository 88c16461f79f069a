"""The console's page to give the devices chosen in the list new credentials, as one file."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView
from rest_framework.exceptions import APIException
from unfold.views import UnfoldModelAdminViewMixin

from accounts.admin import person
from devices.commands.console.sending import refuse
from devices.credentials.console.forms import ManyForm
from devices.credentials.files import chosen, file_of
from devices.credentials.recorded import issue_and_record
from devices.models import Credential, Device, DeviceQuerySet

UIDS_SHOWN = 20
GONE = _("Some of these devices are not there any more. Choose them again in the list.")


class ManyPage(UnfoldModelAdminViewMixin, FormView):
    """Which devices it is about, what holds, and a button whose answer is the file."""

    title = _("New credentials")
    template_name = "admin/devices/credential/many.html"
    permission_required = "devices.add_credential"
    form_class = ManyForm

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("admin:devices_device_changelist")

    def form_valid(self, form: ManyForm) -> HttpResponse:
        keys, me = form.cleaned_data["keys"], person(self.request)
        try:
            devices = chosen(Device.objects.visible_to(me).filter(pk__in=keys))
            if len(devices) < len(set(keys)):
                form.add_error(None, GONE)
                return self.form_invalid(form)
            answer = file_of(issue_and_record(devices, me, form.terms()), "csv")
        except APIException as error:
            refuse(form, error.detail)
            return self.form_invalid(form)
        answer.status_code = 200  # A browser saves nothing else for certain.
        return answer

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        context = super().get_context_data(**context)
        return {**context, "opts": self.model_admin.opts, **self._chosen(context["form"])}

    def _chosen(self, form: ManyForm) -> dict[str, Any]:
        """What the page says of the devices whose numbers the form has."""
        keys = [key for key in str(form["keys"].value() or "").split(",") if key.isdecimal()]
        devices = Device.objects.visible_to(person(self.request)).filter(pk__in=keys)
        uids = list(devices.order_by("device_uid").values_list("device_uid", flat=True))
        in_force = Credential.objects.filter(device__in=devices).in_force()
        return {
            "count": len(uids),
            "uids": uids[:UIDS_SHOWN],
            "hidden": len(uids[UIDS_SHOWN:]),
            "provided": in_force.values("device").distinct().count(),
        }


def begin(admin: Any, request: HttpRequest, devices: DeviceQuerySet) -> HttpResponse:
    """The page for the devices that were chosen in the list of `admin`."""
    page: Any = ManyPage(model_admin=admin)
    page.setup(request)
    keys = ",".join(str(key) for key in devices.order_by("pk").values_list("pk", flat=True))
    form = ManyForm(initial={"keys": keys, "overlap": 0})
    answer: HttpResponse = page.render_to_response(page.get_context_data(form=form))
    return answer
