"""What is said of the certificates that people and devices see."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from iotplatform.doctor import certificates
from iotplatform.doctor.finding import State
from tests.iotplatform.doctor.test_examination import silent_server
from tests.servers import free_port


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a key and what asks for a certificate for localhost."""
    directory = tmp_path_factory.mktemp("pair")
    openssl(directory, "req -new -newkey rsa:2048 -nodes -subj /CN=x -keyout key -out request")
    (directory / "names").write_text("subjectAltName = DNS:localhost")
    return directory


def openssl(directory: Path, arguments: str) -> None:
    command = ["openssl", *arguments.split()]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)


@contextmanager
def shown(pair: Path, days: int) -> Iterator[int]:
    """The port of a server with a certificate, of no authority, that ends in some days."""
    openssl(pair, f"x509 -req -in request -signkey key -days {days} -extfile names -out cert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair / "cert", pair / "key")

    def serve(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                with suppress(OSError), context.wrap_socket(client, server_side=True) as tls:
                    tls.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("host", "days", "state", "said"),
    [
        ("localhost", 90, State.OK, "good for 90 days"),
        ("localhost", 20, State.WARNING, "good for 20 days"),
        ("localhost", -1, State.PROBLEM, "certificate has expired"),
        ("127.0.0.1", 90, State.PROBLEM, "certificate is not valid for '127.0.0.1'"),
    ],
)
def test_until_when_a_certificate_is_good_is_said_and_whether_it_is_for_the_name(
    pair: Path, host: str, days: int, state: State, said: str
) -> None:
    with shown(pair, days) as port:
        found = certificates.judged(host, port)
    assert found.state == state
    assert said in found.said
    assert f"{host}:{port}" in found.said
    assert bool(found.advice) == (state is not State.OK)


def test_what_cannot_be_seen_from_inside_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "SECONDS", 0.1)
    with silent_server() as silent:
        found = [certificates.judged("localhost", port) for port in (silent, free_port())]
    assert [each.state for each in found] == [State.WARNING] * 2
    assert "timed out" in found[0].said
    assert "refused" in found[1].said
    assert "In a container that may be normal" in found[0].advice


@pytest.mark.parametrize(
    ("site", "devices", "looked_at"),
    [
        ("", "localhost:1883", []),
        ("http://a.example", "b.example:1883", []),
        ("https://a.example", ":8883", [("a.example", 443), ("a.example", 8883)]),
        ("https://a.example:8443/", "[::7]:8883", [("a.example", 8443), ("::7", 8883)]),
    ],
)
def test_where_people_and_devices_come_by_tls_is_looked_at(
    site: str, devices: str, looked_at: list[Any], settings: Any
) -> None:
    settings.PUBLIC_URL, settings.MQTT_DEVICES = site, devices
    assert list(certificates.addresses()) == looked_at
