"""Pages about the devices that were chosen in the list: which they are, and a button to do it.

The action of the list shows the page; its form has the numbers of the devices, so that what is done
is done to those that the person saw chosen, and to no other that the filters find by then.
"""

import re
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.generic import FormView
from unfold.views import UnfoldModelAdminViewMixin

from accounts.admin import person
from accounts.words import listed, number
from devices.models import Device, DeviceQuerySet
from devices.together import Done, numbered

MOST_CHOSEN = 20_000
UIDS_SHOWN = 20
KEYS = re.compile(r"\d{1,18}(,\d{1,18})*", re.ASCII)
CHOOSE = _("Choose the devices in the list.")
GONE = _("None of these devices is there any more. Choose others in the list.")
TOO_MANY = _("More than {most} devices are chosen. Narrow the list by a filter first.")


class ChosenForm(forms.Form):
    """The devices by their numbers, and the filters of the list to go back to."""

    keys = forms.CharField(widget=forms.HiddenInput)
    filters = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_keys(self) -> list[int]:
        return numbers_in(self.cleaned_data["keys"])


class ChosenPage(UnfoldModelAdminViewMixin, FormView):
    """A page that asks about chosen devices, and does something when its button is pressed."""

    template_name = "admin/devices/device/chosen.html"
    permission_required: Any = "devices.change_device"
    form_class: Any = ChosenForm
    name: str
    """What its address has."""
    title: str | Promise
    explanation: str | Promise = ""
    button: str | Promise
    icon: str
    variant = "primary"
    carry_out: Callable[[Any], HttpResponse]
    """Given the form does it, and answers."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("admin:devices_device_changelist")

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        try:
            numbers = numbers_in(str(form["keys"].value() or ""))
        except forms.ValidationError:
            numbers = []
        self.devices = Device.objects.visible_to(person(self.request)).filter(numbered(numbers))
        return form

    def form_valid(self, form: Any) -> HttpResponse:
        self.count = self.devices.count()
        # Those that somebody deleted meanwhile are left out, as the answer says.
        self.missing = len(set(form.cleaned_data["keys"])) - self.count
        if not self.count:
            form.add_error(None, GONE)
            return self.form_invalid(form)
        return self.carry_out(form)

    def back(self, form: Any) -> HttpResponse:
        return redirect(list_of(form["filters"].value()))

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        context = super().get_context_data(**context)
        uids = list(self.devices.order_by("device_uid").values_list("device_uid", flat=True))
        return {
            **context,
            "opts": self.model_admin.opts,
            "page": self,
            "target": reverse(f"admin:devices_device_{self.name}_chosen"),
            "count": len(uids),
            "uids": listed(uids, UIDS_SHOWN),
            "back": list_of(context["form"]["filters"].value()),
        }


def numbers_in(keys: str) -> list[int]:
    """The numbers of devices as a page has them. Raises ValidationError if these are none, or too
    many: the page never has so many, but a client may send what it likes."""
    if not KEYS.fullmatch(keys):
        raise forms.ValidationError(CHOOSE)
    numbers = [int(key) for key in keys.split(",")]
    if len(numbers) > MOST_CHOSEN:
        raise forms.ValidationError(TOO_MANY.format(most=number(MOST_CHOSEN)))
    return numbers


def list_of(filters: str | None) -> str:
    """The address of the list of devices with the filters that it had."""
    address = reverse("admin:devices_device_changelist")
    return f"{address}?{filters}" if filters else address


def chosen(request: HttpRequest, found: DeviceQuerySet) -> DeviceQuerySet:
    """The devices that an action of the list is about, of those that the filters find now.

    Who ticked devices means those, whatever has become of them since the list was shown.
    """
    if request.POST.get("select_across") == "1":
        return found.order_by()
    keys = [key for key in request.POST.getlist(ACTION_CHECKBOX_NAME) if KEYS.fullmatch(key)]
    return Device.objects.visible_to(person(request)).filter(pk__in=keys)


def numbers_of(request: HttpRequest, devices: DeviceQuerySet) -> list[int]:
    """The numbers of devices that were chosen; none, and a message, if these are too many."""
    numbers = list(devices.order_by("pk").values_list("pk", flat=True)[: MOST_CHOSEN + 1])
    if len(numbers) > MOST_CHOSEN:
        messages.error(request, TOO_MANY.format(most=number(MOST_CHOSEN)))
        return []
    return numbers


def begin(
    page_class: type[ChosenPage], admin: Any, request: HttpRequest, found: DeviceQuerySet
) -> HttpResponse | None:
    """The page for the devices that were chosen in the list of `admin`."""
    numbers = numbers_of(request, chosen(request, found))
    if not numbers:
        return None
    page: Any = page_class(model_admin=admin)
    page.setup(request)
    keys = ",".join(map(str, numbers))
    page.initial = {**page.get_initial(), "keys": keys, "filters": request.GET.urlencode()}
    # What came is the form of the list, and no answer to this page yet.
    page.get_form_kwargs = lambda: {"initial": page.initial}
    answer: HttpResponse = page.render_to_response(page.get_context_data())
    return answer


def tell(request: HttpRequest, done: Done, chosen: int, missing: int, refused: str = "") -> None:
    """How many of the devices changed; and of the others, why they did not."""
    changed = len(done.changed)
    unchanged = chosen - changed - done.refused
    parts = [
        (ngettext("{count} device was changed", "{count} devices were changed", changed), changed),
        (ngettext("{count} was like this already", "{count} were like this already", unchanged),
         unchanged),
        (refused, done.refused),
        (ngettext("{count} is not there any more", "{count} are not there any more", missing),
         missing),
    ]  # fmt: skip
    said = "; ".join(text.format(count=number(count)) for text, count in parts if count)
    is_all = changed == chosen + missing
    messages.add_message(request, messages.SUCCESS if is_all else messages.WARNING, f"{said}.")
