"""A platform that admits devices to EMQX."""

from typing import Any

import pytest

from devices.brokers.emqx import management

SECRET = "the secret that EMQX knows us by "


@pytest.fixture(autouse=True)
def emqx(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings; nobody was put off the broker yet."""
    settings.MQTT_ACCESS = "emqx"
    settings.MQTT_HOOK_SECRET = SECRET
    settings.MQTT_INGEST_PASSWORD = "the password of the ingestor ....."
    settings.MQTT_DISPATCH_PASSWORD = "the password of the dispatcher ..."
    monkeypatch.setattr(management, "_once", {})
    return settings
