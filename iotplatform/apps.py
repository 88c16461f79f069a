"""The application that puts the others together."""

from django.apps import AppConfig


class PlatformConfig(AppConfig):
    name = "iotplatform"
