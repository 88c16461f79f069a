"""docs/doctor.md: its table has every subject, and its example is what the doctor says."""

import re
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.utils import timezone

from devices.models import DeviceQueue, Heartbeat, ProcessKind
from iotplatform.doctor import certificates, database, secret
from iotplatform.doctor.everything import CHECKS
from iotplatform.embedded import Broker
from iotplatform.management.commands import doctor
from telemetry import partitions
from telemetry.models import Upkeep
from telemetry.upkeep.jobs import jobs
from tests import cast as people
from tests.devices.alerts.fleet import ago
from tests.iotplatform.processes import ROOT
from tests.servers import free_pair

PAGE = (ROOT / "docs" / "doctor.md").read_text()
OTHERS = {"write-ahead log"}
"""What a check of something else says beside it."""


def test_every_subject_is_in_the_table() -> None:
    rows = re.findall(r"^\| ([\w ,-]+) \|", PAGE, re.MULTILINE)
    subjects = {subject for row in rows for subject in row.split(", ")} - {"It looks at"}
    assert subjects == {check.subject for check in CHECKS} | OTHERS


def without_particulars(report: str) -> list[str]:
    """Its lines, whatever the numbers, sizes, names and places are."""
    for pattern, word in (
        (r"“(?!manage)[^”]*”", "“…”"),
        (r" (at \S*|on this machine)\.", " …."),
        (r"(\S+:\d+)(?= lets us in)", "…"),
        (r"[\d.]+ [KMG]B|\d+ bytes", "…"),
        (r"\d+", "#"),
    ):
        report = re.sub(pattern, word, report)
    return [" ".join(line.split()) for line in report.splitlines()]


@pytest.fixture
def installation(cast: SimpleNamespace, settings: Any, tmp_path: Path) -> None:
    """One where all is well but that the dispatcher was killed five minutes ago."""
    settings.DEBUG, settings.EMAIL, settings.MQTT_ACCESS = False, {}, "open"
    settings.PUBLIC_URL, settings.MQTT_DEVICES = "https://iot.example.com", ":8883"
    people.command(cast.device)
    DeviceQueue.objects.update(look_at=ago(5))
    partitions.make_ahead(timezone.now())
    for job in jobs(timezone.now()):
        Upkeep.objects.create(job=job.name, ended_at=timezone.now(), seconds=1, count=0)
    for kind, age in ((ProcessKind.INGESTOR, 0), (ProcessKind.DISPATCHER, 5.2)):
        Heartbeat.objects.create(
            name=kind, kind=kind, started_at=ago(100), beat_at=ago(age), detail={"connected": True}
        )
    settings.MQTT_PLATFORM_PORT = free_pair() + 1


def test_the_example_is_what_it_says(
    installation: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "run_checks", lambda **_: [])
    monkeypatch.setattr(database, "SAFE", {})
    monkeypatch.setattr(database, "is_local", lambda: False)
    monkeypatch.setattr(secret, "with_secrets", lambda: iter([]))
    good = {"notAfter": "Dec 31 00:00:00 2099 GMT"}
    monkeypatch.setattr(certificates, "certificate_at", lambda *_: good)
    # In this thread, which alone sees what the test has stored.
    monkeypatch.setattr(
        doctor, "examine", lambda checks: (found for each in checks for found in each.look())
    )
    said = StringIO()
    with (
        Broker(tmp_path, settings.MQTT_PLATFORM_PORT - 1).running(),
        pytest.raises(SystemExit, match="1"),
    ):
        call_command("doctor", stdout=said)
    example = PAGE.split("<!-- example -->\n```\n")[1].split("```")[0]
    assert without_particulars(said.getvalue()) == without_particulars(example)
