"""The page to send a command to the devices chosen in the list."""

from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.forms import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.functional import cached_property
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException

from accounts.admin import person
from accounts.models import Tenant
from accounts.words import in_language, number
from devices.commands.console.sending import (
    HOUR,
    SENT,
    SENT_ANOTHER,
    SENT_BEFORE,
    SendForm,
    refuse,
)
from devices.commands.console.shown import page_of
from devices.commands.sending import KeyReused, Plan, plan, send_to_many
from devices.console.chosen import ChosenForm, ChosenPage
from devices.models import CommandBatch

ONE_TENANT = _("A command goes to devices of one tenant. Narrow the list to one first.")
REASONS_SHOWN = 3


class SendToChosenForm(SendForm, ChosenForm):
    """A command, to whom, and the key by which a form that comes twice is known."""


class SendToChosenPage(ChosenPage):
    """The same form as for one device, and whom a command would be queued for."""

    name = "send"
    title = _("Send a command")
    template_name = "admin/devices/device/send_to_chosen.html"
    permission_required = ("devices.add_command", "devices.add_commandbatch")
    explanation = _("It is queued for each of them; the next page shows how far each one is.")
    button = _("Send")
    icon = "send"
    form_class = SendToChosenForm

    def get_initial(self) -> dict[str, Any]:
        return {"key": uuid4(), "unit": HOUR}

    def carry_out(self, form: Any) -> HttpResponse:
        key = str(form.cleaned_data["key"])
        try:
            sent = send_to_many(
                form.order(), self.devices, self._tenant(), self._target(), self.me, key
            )
        except KeyReused:
            form.data = {name: form.data.get(name) for name in form.fields} | {"key": uuid4()}
            form.add_error(None, SENT_ANOTHER)
        except ValidationError as error:
            form.add_error(None, error)
        except APIException as error:
            refuse(form, error.detail)
        else:
            return self._sent(sent.what, sent.is_new)
        return self.form_invalid(form)

    @cached_property
    def me(self) -> Any:
        return person(self.request)

    def _tenant(self) -> Tenant:
        tenants = Tenant.objects.filter(devices__in=self.devices).distinct()[:2]
        if len(tenants) != 1:
            raise ValidationError(ONE_TENANT)
        return tenants[0]

    def _target(self) -> dict[str, Any]:
        uids = self.devices.order_by("device_uid").values_list("device_uid", flat=True)
        return {"device_uids": list(uids)}

    def _sent(self, batch: CommandBatch, is_new: bool) -> HttpResponse:
        if is_new:
            self.model_admin.log_addition(self.request, batch, SENT)
            messages.success(self.request, gettext("“{cmd}” is queued.").format(cmd=batch.cmd))
        else:
            messages.info(self.request, SENT_BEFORE)
        return redirect(page_of(batch))

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return {**super().get_context_data(**context), "skipped": in_words(plan(self.devices))}


def in_words(found: Plan) -> str:
    """Which devices the command would not be queued for, and why."""
    if not found.skipped:
        return ""
    count = len(found.skipped)
    said = ngettext(
        "{count} of them is skipped: {reasons}", "{count} of them are skipped: {reasons}", count
    )
    reasons = [in_language(each.reason) for each in found.skipped[:REASONS_SHOWN]]
    return said.format(count=number(count), reasons=" ".join(reasons)) + (
        " …" if count > REASONS_SHOWN else ""
    )
