"""What people say of new credentials in the console."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.models import User
from devices.credentials.issuing import LONGEST_OVERLAP, Terms
from devices.credentials.serializers import further_of, validate_end
from devices.models import Device

HOUR = timedelta(hours=1)
SEPARATORS = re.compile(r"[\s,;]+")
KEYS = re.compile(r"\d{1,19}(,\d{1,19})*")


@contextmanager
def as_in_forms() -> Iterator[None]:
    """What the API refuses, as a form refuses it."""
    try:
        yield
    except ValidationError as error:
        raise forms.ValidationError([str(said) for said in error.detail]) from error


class MomentInput(UnfoldAdminTextInputWidget):
    input_type = "datetime-local"


class TermsForm(forms.Form):
    """What holds for new credentials."""

    expires_at = forms.DateTimeField(
        label=_("Ends (UTC)"),
        required=False,
        widget=MomentInput,
        help_text=_("Leave it empty for one that does not end."),
    )
    overlap = forms.IntegerField(
        label=_("Those so far end after (hours)"),
        required=False,
        initial=0,
        min_value=0,
        max_value=LONGEST_OVERLAP // HOUR,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_(
            "0: at once. A device that is given the new token over the air needs some time."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # It knows one token a device: there is nothing to choose.
        if settings.MQTT_ACCESS == "mosquitto":
            del self.fields["overlap"]

    def clean_expires_at(self) -> datetime | None:
        at: datetime | None = self.cleaned_data["expires_at"]
        with as_in_forms():
            validate_end(at)
        return at

    def terms(self) -> Terms:
        given = self.cleaned_data
        return Terms(expires_at=given["expires_at"], overlap=(given.get("overlap") or 0) * HOUR)


class FurtherForm(forms.Form):
    """Whom a credential speaks for; `by` is who asks."""

    gateway_for = forms.CharField(
        label=_("Gateway for"),
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3, "spellcheck": "false"}),
        help_text=_(
            "UIDs of further devices of its tenant, if this one speaks for them over its own "
            "connection. One a line, or with commas."
        ),
    )

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by = by

    def clean_gateway_for(self) -> list[Device]:
        uids = filter(None, SEPARATORS.split(self.cleaned_data["gateway_for"]))
        with as_in_forms():
            return further_of(self.by, uids)


class NewForm(TermsForm, FurtherForm):
    """A new credential of one device."""

    def terms(self) -> Terms:
        return super().terms()._replace(gateway_for=self.cleaned_data["gateway_for"])


class ManyForm(TermsForm):
    """New credentials of the devices that were chosen in the list, by their numbers."""

    keys = forms.CharField(widget=forms.HiddenInput)

    def clean_keys(self) -> list[int]:
        keys = self.cleaned_data["keys"]
        if not KEYS.fullmatch(keys):
            raise forms.ValidationError(_("Choose the devices in the list."))
        return [int(key) for key in keys.split(",")]
