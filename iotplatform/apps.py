"""The application that puts the others together."""

from django.apps import AppConfig

from iotplatform import (
    checks,  # noqa: F401  (its checks register themselves)
    logs,
)


class PlatformConfig(AppConfig):
    name = "iotplatform"

    def ready(self) -> None:
        logs.log_last_errors()
