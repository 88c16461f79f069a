"""The MQTT broker rumqttd from the wheel `iotcore`: used when MQTT__HOST is unset.

It speaks MQTT 3.1.1 on one port and MQTT 5 on the next; who speaks the other version to a port is
dropped without a word. Sessions, queues and retained messages live in memory and end with it.
"""

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iotplatform.embedded.errors import EmbeddedServerError
from iotplatform.ports import answers, require_free

HOST = "127.0.0.1"
START_SECONDS = 15

# The broker delivers at most 100 messages that are not acknowledged yet, whatever is configured.
# It keeps what it delivered too: `max_segment_count` segments of `max_segment_size` bytes for each
# filter anybody ever subscribed. What a slow client has not fetched by then is lost.
CONFIGURATION = """\
id = 0

[router]
id = 0
max_connections = 10000
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 20

[v4.devices]
name = "mqtt-3.1.1"
listen = "{host}:{port}"
next_connection_delay_ms = 0

[v4.devices.connections]
connection_timeout_ms = 10000
max_payload_size = {max_packet}
max_inflight_count = 100

[v5.platform]
name = "mqtt-5"
listen = "{host}:{platform_port}"
next_connection_delay_ms = 0

[v5.platform.connections]
connection_timeout_ms = 10000
max_payload_size = {max_packet}
max_inflight_count = 100
"""


class Broker:
    """A broker on this machine: MQTT 3.1.1 for devices on `port`, MQTT 5 for the platform after it.

    Its configuration is written into `directory`. A packet above `max_packet` bytes costs its
    sender the connection.
    """

    def __init__(self, directory: Path, port: int, max_packet: int = 1024 * 1024) -> None:
        self.port = port
        self.platform_port = port + 1
        self.max_packet = max_packet
        self.configuration = directory / "broker.toml"
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """The broker answers inside the block and is gone after it, as it is when we are killed."""
        self.require_free_ports()
        self._write_configuration()
        # Its stdin is a pipe that only we hold open: the child ends when that breaks. A session of
        # its own: Ctrl-C in the terminal is for us, and clients may want to say goodbye first.
        with subprocess.Popen(
            [sys.executable, "-m", module(), json.dumps({"config_path": str(self.configuration)})],
            stdin=subprocess.PIPE,
            start_new_session=True,
        ) as self._process:
            try:
                self._wait_until_ready()
                yield
            finally:
                self._process.terminate()

    def require_free_ports(self) -> None:
        """Raises PortTakenError unless the broker could listen on both of its ports."""
        for port in (self.port, self.platform_port):
            require_free(HOST, port, "MQTT__PORT")

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _write_configuration(self) -> None:
        self.configuration.parent.mkdir(parents=True, exist_ok=True)
        self.configuration.write_text(
            CONFIGURATION.format(
                host=HOST,
                port=self.port,
                platform_port=self.platform_port,
                max_packet=self.max_packet,
            )
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not (answers(HOST, self.port) and answers(HOST, self.platform_port)):
            if not self.is_running() or time.monotonic() > deadline:
                raise EmbeddedServerError(
                    "The embedded MQTT broker does not start; see its lines above. MQTT__HOST may "
                    "name a broker of your own."
                )
            time.sleep(0.02)


def module() -> str:
    """The wheel's entry point for a broker that ends when its stdin does."""
    if importlib.util.find_spec("iotcore") is None:
        raise EmbeddedServerError(
            "MQTT__HOST is not set and the embedded broker is not installed. "
            "Set MQTT__HOST, or run “pip install -r requirements-dev.txt”."
        )
    return "iotcore._serve"
