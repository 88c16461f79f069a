"""The application that puts the others together."""

from django.apps import AppConfig

from iotplatform import checks  # noqa: F401  (its checks register themselves)


class PlatformConfig(AppConfig):
    name = "iotplatform"
