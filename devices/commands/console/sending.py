"""The console's page to send a command to a device."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView
from rest_framework.exceptions import APIException
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin import person
from accounts.words import in_language, sentence
from devices.commands.console.pages import DevicePage
from devices.commands.console.shown import page_of
from devices.commands.noting import note_sent
from devices.commands.sending import DISABLED, LIFE, LONGEST_LIFE, KeyReused, Order, send
from devices.models import Command
from devices.validation import read_json, validate_cmd, validate_params

HOUR = 3600
UNITS = [(HOUR, _("hours")), (60, _("minutes")), (1, _("seconds"))]
SENT_ANOTHER = _(
    "This page has sent another command already. Press the button once more to send this one too."
)
SENT_BEFORE = _("This command was sent before. Nothing was sent twice.")
SENT = sentence(gettext_noop("Sent."))


class SendForm(forms.Form):
    """A command, and a `key` by which a form that comes twice is known."""

    cmd = forms.CharField(
        label=_("Command"),
        max_length=Command._meta.get_field("cmd").max_length,
        validators=[validate_cmd],
        widget=UnfoldAdminTextInputWidget({"autocapitalize": "off"}),
        help_text=_("A word that the device knows, for example reboot."),
    )
    params = forms.CharField(
        label=_("Params"),
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 4, "spellcheck": "false"}),
        help_text=_('An object of JSON such as {"delay": 5}. Leave it empty if there are none.'),
    )
    life = forms.IntegerField(
        label=_("Expires after"),
        min_value=1,
        initial=int(LIFE.total_seconds()) // HOUR,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("A device that comes back later does not get it any more."),
    )
    unit = forms.TypedChoiceField(
        label=_("Unit"), coerce=int, choices=UNITS, widget=UnfoldAdminSelectWidget
    )
    key = forms.UUIDField(widget=forms.HiddenInput)

    def clean_params(self) -> Any:
        params = read_json(self.cleaned_data["params"] or "{}")
        validate_params(params)
        return params

    def clean(self) -> None:
        life, unit = self.cleaned_data.get("life"), self.cleaned_data.get("unit")
        if life and unit and life * unit > LONGEST_LIFE.total_seconds():
            said = gettext("Choose at most {count} days.")
            self.add_error("life", said.format(count=LONGEST_LIFE.days))

    def order(self) -> Order:
        asked = self.cleaned_data
        life = timedelta(seconds=asked["life"] * asked["unit"])
        return Order(asked["cmd"], asked["params"], life)


def refuse(form: forms.Form, detail: Any) -> None:
    """Show what was refused where it was typed."""
    faults = detail if isinstance(detail, dict) else {"": detail}
    for name, said in faults.items():
        texts = said if isinstance(said, list) else [said]
        field = name if name in form.fields else None
        form.add_error(field, [forms.ValidationError(str(text)) for text in texts])


class SendPage(DevicePage, FormView):
    """A form, which is sent once however often it comes."""

    title = _("Send a command")
    template_name = "admin/devices/device/send.html"
    permission_required = "devices.add_command"
    form_class = SendForm

    def get_initial(self) -> dict[str, Any]:
        return {"key": uuid4(), "unit": HOUR}

    def form_valid(self, form: SendForm) -> HttpResponse:
        key = str(form.cleaned_data["key"])
        try:
            sent = send(form.order(), self.device, person(self.request), key)
        except KeyReused:
            form.data = {name: form.data.get(name) for name in form.fields} | {"key": uuid4()}
            form.add_error(None, SENT_ANOTHER)
        except APIException as error:
            refuse(form, error.detail)
        else:
            return self._sent(sent.what, sent.is_new)
        return self.form_invalid(form)

    def _sent(self, command: Command, is_new: bool) -> HttpResponse:
        if is_new:
            note_sent(person(self.request), command)
            said = gettext("“{cmd}” is queued for {device}.")
            messages.success(self.request, said.format(cmd=command.cmd, device=self.device))
        else:
            messages.info(self.request, SENT_BEFORE)
        return redirect(page_of(command))

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        obstacle = "" if self.device.is_enabled else in_language(DISABLED.format(uid=self.device))
        return {**super().get_context_data(**context), "obstacle": obstacle}


def pages(admin: Any) -> list[URLPattern]:
    """The address of this page, below that of the device; `admin` is that of devices."""
    page = admin.admin_site.admin_view(SendPage.as_view(model_admin=admin))
    return [path("<path:object_id>/command/", page, name="devices_device_command")]
