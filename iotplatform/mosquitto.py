"""Debian's Mosquitto, set up as in `deploy/mosquitto`, for a trial on this machine."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from iotplatform.ports import answers, require_free

HOST = "127.0.0.1"
# Debian keeps it where the PATH of ordinary users does not lead.
PROGRAM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
PLUGIN = "mosquitto_dynamic_security.so"
LIBRARIES = [Path(place) for place in ("/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")]
MISSING = (
    "{what} is not on this machine. On Debian and Ubuntu: apt-get install mosquitto. Without it "
    "there is “make demo”, whose broker asks nobody who they are."
)


class MosquittoMissingError(Exception):
    """There is no Mosquitto here, or not all of it; the message says how to get it."""


class Mosquitto:
    """A Mosquitto with dynamic security on `port` of this machine, for somebody else to run.

    Its data are below `directory`. `template` is a configuration, to which paths and port of this
    machine are given. Raises MosquittoMissingError if it is not installed.
    """

    def __init__(self, directory: Path, port: int, template: Path) -> None:
        self.port = port
        self.accounts = directory / "dynamic-security.json"
        self._directory = directory
        self._template = template
        self._program, self._plugin = program(), plugin()

    def require_free_ports(self) -> None:
        require_free(HOST, self.port, "MQTT__PORT")

    def command(self) -> list[str]:
        """What runs it, once its configuration is written; `accounts` have to be there."""
        self._directory.mkdir(0o700, parents=True, exist_ok=True)
        file = self._directory / "mosquitto.conf"
        file.write_text(adapted(self._template.read_text(), self._own()))
        return [self._program, "-c", str(file)]

    def answers(self) -> bool:
        return answers(HOST, self.port)

    def _own(self) -> dict[str, str]:
        return {
            "listener": f"{self.port} {HOST}",
            "plugin": self._plugin,
            "plugin_opt_config_file": str(self.accounts),
            "persistence_location": f"{self._directory}/",
        }


def adapted(template: str, own: Mapping[str, str]) -> str:
    """The configuration with our `own` values of options, each of which has to be in it once."""
    lines = template.splitlines()
    places = [line.partition(" ")[0] for line in lines]
    for option, value in own.items():
        if places.count(option) != 1:
            raise ValueError(f"There is not one “{option}” in the configuration of Mosquitto.")
        lines[places.index(option)] = f"{option} {value}"
    # Started by root it would become the user “mosquitto”, whom our directory does not belong to.
    return "\n".join(["user root", *lines, ""])


def program() -> str:
    if found := shutil.which("mosquitto", path=PROGRAM_PATH):
        return found
    raise MosquittoMissingError(MISSING.format(what="Mosquitto"))


def plugin() -> str:
    """Where the plugin is that knows of devices; Debian has a folder for each kind of machine."""
    for library in LIBRARIES:
        for found in [library / PLUGIN, *sorted(library.glob(f"*/{PLUGIN}"))]:
            if found.is_file():
                return str(found)
    raise MosquittoMissingError(MISSING.format(what=f"Mosquitto's plugin {PLUGIN}"))
