"""Debian's Mosquitto: found or said to be missing, and its configuration made that of a machine."""

import stat

import pytest
from django.core.management import CommandError, call_command

from iotplatform import mosquitto
from iotplatform.management.commands.demo import TEMPLATE
from iotplatform.mosquitto import PLUGIN, Mosquitto, MosquittoMissingError, adapted, plugin, program
from tests.iotplatform.processes import ROOT


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine with nothing on it."""
    monkeypatch.setattr(mosquitto, "PROGRAM_PATH", str(tmp_path))
    monkeypatch.setattr(mosquitto, "LIBRARIES", [tmp_path])
    return tmp_path


def test_the_program_is_found(bare):
    (bare / "mosquitto").touch(stat.S_IRWXU)
    assert program() == f"{bare}/mosquitto"


@pytest.mark.parametrize("folder", [".", "aarch64-linux-gnu"])
def test_the_plugin_is_found_whatever_the_machine(bare, folder):
    (bare / folder).mkdir(exist_ok=True)
    (bare / folder / PLUGIN).touch()
    assert plugin() == str(bare / folder / PLUGIN)


def test_without_the_plugin_it_is_said_where_it_comes_from(bare):
    with pytest.raises(MosquittoMissingError, match=f"{PLUGIN} is not .* apt-get install mosqu"):
        plugin()


def test_without_mosquitto_the_secure_demo_says_so_and_starts_nothing(bare, settings):
    settings.DEBUG, settings.MQTT_EMBEDDED = True, True
    with pytest.raises(CommandError, match=r"Mosquitto is not on .* apt-get install mosquitto\."):
        call_command("demo", "--secure")


def test_the_secure_demo_does_not_take_the_place_of_a_configured_broker(settings):
    settings.DEBUG, settings.MQTT_EMBEDDED = True, False
    settings.MQTT_HOST = "broker.example.com"
    with pytest.raises(CommandError, match="Leave MQTT__HOST out"):
        call_command("demo", "--secure")


def test_the_configuration_is_that_of_deploy_with_the_paths_of_this_machine(bare):
    (bare / "mosquitto").touch(stat.S_IRWXU)
    (bare / PLUGIN).touch()
    broker = Mosquitto(bare / "data", 1901, ROOT / TEMPLATE)
    assert broker.command() == [f"{bare}/mosquitto", "-c", f"{bare}/data/mosquitto.conf"]
    lines = (bare / "data" / "mosquitto.conf").read_text().splitlines()
    assert {"listener 1901 127.0.0.1", f"plugin {bare}/{PLUGIN}", "user root"} < {*lines}
    assert f"plugin_opt_config_file {broker.accounts}" in lines
    assert not [line for line in lines if "/var/" in line]
    assert stat.S_IMODE((bare / "data").stat().st_mode) == 0o700


def test_a_configuration_gets_the_values_of_this_machine():
    template = "# listener\nlistener 1883\npersistence true\nplugin /a.so"
    own = {"listener": "1901 127.0.0.1", "plugin": "/b.so"}
    expected = "user root\n# listener\nlistener 1901 127.0.0.1\npersistence true\nplugin /b.so\n"
    assert adapted(template, own) == expected


@pytest.mark.parametrize("template", ["", "listener 1\nlistener 2"])
def test_a_configuration_that_is_not_as_expected_is_an_error(template):
    with pytest.raises(ValueError, match="not one “listener”"):
        adapted(template, {"listener": "1901"})
