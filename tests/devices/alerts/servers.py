"""Receivers of notices: a web server and a mail server, each in a thread of its own."""

import contextlib
import http.server
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any

LOOK_UP = socket.getaddrinfo


def resolving(monkeypatch: Any, *answers: list[str]) -> list[str]:
    """Have name servers answer so, one answer a question, the last one for ever; returns what is
    asked."""
    asked: list[str] = []

    def look_up(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        if not host.endswith("example.com"):
            return LOOK_UP(host, port, *args, **options)
        asked.append(host)
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        self.server.asked.set()
        self.server.answer(self)

    do_GET = do_POST

    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def web(answer: Callable[[Any], None]) -> Iterator[Any]:
    """A web server that answers each request by `answer`; it has `requests` and a `url`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.requests, server.answer, server.asked = [], answer, threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}/hook"
        with _serving(server):
            yield server


def status(code: int, **headers: str) -> Callable[[Any], None]:
    def answer(handler: Any) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return answer


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as it takes; who is “nobody@…” is not known here."""

    def handle(self) -> None:
        self._say("220 ready")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self._say("354 go on")
                letter = iter(self.rfile.readline, b".\r\n")
                self.server.letters.append(b"".join(letter).decode())
                self._say("250 taken")
            elif word == b"QUIT":
                return self._say("221 bye")
            else:
                self._say("550 unknown" if b"nobody@" in line and word == b"RCPT" else "250 fine")
        return None

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextlib.contextmanager
def mail() -> Iterator[Any]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.letters, server.port = [], server.server_address[1]
        with _serving(server):
            yield server


@contextlib.contextmanager
def _serving(server: Any) -> Iterator[None]:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
