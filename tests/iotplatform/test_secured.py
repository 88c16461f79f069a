"""What the secure demo hands out: passwords that are kept, tokens that are not."""

import json
import stat
from pathlib import Path

import pytest

from devices.credentials.authenticating import authenticate
from devices.models import Credential, Device
from iotplatform.secured import BY_HAND, SIMULATED, environment, handed_over, issue_tokens


def test_passwords_are_made_once_and_only_their_owner_reads_them(tmp_path):
    first = environment(tmp_path)
    passwords = {first["MQTT__INGEST_PASSWORD"], first["MQTT__DISPATCH_PASSWORD"]}
    assert min(map(len, passwords)) >= 32
    assert len(passwords) == 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert environment(tmp_path) == first


def test_every_device_of_the_demo_is_made_and_known_by_its_token(cast):
    tokens = issue_tokens("t0")
    assert list(tokens) == ["dev-01", "dev-02", "dev-03", "dev-04", "dev-05", "my-sensor"]
    assert all(authenticate(uid, token, uid) for uid, token in tokens.items())


def test_tokens_of_the_last_start_are_good_for_nothing(cast):
    last, now = issue_tokens("t0"), issue_tokens("t0")
    assert not any(authenticate(uid, token) for uid, token in last.items())
    assert all(authenticate(uid, token) for uid, token in now.items())
    assert Device.objects.filter(device_uid__in=now).count() == 6


@pytest.mark.parametrize("change", ["deleted", "moved"])
def test_a_device_that_is_not_ours_any_more_is_not_let_in(cast, change):
    if change == "deleted":
        Device.objects.filter(pk=cast.device.pk).retire()
    else:
        Device.objects.filter(pk=cast.device.pk).update(tenant=cast.other)
    tokens = issue_tokens("t0")
    assert {*tokens} == {*SIMULATED, BY_HAND}
    assert authenticate("dev-01", tokens["dev-01"]) is None
    assert not Credential.objects.filter(device=cast.device).exists()


def test_a_file_with_tokens_is_for_its_owner_and_gone_afterwards(tmp_path):
    with handed_over({"dev-01": "5ec0"}, tmp_path) as name:
        file = Path(name)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text()) == {"dev-01": "5ec0"}
    assert not list(tmp_path.iterdir())
