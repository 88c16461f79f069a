"""sync_broker with EMQX: who is there and would not be let in is put off."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from devices.brokers.emqx import management
from devices.brokers.emqx.management import Client, EmqxError
from devices.models import Device
from tests import cast as people

pytestmark = pytest.mark.django_db


@pytest.fixture
def put_off(cast, monkeypatch):
    """Whom the command has put off of those that are there."""
    for device in (cast.device, cast.foreign):
        people.token(device)
    Device.objects.filter(pk=cast.foreign.pk).update(is_enabled=False)
    there = [
        Client("dev-01", "dev-01"),
        Client("another", "dev-01"),
        Client("foreign-01", "foreign-01"),
        Client("nobody", ""),
        Client("iotplatform-ingest", "ingestor@platform"),
        Client("elsewhere", "ingestor@platform"),
    ]
    kicked = []
    monkeypatch.setattr(management, "live_clients", lambda: iter(there))
    monkeypatch.setattr(management, "kick", kicked.append)
    return kicked


def run(*arguments):
    out = StringIO()
    call_command("sync_broker", *arguments, stdout=out)
    return out.getvalue()


def test_whoever_the_database_would_not_admit_is_put_off(put_off):
    assert run() == "put off: 4 (another, foreign-01, nobody, elsewhere)\n"
    assert put_off == ["another", "foreign-01", "nobody", "elsewhere"]


def test_a_dry_run_puts_nobody_off(put_off):
    with pytest.raises(SystemExit) as ended:
        run("--dry-run")
    assert ended.value.code == 2
    assert put_off == []


def test_why_emqx_did_not_is_said(put_off, monkeypatch):
    def away():
        raise EmqxError("EMQX cannot be reached.")

    monkeypatch.setattr(management, "live_clients", away)
    with pytest.raises(CommandError, match="cannot be reached"):
        run()
