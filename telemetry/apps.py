"""Application of what devices say."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from accounts.words import sentence
from telemetry.sentences import KEPT


class TelemetryConfig(AppConfig):
    name = "telemetry"
    verbose_name = _("Telemetry")

    def ready(self) -> None:
        for each in KEPT:
            sentence(each)
