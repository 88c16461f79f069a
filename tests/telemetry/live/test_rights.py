"""Who may open a stream, how many there may be, and what ends one."""

import socket
from datetime import timedelta

import pytest
from rest_framework_simplejwt.tokens import AccessToken

from accounts import roles
from accounts.models import Role, User
from devices.models import Device
from telemetry.live import hub as hubs
from telemetry.live import stream as streams
from telemetry.live.client import SEND_SECONDS, Client
from telemetry.live.ring import Event, Kind, Ring, Subject
from telemetry.live.stream import Following, Stream
from tests import cast as people
from tests.telemetry.live.conftest import Reader, wait_until

EVERYTHING = Following(frozenset([Subject(Kind.DEVICE, 1)]), 1, None)


@pytest.mark.parametrize(
    ("query", "actor", "status", "code"),
    [
        ("", "viewer", 400, "invalid"),
        ("?devices=", "viewer", 400, "invalid"),
        ("?devices=dev-01&more=1", "viewer", 400, "invalid"),
        ("?devices=" + ",".join(f"d{n}" for n in range(101)), "viewer", 400, "invalid"),
        ("?devices=dev-01", None, 401, "not_authenticated"),
        ("?devices=dev-01,foreign-01", "viewer", 404, "not_found"),
        ("?devices=dev-01", "stranger", 404, "not_found"),
    ],
)
def test_what_cannot_be_followed_is_a_problem(cast, query, actor, status, code):
    app = people.api(actor and getattr(cast, actor))
    answer = app.get(f"/live/telemetry{query}", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer["Content-Type"] == "application/problem+json"


def test_nothing_between_holds_a_stream_back(live):
    with Reader(live.at, live.path, live.viewer, **{"Accept-Encoding": "gzip"}) as reader:
        head = reader.answer.headers
        assert head["Content-Type"] == "text/event-stream"
        assert head["Content-Encoding"] == "identity"
        assert head["Cache-Control"] == "no-cache"
        assert head["X-Accel-Buffering"] == "no"
        reader.next("ready")


def test_head_opens_no_stream(live, settings):
    settings.LIVE_STREAMS = 0
    assert people.api(live.viewer).head(live.path).status_code == 200


def test_one_stream_too_many_is_asked_to_come_later(live, quick, reader, settings):
    settings.LIVE_STREAMS = 1
    with Reader(live.at, live.path, live.viewer) as second:
        assert second.answer.status == 503
        assert int(second.answer.headers["Retry-After"]) > 0
    reader.close()

    def is_let_in():
        with Reader(live.at, live.path, live.viewer) as third:
            return third.answer.status == 200

    wait_until(is_let_in)


def test_no_person_and_no_tenant_takes_the_streams_of_others(live, reader, settings, monkeypatch):
    settings.LIVE_STREAMS = 4
    monkeypatch.setattr(hubs, "LEAST_SHARE", 1)
    foreign = Reader(live.at, "/live/commands", live.stranger)
    with Reader(live.at, live.path, live.viewer) as second, foreign:
        assert (second.answer.status, foreign.answer.status) == (429, 200)
        assert int(second.answer.headers["Retry-After"]) > 0
        assert "as one person may: 1." in second.answer.read().decode()
        admin = Reader(live.at, live.path, live.admin)
        operator = Reader(live.at, live.path, live.operator)
        staff = Reader(live.at, live.path, live.staff)
        with admin, operator, staff:
            answers = [each.answer.status for each in (admin, operator, staff)]
            assert answers == [200, 429, 200]


@pytest.fixture
def somebody(live):
    """A viewer of the test's own."""
    number = User.objects.count()
    return people.user(f"somebody-{number}@t0.example", live.t0)


def switch_off(user, device):
    User.objects.filter(pk=user.pk).update(is_active=False)


def change_password(user, device):
    User.objects.filter(pk=user.pk).update(password="another")


def move(user, device):
    User.objects.filter(pk=user.pk).update(tenant=people.Tenant.objects.get(slug="other"))


def delete(user, device):
    Device.objects.filter(pk=device.pk).retire()


@pytest.mark.parametrize(
    ("happens", "path", "reason"),
    [
        (switch_off, "/live/commands", "user_inactive"),
        (change_password, "/live/commands", "password_changed"),
        (move, "/live/commands", "moved"),
        (move, "", "not_found"),
        (delete, "", "not_found"),
    ],
)
def test_a_stream_is_closed_when_the_right_to_it_ends(live, somebody, quick, happens, path, reason):
    with Reader(live.at, path or live.path, somebody) as reader:
        reader.next("ready")
        happens(somebody, live.device)
        assert reader.next("closed").data == {"reason": reason}
        assert reader.rest() == []


def test_a_stream_is_closed_when_the_role_is_not_enough_any_more(live, quick, monkeypatch):
    with Reader(live.at, live.path, live.viewer) as reader:
        reader.next("ready")
        monkeypatch.setitem(roles.LEAST_ROLE, "telemetry.view_telemetry", Role.ADMIN)
        assert reader.next("closed").data == {"reason": "permission_denied"}


def test_a_stream_is_closed_when_its_token_runs_out(live, quick):
    token = AccessToken.for_user(live.viewer)
    token.set_exp(lifetime=timedelta(seconds=1))
    with Reader(live.at, live.path, Authorization=f"Bearer {token}") as reader:
        reader.next("ready")
        assert reader.next("closed").data == {"reason": "token_not_valid"}


def test_a_stream_of_the_console_is_closed_when_its_person_logs_out(live, somebody, quick):
    browser = people.console(somebody)
    cookie = f"sessionid={browser.cookies['sessionid'].value}"
    with Reader(live.at, live.path, Cookie=cookie) as reader:
        reader.next("ready")
        browser.logout()
        assert reader.next("closed").data == {"reason": "not_authenticated"}


def stream(has_gone=lambda: False):
    made = Stream(EVERYTHING, lambda: "", has_gone, lambda stream: None)
    made.begin("a-0", "a-0", [])
    return made


def sent(ring, data="{}"):
    return [ring.add(Event("telemetry", data, EVERYTHING.subjects))]


def test_who_does_not_read_is_cut_off(monkeypatch):
    monkeypatch.setattr(streams, "MOST_WAITING", 100)
    slow, ring = stream(), Ring("a", 300, 1_000)
    slow.offer(sent(ring, "x" * 40), "a-1")
    slow.offer(sent(ring, "x" * 40), "a-2")
    assert list(slow) == []


def test_who_missed_more_than_may_wait_for_one_loads_anew(monkeypatch):
    monkeypatch.setattr(streams, "MOST_WAITING", 100)
    made, ring = stream(), Ring("a", 300, 1_000)
    made.begin("a-0", "a-2", [*sent(ring, "x" * 40), *sent(ring, "x" * 40)])
    assert b"event: reset" in next(iter(made))


def test_a_client_that_takes_nothing_gives_its_thread_back():
    with socket.socket() as connection:
        Client(connection)
        assert connection.gettimeout() == SEND_SECONDS
        option = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert option > SEND_SECONDS * 1_000


def test_a_client_that_has_gone_gives_its_thread_back():
    ours, theirs = socket.socketpair()
    with ours:
        client = Client(ours)
        made = iter(stream(has_gone=client.has_gone))
        theirs.send(b"more, while it is there")
        assert next(made)
        theirs.close()
        assert list(made) == []


def test_of_another_server_nobody_knows_who_has_gone():
    assert not Client(None).has_gone()
