"""EMQX is told by its management API, of which this is a likeness as its documentation has it."""

import asyncio
import json
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from devices.brokers.changes import LEASE_SECONDS, Change, Told
from devices.brokers.emqx import management
from devices.brokers.emqx.management import Client, EmqxError, live_clients, tell
from tests.servers import free_port

KEY, SECRET = "platform", "s3cret:with a colon"
ACCOUNT = b64encode(f"{KEY}:{SECRET}".encode()).decode()


class Emqx(BaseHTTPRequestHandler):
    """Clients by id; `says` is a status or a body by client id, `delay` how long it thinks.

    About who is `stuck` it never says a thing.
    """

    sessions: dict[str, str]
    says: dict[str, Any]
    delay: float
    stuck: dict[str, threading.Event]
    asked: list[str]

    def do_DELETE(self) -> None:
        self.asked.append(self.path)
        time.sleep(self.delay)
        client_id = self.path.removeprefix("/api/v5/clients/")
        if client_id in self.stuck:
            self.stuck[client_id].wait(10)
            return
        known = self.sessions.pop(client_id, None)
        self.answer(self.says.get(client_id, 204 if known else 404))

    def do_GET(self) -> None:
        query = {name: value[0] for name, value in parse_qs(urlsplit(self.path).query).items()}
        self.asked.append(self.path)
        limit, page = int(query["limit"]), int(query["page"])
        names = sorted(self.sessions)[limit * (page - 1) :]
        rows = [{"clientid": name, "username": self.sessions[name]} for name in names[:limit]]
        meta = {"page": page, "limit": limit, "hasnext": len(names) > limit}
        self.answer(200, self.says.get("list", {"data": rows, "meta": meta}))

    def answer(self, status: int, body: Any = None) -> None:
        if self.headers["Authorization"] != f"Basic {ACCOUNT}":
            status, body = 401, {"code": "BAD_API_KEY_OR_SECRET", "message": "Check api_key"}
        data = b"" if status == 204 else json.dumps(body or {"code": "SOMETHING"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Emqx) as made:
        threading.Thread(target=made.serve_forever, args=[0.01], daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def broker(server: ThreadingHTTPServer, emqx: Any) -> type[Emqx]:
    emqx.EMQX_API_URL = f"http://127.0.0.1:{server.server_port}/api/v5/"
    emqx.EMQX_API_KEY, emqx.EMQX_API_SECRET = KEY, SECRET
    Emqx.sessions = {"dev-01": "dev-01", "dev-02": "dev-02"}
    Emqx.says, Emqx.delay, Emqx.stuck, Emqx.asked = {}, 0, {}, []
    return Emqx


def change(uid: str, version: int = 1, **fields: Any) -> Change:
    made = Change(uid, "", version, 0, None, is_admitted=False, is_gone=False, names=[])
    return made._replace(**fields)


def told(*changes: Change) -> Sequence[Told]:
    return asyncio.run(tell(changes))


def test_a_device_is_put_off_and_again_seconds_later_and_then_it_is_done(broker):
    revoked = change("dev-01")
    assert told(revoked) == [Told(revoked, again=5.0)]
    assert broker.sessions == {"dev-02": "dev-02"}
    later = revoked._replace(attempts=1)
    assert told(later) == [Told(later)]
    assert broker.asked == ["/api/v5/clients/dev-01"] * 2


def test_what_changed_once_more_meanwhile_begins_anew(broker):
    told(change("dev-01"))
    newer = change("dev-01", version=2)
    assert told(newer) == [Told(newer, again=5.0)]
    assert told(newer) == [Told(newer)]


def test_a_first_time_that_failed_does_not_count(broker):
    broker.says["dev-01"] = 500
    assert told(change("dev-01"))[0].error
    broker.says.clear()
    retried = change("dev-01", attempts=1)
    assert told(retried)[0].again == 5.0
    assert told(retried) == [Told(retried)]


def test_who_is_not_there_is_off_already(broker):
    assert told(change("nobody-01"))[0].error == ""


def test_a_name_is_one_part_of_the_address(broker):
    told(change("a:b"), change("../banned"), change("ä b?c#d"))
    names = {"a%3Ab", "..%2Fbanned", "%C3%A4%20b%3Fc%23d"}
    assert set(broker.asked) == {f"/api/v5/clients/{name}" for name in names}


def test_what_fails_for_one_device_does_not_hold_up_the_others(broker):
    broker.says["dev-01"] = 503
    bad, good = told(change("dev-01"), change("dev-02"))
    assert bad.error.startswith("EMQX said 503 Service Unavailable to DELETE /clients/dev-01")
    assert good == Told(change("dev-02"), again=5.0)
    assert broker.sessions == {}


def test_a_key_that_emqx_does_not_know_ends_the_round_and_says_where_to_look(broker, emqx):
    emqx.EMQX_API_SECRET = "wrong"
    every = told(*(change(f"dev-{number}") for number in range(100)))
    assert {each.error for each in every} == {management.NOT_KNOWN.format(status=401)}
    assert "wrong" not in every[0].error
    assert len(broker.asked) <= management.AT_A_TIME


def test_an_emqx_that_is_away_ends_the_round_and_says_where_it_was_looked_for(emqx):
    emqx.EMQX_API_URL = f"http://127.0.0.1:{free_port()}/api/v5"
    every = told(change("dev-01"), change("dev-02"))
    assert all("Connection refused" in each.error for each in every)
    assert all("EMQX__API_URL" in each.error for each in every)


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://[", "ftp://b", "http://b\n:1/"])
def test_an_address_that_is_none_is_an_error_like_any_other(emqx, url):
    emqx.EMQX_API_URL = url
    assert "EMQX__API_URL" in told(change("dev-01"))[0].error


def test_one_that_does_not_answer_is_not_waited_for(broker, monkeypatch):
    monkeypatch.setattr(management, "TIMEOUT_SECONDS", 0.02)
    broker.delay = 0.08
    assert "timed out" in told(change("dev-01"))[0].error


def test_one_device_that_is_slow_to_go_does_not_hold_up_the_others(broker, monkeypatch):
    monkeypatch.setattr(management, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(management, "AT_A_TIME", 1)
    broker.stuck["dev-01"] = threading.Event()
    slow, good = told(change("dev-01"), change("dev-02"))
    broker.stuck["dev-01"].set()
    assert slow.error == management.SILENT.format(
        method="DELETE", path="/clients/dev-01", why="timed out"
    )
    assert good == Told(change("dev-02"), again=5.0)


def test_one_that_hangs_up_is_asked_about_the_others(broker):
    broker.stuck["dev-01"] = threading.Event()
    broker.stuck["dev-01"].set()
    cut, good = told(change("dev-01"), change("dev-02"))
    assert "Remote end closed connection" in cut.error
    assert good.again == 5.0


def test_emqx_gives_up_waiting_for_a_client_before_it_is_given_up():
    assert management.TIMEOUT_SECONDS > 5
    assert management.ROUND_SECONDS + 2 * management.TIMEOUT_SECONDS < LEASE_SECONDS


def test_one_that_is_slow_is_told_the_rest_in_another_round(broker, monkeypatch):
    monkeypatch.setattr(management, "ROUND_SECONDS", 0.03)
    broker.delay = 0.05
    every = told(*(change(f"dev-{number}") for number in range(40)))
    assert every[-1].error == management.LATER
    assert every[0].again == 5.0


def test_no_more_are_told_at_a_time_than_are_allowed(broker, monkeypatch):
    here = SimpleNamespace(now=0, most=0)

    def kick(_: str) -> None:
        here.now += 1
        here.most = max(here.most, here.now)
        time.sleep(0.002)
        here.now -= 1

    monkeypatch.setattr(management, "kick", kick)
    told(*(change(f"dev-{number}") for number in range(40)))
    assert 1 < here.most <= management.AT_A_TIME


def test_a_proxy_for_the_world_is_not_asked_for_a_neighbour(broker, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert told(change("dev-01"))[0].error == ""


def test_everybody_with_a_session_is_listed_page_by_page(broker, monkeypatch):
    monkeypatch.setattr(management, "PAGE", 2)
    broker.sessions = {name: f"user of {name}" for name in "abcde"}
    assert list(live_clients()) == [Client(name, f"user of {name}") for name in "abcde"]
    assert len(broker.asked) == 3


@pytest.mark.parametrize("said", [{}, [], "?", {"data": [{}], "meta": {}}, {"data": 1, "meta": {}}])
def test_a_list_that_is_none_is_not_taken_for_an_empty_one(broker, said):
    broker.says["list"] = said or {"data": None, "meta": {}}
    with pytest.raises(EmqxError, match="EMQX__API_URL"):
        list(live_clients())


def test_a_list_that_is_refused_is_an_error(broker, emqx):
    emqx.EMQX_API_KEY = "other"
    with pytest.raises(EmqxError, match="bootstrap_file"):
        list(live_clients())
