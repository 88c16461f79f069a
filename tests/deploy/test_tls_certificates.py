"""The script that makes certificates: what they are good for, and what it does not overwrite."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.deploy.tls import Certificates
from tests.iotplatform.processes import ROOT

NAMES = "iot.example.com", "192.0.2.7", "2001:db8::7"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    certificates.make(*NAMES)
    return certificates


def openssl(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def contents(*directories: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for path in directories for each in path.iterdir()}


@pytest.mark.parametrize(
    ("option", "name", "is_vouched_for"),
    [
        ("-verify_hostname", "iot.example.com", True),
        ("-verify_ip", "192.0.2.7", True),
        ("-verify_ip", "2001:db8::7", True),
        ("-verify_hostname", "other.example.com", False),
    ],
)
def test_the_certificate_is_good_for_what_it_was_asked_for(made, option, name, is_vouched_for):
    command = "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", made.ca, option, name
    verified = openssl(*command, made.server / "fullchain.pem")
    assert (verified.returncode == 0) == is_vouched_for, verified.stderr


@pytest.mark.parametrize(("days", "is_over"), [(396, 0), (398, 1)])
def test_browsers_take_it_and_it_ends_after_thirteen_months(made, days, is_over):
    ends = "-checkend", str(days * 86400)
    certificate = made.server / "fullchain.pem"
    assert openssl("x509", "-noout", "-in", certificate, *ends).returncode == is_over


def test_keys_are_for_their_owner_and_the_rest_is_for_the_proxy(made):
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in made.server.iterdir()}
    others = dict.fromkeys(["fullchain.pem", "ca.pem", "names"], 0o644)
    assert modes == {"privkey.pem": 0o600} | others
    assert stat.S_IMODE(made.authority.stat().st_mode) == 0o700
    assert not (made.server / "ca-key.pem").exists()


def test_nothing_is_made_anew_before_its_time_and_it_is_said_what_devices_get(made):
    before = contents(made.server, made.authority)
    for again in (made.make(), made.make(*NAMES)):
        assert "nothing was changed" in again.stdout
        assert "For devices:  certs/ca.pem" in again.stdout
    assert contents(made.server, made.authority) == before


@pytest.mark.parametrize("arguments", [("--renew",), ("other.example.com",)])
def test_a_new_certificate_is_of_the_same_authority(tmp_path, arguments):
    made = Certificates(tmp_path)
    made.make(*NAMES)
    authority, before = contents(made.authority), contents(made.server)
    assert "A new certificate" in made.make(*arguments).stdout
    assert contents(made.authority) == authority
    after = contents(made.server)
    assert after["ca.pem"] == before["ca.pem"]
    assert after["privkey.pem"] != before["privkey.pem"]
    assert openssl("verify", "-CAfile", made.ca, made.server / "fullchain.pem").returncode == 0


@pytest.mark.parametrize("lost", [["ca-key.pem"], ["ca.pem"], ["ca.pem", "ca-key.pem"]])
def test_an_authority_that_is_kept_elsewhere_is_asked_for_when_it_is_needed(tmp_path, lost):
    made = Certificates(tmp_path)
    made.make("iot.example.com")
    (tmp_path / "elsewhere").mkdir()
    for each in lost:
        (made.authority / each).rename(tmp_path / "elsewhere" / each)
    before = contents(made.server, made.authority)
    assert "nothing was changed" in made.make().stdout
    refused = made.make("--renew")
    assert refused.returncode == 1
    assert "bring ca.pem and ca-key.pem back to authority" in refused.stdout
    assert contents(made.server, made.authority) == before


def test_a_key_that_is_of_another_certificate_is_no_pair(tmp_path, made):
    ours = Certificates(tmp_path)
    ours.make("iot.example.com")
    (ours.server / "privkey.pem").write_bytes((made.server / "privkey.pem").read_bytes())
    assert "A new certificate" in ours.make().stdout


def test_names_are_made_such_as_match(tmp_path):
    made = Certificates(tmp_path)
    long = f"{'a' * 50}.{'b' * 50}.example"
    assert "For:          DNS:iot.example.com, DNS:" in made.make("IoT.Example.com.", long).stdout
    name = "-CAfile", made.ca, "-verify_hostname", long
    assert openssl("verify", *name, made.server / "fullchain.pem").returncode == 0


def test_a_certificate_of_somebody_else_is_not_overwritten(tmp_path, made):
    ours = Certificates(tmp_path)
    ours.make("iot.example.com")
    theirs = (made.server / "fullchain.pem").read_bytes()
    (ours.server / "fullchain.pem").write_bytes(theirs)
    refused = ours.make("--renew")
    assert refused.returncode == 1
    assert "Move it away first" in refused.stdout
    assert contents(ours.server)["fullchain.pem"] == theirs


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "For which names?"),
        (("two words",), "“two words” is no name and no address"),
        (("192.0.2.777",), "bad ip address"),
    ],
)
def test_what_is_no_name_makes_no_certificate(tmp_path, arguments, said):
    made = Certificates(tmp_path)
    refused = made.make(*arguments)
    assert refused.returncode == 1
    assert said in refused.stdout
    assert not (made.server / "fullchain.pem").exists()


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("proxy", ("nginx.conf", "."), "Make one: sh deploy/certificates/make.sh NAME"),
        ("mosquitto", (), "made by “manage.py sync_broker --file”"),
    ],
)
def test_a_server_without_its_files_does_not_start_and_says_how_to_make_them(
    tmp_path, script, arguments, said
):
    started = subprocess.run(
        ["sh", str(ROOT / "deploy" / script / "start.sh"), *arguments],
        cwd=tmp_path, env={**os.environ, "DATA": str(tmp_path)}, capture_output=True, text=True,
        timeout=10, check=False,
    )  # fmt: skip
    assert started.returncode == 1
    assert said in started.stderr
