"""The files of `deploy/` as servers of this machine: certificates, nginx, Mosquitto with TLS."""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection

from tests.iotplatform.processes import ROOT
from tests.servers import free_port, plugin, wait_for_port

HOST = "localhost"
SERVERS = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
"""An environment in which Debian's servers are found."""


class Certificates:
    """What the script makes in a directory: an authority, and a certificate of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = directory / "certs"
        self.authority = directory / "authority"
        self.ca = self.server / "ca.pem"

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.directory.mkdir(exist_ok=True)
        return subprocess.run(
            ["sh", str(ROOT / "deploy/certificates/make.sh"), *arguments],
            cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip

    @property
    def serial(self) -> str:
        command = ["openssl", "x509", "-noout", "-serial", "-in", self.server / "fullchain.pem"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return said.strip().removeprefix("serial=")

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)


@contextlib.contextmanager
def running(log: Path, port: int, *command: str, **environment: str) -> Iterator[None]:
    """A server that listens on `port`; it is stopped after the block."""
    with (
        log.open("wb") as said,
        subprocess.Popen(
            command, env={**SERVERS, **environment}, stdout=said, stderr=said,
            stdin=subprocess.DEVNULL, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            wait_for_port(port, process, log)
            yield
        finally:
            # What a script started beside its server as well.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


class Nginx:
    """The proxy of `deploy/proxy`, started as its container does it.

    `web` and `broker` are ports of this machine. What it says is in `log`.
    """

    def __init__(self, directory: Path, certificates: Certificates, **behind: int) -> None:
        self.http, self.https, self.mqtts = free_port(), free_port(), free_port()
        self.directory = directory / "proxy"
        self.log = self.directory / "log"
        self.acme = self.directory / "acme/.well-known/acme-challenge"
        self.address = f"https://{HOST}:{self.https}"
        self._certificates = certificates
        self._web, self._broker = behind.get("web", 1), behind.get("broker", 1)

    @contextlib.contextmanager
    def running(self) -> Iterator["Nginx"]:
        self.acme.mkdir(parents=True)
        config = self.directory / "nginx.conf"
        config.write_text(adapted("deploy/proxy/nginx.conf", self._own()))
        certs = str(self._certificates.server)
        command = "sh", str(ROOT / "deploy/proxy/start.sh"), str(config), certs, "0.1"
        with running(self.log, self.mqtts, *command):
            yield self

    def _own(self) -> dict[str, str]:
        return {
            "user nginx;": "user root;",
            "worker_processes 2;": "worker_processes 1;",
            "worker_connections 5120;": "worker_connections 512;",
            "worker_rlimit_nofile 131072;": "",
            "/tmp/": f"{self.directory}/",
            "/dev/std(err|out)": f"{self.directory}/said",
            " /acme;": f" {self.directory}/acme;",
            "/certs/": f"{self._certificates.server}/",
            "(web|live):8000;": f"127.0.0.1:{self._web};",
            "broker:1883;": f"127.0.0.1:{self._broker};",
            "listen 127.0.0.1:8080;": f"listen 127.0.0.1:{free_port()};",
            "listen 80 ": f"listen {self.http} ",
            "listen 443 ": f"listen {self.https} ",
            "listen 8883 ": f"listen {self.mqtts} ",
        }


@contextlib.contextmanager
def mosquitto(directory: Path, certificates: Certificates, data: Path) -> Iterator[tuple[int, int]]:
    """The broker of the compose profile, and its listener with TLS; the ports of both.

    In `data` lies its file of accounts.
    """
    plain, platform, encrypted = free_port(), free_port(), free_port()
    lines = {
        "^#(listener|certfile|keyfile|tls_version)": r"\1",
        "^listener 8883$": f"listener {encrypted} 127.0.0.1",
        "/etc/mosquitto/certs/": f"{certificates.server}/",
        # As root it would become the user “mosquitto”, who may not read tests' directories.
        "^per_listener_settings": "user root\nper_listener_settings",
    }
    config = directory / "mosquitto.conf"
    config.write_text(adapted("deploy/mosquitto/mosquitto.conf", lines))
    # The two doors of compose.
    listener = rf"{plain} 127.0.0.1\nlistener {platform} 127.0.0.1"
    own = {"PLUGIN": str(plugin()), "LISTENER": listener, "DATA": str(data), "CONFIG": str(config)}
    script = str(ROOT / "deploy/mosquitto/start.sh")
    with running(directory / "mosquitto.log", platform, "sh", script, **own):
        yield plain, encrypted


def adapted(file: str, own: Mapping[str, str]) -> str:
    """A configuration with what is different on this machine, all of which has to be in it."""
    text = (ROOT / file).read_text()
    for pattern, ours in own.items():
        text, count = re.subn(pattern, ours, text, flags=re.MULTILINE)
        assert count, f"{file} has no {pattern}"
    return text


def database_url() -> str:
    """Where other processes find the database of the tests."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return url._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


def serial_at(port: int, trust: ssl.SSLContext) -> str:
    """The number of the certificate that a server shows now."""
    with (
        socket.create_connection((HOST, port)) as plain,
        trust.wrap_socket(plain, server_hostname=HOST) as encrypted,
    ):
        certificate = encrypted.getpeercert()
    assert certificate
    return str(certificate["serialNumber"])


def opener(trust: ssl.SSLContext, *handlers: urllib.request.BaseHandler):
    """Opens addresses as they are: no redirect is followed, no status raises."""
    return urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=trust), NothingFollowed, NothingRaised, *handlers
    )


class NothingFollowed(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class NothingRaised(urllib.request.HTTPErrorProcessor):
    def http_response(self, request, response):
        return response

    https_response = http_response
