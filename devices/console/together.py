"""What can be done to the devices chosen in the list: each a page, or done at once."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, DELETION
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, ngettext
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.admin import person
from accounts.words import number, sentence
from devices import together
from devices.console.chosen import (
    ChosenForm,
    ChosenPage,
    chosen,
    numbers_of,
    tell,
)
from devices.console.forms import with_owner
from devices.history import record_devices
from devices.models import Device, DeviceQuerySet, DeviceType
from devices.together import Done
from devices.validation import LABEL_KEY_LENGTH, LABEL_VALUE_LENGTH, MOST_LABELS, validate_labels

ENABLED = sentence(gettext_noop("Enabled."))
DISABLED = sentence(gettext_noop("Disabled."))
LABELLED = sentence(gettext_noop("Label {key} set to “{value}”."))
UNLABELLED = sentence(gettext_noop("Label {key} removed."))
TYPED = sentence(gettext_noop("Type set to “{type}”."))
UNTYPED = sentence(gettext_noop("Type removed."))


class Changing(ChosenPage):
    """A page after which devices are different, as their history says."""

    change: Callable[[Any], tuple[Done, str]]
    """Given the form changes them; returns what came of it, and what the history says."""

    def refused(self, count: int) -> str:
        return ""

    def carry_out(self, form: Any) -> HttpResponse:
        try:
            with transaction.atomic():
                done, said = self.change(form)
                record_devices(person(self.request), CHANGE, done.changed, said)
        except forms.ValidationError as error:
            form.add_error(None, error)
            return self.form_invalid(form)
        tell(self.request, done, self.count, self.missing, self.refused(done.refused))
        return self.back(form)


class DisablePage(Changing):
    name = "disable"
    title = _("Disable devices")
    explanation = _(
        "From now on their messages are rejected and not stored, and no command can be sent to "
        "them; where the broker asks for a token, they are put off and cannot connect. You can "
        "enable them again at any time."
    )
    button = _("Disable")
    icon = "block"
    variant = "danger"

    def change(self, form: Any) -> tuple[Done, str]:
        return together.switch(self.devices, is_enabled=False), DISABLED


class KeyForm(ChosenForm):
    key = forms.CharField(
        label=_("Label"),
        max_length=LABEL_KEY_LENGTH,
        widget=UnfoldAdminTextInputWidget({"autocapitalize": "off", "list": "labels-known"}),
    )


class LabelForm(KeyForm):
    value = forms.CharField(
        label=_("Value"), max_length=LABEL_VALUE_LENGTH, widget=UnfoldAdminTextInputWidget
    )

    def clean(self) -> None:
        given = self.cleaned_data
        if {"key", "value"} <= given.keys():
            validate_labels({given["key"]: given["value"]})


class LabelPage(Changing):
    name = "label"
    title = _("Set a label")
    explanation = _(
        "Each of them gets this label, for example site with the value Hanoi. One of the same name "
        "that a device has already gets the new value; its other labels stay."
    )
    button = _("Set the label")
    icon = "label"
    form_class = LabelForm

    def change(self, form: Any) -> tuple[Done, str]:
        key, value = form.cleaned_data["key"], form.cleaned_data["value"]
        said = LABELLED.format(key=key, value=value)
        return together.set_label(self.devices, key, value), said

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        context = super().get_context_data(**context)
        return {**context, "known": together.labels_of(self.devices)}

    def refused(self, count: int) -> str:
        text = ngettext(
            "{count} has {most} labels already, and no room for another",
            "{count} have {most} labels already, and no room for another",
            count,
        )
        return text.replace("{most}", number(MOST_LABELS))


class UnlabelForm(ChosenForm):
    key = forms.ChoiceField(label=_("Label"), widget=UnfoldAdminSelectWidget)


class UnlabelPage(Changing):
    name = "unlabel"
    title = _("Remove a label")
    explanation = _("It is taken from each of them that has it, whatever its value is.")
    button = _("Remove the label")
    icon = "label_off"
    form_class = UnlabelForm

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        form.fields["key"].choices = [(key, key) for key in together.labels_of(self.devices)]
        return form

    def change(self, form: Any) -> tuple[Done, str]:
        key = form.cleaned_data["key"]
        return together.remove_label(self.devices, key), UNLABELLED.format(key=key)


class TypeForm(ChosenForm):
    type = forms.ModelChoiceField(
        DeviceType.objects.none(),
        label=_("Type"),
        required=False,
        empty_label=_("No type"),
        widget=UnfoldAdminSelectWidget,
    )


class TypePage(Changing):
    name = "type"
    title = _("Set the type")
    explanation = _(
        "The type says when a device counts as silent, how long its readings are kept, and what "
        "their keys mean. With a shorter time to keep them, older readings are erased within a day."
    )
    button = _("Set the type")
    icon = "category"
    form_class = TypeForm

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        # What all of them may have: of devices of several tenants that is what is shared.
        tenants = set(self.devices.order_by().values_list("tenant", flat=True).distinct())
        types = DeviceType.objects.usable_by(tenants.pop() if len(tenants) == 1 else None)
        form.fields["type"].queryset = types.select_related("tenant")
        form.fields["type"].label_from_instance = with_owner
        return form

    def change(self, form: Any) -> tuple[Done, str]:
        kind = form.cleaned_data["type"]
        said = TYPED.format(type=kind) if kind else UNTYPED
        return together.set_type(self.devices, kind), said


class DeletePage(ChosenPage):
    name = "delete"
    title = _("Delete devices")
    permission_required = "devices.delete_device"
    explanation = _(
        "They are gone at once for everybody and their messages are refused from now on; their "
        "readings are erased within a day. This cannot be undone. To stop them for a while, "
        "disable them."
    )
    button = _("Delete")
    icon = "delete"
    variant = "danger"

    @transaction.atomic
    def carry_out(self, form: Any) -> HttpResponse:
        deleted = self.devices.retire()
        # Not those that somebody deleted meanwhile, in whose history that is.
        record_devices(person(self.request), DELETION, deleted, "")
        count = len(deleted)
        said = ngettext("{count} device was deleted.", "{count} devices were deleted.", count)
        messages.success(self.request, said.format(count=number(count)))
        return self.back(form)


def enable(request: HttpRequest, found: DeviceQuerySet) -> None:
    """Without a page before it, as it harms nobody."""
    numbers = numbers_of(request, chosen(request, found))
    with transaction.atomic():
        done = together.switch(Device.objects.filter(together.numbered(numbers)), is_enabled=True)
        record_devices(person(request), CHANGE, done.changed, ENABLED)
    if numbers:
        tell(request, done, len(numbers), missing=0)
