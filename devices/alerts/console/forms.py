"""The form of an alert rule."""

import re
from typing import Any

from django import forms
from django.core.validators import validate_email
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminURLInputWidget

from accounts.words import in_language
from devices.alerts import addresses
from devices.alerts.addresses import Refused
from devices.console.forms import OwnTenantForm, with_owner
from devices.models import AlertRule, DeviceType
from devices.models.alerts import MOST_EMAILS, URL_LENGTH

SEPARATORS = re.compile(r"[\s,;]+")


class EmailsField(forms.CharField):
    """E-mail addresses, one a line, or with commas between them."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        return list(dict.fromkeys(filter(None, SEPARATORS.split(text))))

    def validate(self, value: Any) -> None:
        super().validate(value)
        if len(value) > MOST_EMAILS:
            raise forms.ValidationError(
                gettext("Give at most {count} addresses; a mailing list is one.").format(
                    count=MOST_EMAILS
                )
            )
        for email in value:
            try:
                validate_email(email)
            except forms.ValidationError as error:
                said = gettext("“{email}” is no e-mail address.").format(email=email)
                raise forms.ValidationError(said) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != self.to_python(data)


class AlertRuleForm(OwnTenantForm):
    emails = EmailsField(
        label=_("E-mail addresses"),
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text=_("One a line, ten at most. Each gets one e-mail for all devices of a moment."),
    )
    webhook_url = forms.URLField(
        label=_("Webhook"),
        required=False,
        max_length=URL_LENGTH,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
        help_text=_(
            "An https address in the public internet that gets the same as signed JSON "
            "(standardwebhooks.com). You see its secret once, after you save."
        ),
    )

    class Meta:
        model = AlertRule
        labels = {"after_minutes": _("Longer than (minutes)")}
        fields = [
            "name", "tenant", "type", "condition", "after_minutes", "is_enabled",
            "emails", "webhook_url",
        ]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices: Any = self.fields.get("type")
        if not choices:
            return
        choices.empty_label = _("All devices of the tenant")
        if self.instance.tenant_id:
            choices.queryset = DeviceType.objects.usable_by(self.instance.tenant_id)
        else:
            choices.queryset = DeviceType.objects.select_related("tenant")
            choices.label_from_instance = with_owner

    def clean_webhook_url(self) -> str:
        url: str = self.cleaned_data["webhook_url"]
        try:
            if url:
                addresses.check(url)
        except Refused as error:
            raise forms.ValidationError(in_language(str(error))) from error
        return url
