"""Application of the fleet."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from accounts.words import sentence
from devices.sentences import KEPT


class DevicesConfig(AppConfig):
    name = "devices"
    verbose_name = _("Fleet")

    def ready(self) -> None:
        for each in KEPT:
            sentence(each)
