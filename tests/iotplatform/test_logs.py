"""The log in both of its forms: all of it there, and no secret in it, whatever fails."""

import asyncio
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from logging.config import DictConfigurator
from types import SimpleNamespace
from typing import Any, NamedTuple

import mqtt5
import pytest
from django.db import Error, connection, transaction
from django.test import Client

from devices.alerts import outbox
from devices.alerts.alarm import Alarm
from devices.brokers.emqx import management
from devices.daemon.writer import Writer
from iotplatform import logs
from tests.cast import api
from tests.devices.alerts.fleet import listening, look, rule, state
from tests.devices.mqtt.clients import Peer, ScriptedBroker, new_session, running, until
from tests.iotplatform.processes import manage
from tests.servers import free_port

SECRET = "geheim-4711-xyzzy"
logger = logging.getLogger("tests")


class Logged(NamedTuple):
    """What was logged, in each form."""

    line: StringIO
    json: StringIO

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.json.getvalue().splitlines()]


@pytest.fixture
def logged(settings: Any) -> Iterator[Logged]:
    """Both forms at once, from the lowest level."""
    settings.DEBUG = False
    root, streams = logging.getLogger(), Logged(StringIO(), StringIO())
    handlers = [handler(form, getattr(streams, form)) for form in logs.FORMATS]
    level = root.level
    root.setLevel(logging.DEBUG)
    for each in handlers:
        root.addHandler(each)
    yield streams
    for each in handlers:
        root.removeHandler(each)
    root.setLevel(level)


def handler(form: str, stream: StringIO) -> logging.Handler:
    """As LOGGING has it, but that it writes to `stream`."""
    configured = DictConfigurator(logs.configuration("DEBUG", form))
    formatters = configured.config["formatters"]
    formatters["chosen"] = configured.configure_formatter(formatters["chosen"])
    made: logging.Handler = configured.configure_handler(
        {**configured.config["handlers"]["console"], "stream": stream}
    )
    return made


def test_a_record_is_one_object_with_what_machines_look_for(logged: Logged) -> None:
    logger.warning("%s of %d", "one", 2, extra={"rule": 7, "request": SECRET})
    (found,) = logged.objects
    when = found.pop("timestamp")
    assert when.endswith("Z")
    assert found.pop("pid") > 0
    assert found == {
        "event": "one of 2",
        "level": "warning",
        "logger": "tests",
        "process": logs.program(),
        "rule": 7,
    }
    assert "WARNING tests: one of 2\n" in logged.line.getvalue()


def test_an_error_is_a_list_of_those_that_led_to_it_without_variables(logged: Logged) -> None:
    try:
        fail(SECRET)
    except ValueError:
        logger.exception("Not\ndone.")
    (found,) = logged.objects
    assert [each["exc_type"] for each in found["exception"]] == ["ValueError", "KeyError"]
    assert found["exception"][0]["frames"][-1]["name"] == "fail"
    lines = logged.line.getvalue()
    assert "ValueError: wrong" in lines
    assert SECRET not in lines + logged.json.getvalue()


FORGED = "x\r\n2026-11-27 03:00:00,000 CRITICAL tests: \x1b[31m\u2028All is lost"


def test_no_text_from_outside_passes_for_a_line_or_speaks_to_the_terminal(logged: Logged) -> None:
    logger.info("Xin chào %s", FORGED)
    try:
        raise ValueError(FORGED)
    except ValueError:
        logger.exception("Not done.")
    said = logged.line.getvalue()
    assert not re.search("^2026-11-27 03:00:00", said, re.MULTILINE)
    assert not {each for each in said if not each.isprintable()} - {"\n"}
    assert r"INFO tests: Xin chào x\r\n2026-11-27" in said
    assert logged.objects[0]["event"] == f"Xin chào {FORGED}"


def fail(password: str) -> None:
    try:
        {}[len(password)]
    except KeyError as error:
        raise ValueError("wrong") from error


@pytest.mark.parametrize("odd", [object(), {b"x": 1}, float("nan"), "\udcff\x00", [[]]])
def test_what_json_has_no_word_for_costs_no_line(logged: Logged, odd: Any) -> None:
    logger.info("odd: %r", odd, extra={"counts": odd})
    assert logged.objects[0]["counts"]


def test_a_record_that_cannot_be_said_is_named_and_not_shown(logged: Logged) -> None:
    record = logger.makeRecord("tests", logging.INFO, __file__, 1, "%d", (SECRET,), None)
    for form, stream in zip(logs.FORMATS, logged, strict=True):
        handler(form, stream).handle(record)
        said = stream.getvalue()
        assert "cannot be logged: TypeError" in said
        assert SECRET not in said


def test_which_program_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, name in (
        (["manage.py", "run_ingestor", "--drain"], "run_ingestor"),
        (["/usr/bin/gunicorn", "-c", "x"], "gunicorn"),
        (["/site-packages/gunicorn/__main__.py", "-c", "x"], "gunicorn"),
        (["manage.py"], "manage.py"),
        ([""], ""),
    ):
        monkeypatch.setattr(sys, "argv", arguments)
        assert logs.program() == name


def test_django_neither_sends_e_mails_about_errors_nor_shows_statements() -> None:
    django = logging.getLogger("django")
    assert not django.handlers
    assert logs.configuration("DEBUG", "line")["loggers"]["django"]["level"] == "INFO"
    assert logs.configuration("ERROR", "line")["loggers"]["django"]["level"] == "ERROR"


# What fails, with the secret in hand: each is a function of the cast and of pytest's helpers.


def a_wrong_login(world: SimpleNamespace) -> None:
    answer = api(None).post("/auth/login", {"email": SECRET + "@x.example", "password": SECRET})
    assert answer.status_code == 401


def a_wrong_login_at_the_console(world: SimpleNamespace) -> None:
    Client().post("/admin/login/", {"username": "viewer@t0.example", "password": SECRET})


def a_bad_token(world: SimpleNamespace) -> None:
    client = api(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {SECRET}")
    assert client.get(f"/devices?token={SECRET}").status_code == 401


def an_error_in_a_view(world: SimpleNamespace) -> None:
    def fail(*_: Any, password: str, **__: Any) -> None:
        hashed = password + "!"
        raise RuntimeError(len(hashed))

    world.patch.setattr("accounts.logins.authenticate", fail)
    email = "viewer@t0.example"
    browser = Client(raise_request_exception=False, headers={"Authorization": SECRET})
    for answer in (
        browser.post("/auth/login", {"email": email, "password": SECRET}, "application/json"),
        browser.post("/admin/login/", {"username": email, "password": SECRET}),
    ):
        assert answer.status_code == 500
        assert "RuntimeError" not in answer.content.decode()


def a_webhook_that_fails(world: SimpleNamespace) -> None:
    world.settings.WEBHOOK_ALLOW_PRIVATE = True
    listening()
    state(world.cast.device, session="online", data_at=11)
    url = f"http://user:{SECRET}@127.0.0.1:{free_port()}/{SECRET}?key={SECRET}"
    rule(world.cast.t0, webhook_url=url, emails=[])
    look()
    asyncio.run(told(outbox.claim(1)))


async def told(claims: list[outbox.Claim]) -> None:
    writer = SimpleNamespace(run=lambda _work: asyncio.sleep(0))
    alarm = Alarm(writer, writer)  # type: ignore[arg-type]
    for claim in claims:
        await alarm._deliver(claim)


def a_broker_that_refuses(world: SimpleNamespace) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.accept(reason_code=mqtt5.ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD)
        await peer.until_left()

    async def connect() -> None:
        async with ScriptedBroker(refuse) as broker:
            account = {"username": "ingestor", "password": SECRET}
            session = new_session(broker, **account, back_off=(60, 60))
            async with running(session):
                await until(lambda: session._failures == 1)

    asyncio.run(connect())


def an_api_of_emqx_that_fails(world: SimpleNamespace) -> None:
    world.settings.EMQX_API_URL = f"http://127.0.0.1:{free_port()}/api/v5"
    world.settings.EMQX_API_KEY, world.settings.EMQX_API_SECRET = "key", SECRET
    with suppress(management.EmqxError):
        try:
            management.kick("dev-01")
        except management.EmqxError as error:
            logger.exception("%s", error)
            raise


ROW = (
    "INSERT INTO devices_heartbeat (name, kind, started_at, beat_at, detail)"
    " VALUES (%s, 'nobody', now(), now(), '{}')"
)
VALUE = "SELECT %s::text::integer"
STATEMENT = "SELECT %s FROM nowhere"


def a_batch_that_the_database_refuses(world: SimpleNamespace) -> None:
    """Said, as an argument, as an error, as one of a group, and of a row, a value, a statement."""
    for statement in (ROW, VALUE, STATEMENT):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement, [SECRET])
        except Error as error:
            assert SECRET in str(error)
            logger.exception("Not stored: %s %r", error, error)
            logger.critical("It ends.", exc_info=ExceptionGroup("all", [error, error]))
            logger.info("Not stored: %(error)s", {"error": error})
            logger.info(error)
            if statement != VALUE:
                # As libraries do it. Where the first line has the value, nobody can tell.
                logger.info("Not stored: " + str(error))  # noqa: G003
                logger.critical("It ends.", exc_info=RuntimeError(f"Not stored: {error}"))


def a_batch_that_has_to_wait(world: SimpleNamespace) -> None:
    """What the database said is in a line, not only in a traceback."""

    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                f"DO $$ BEGIN RAISE 'deadlock' USING ERRCODE = '40P01', DETAIL = '{SECRET}'; END $$"
            )

    async def wait() -> None:
        writer = Writer()
        with suppress(TimeoutError):
            await asyncio.wait_for(writer.run(work), 0.1)
        writer.close()

    asyncio.run(wait())


FAILURES: list[Callable[[SimpleNamespace], None]] = [
    a_wrong_login,
    a_wrong_login_at_the_console,
    a_bad_token,
    an_error_in_a_view,
    a_webhook_that_fails,
    a_broker_that_refuses,
    an_api_of_emqx_that_fails,
    a_batch_that_the_database_refuses,
    a_batch_that_has_to_wait,
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: each.__name__)
def test_no_secret_is_logged(
    failure: Callable[[SimpleNamespace], None],
    logged: Logged,
    cast: SimpleNamespace,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    failure(SimpleNamespace(cast=cast, settings=settings, patch=monkeypatch))
    said = logged.line.getvalue() + logged.json.getvalue()
    assert logged.objects
    assert SECRET not in said
    assert settings.SECRET_KEY not in said


@pytest.mark.parametrize("form", logs.FORMATS)
def test_nor_is_it_by_a_process_that_cannot_reach_its_database(form: str) -> None:
    ended = manage(
        "migrate",
        DEBUG="1",
        LOG_FORMAT=form,
        DATABASE_URL=f"postgresql://user:{SECRET}@127.0.0.1:{free_port()}/iot",
    )
    last = "migrate ends by an error."
    assert ended.returncode == 1
    assert last in ended.stdout
    assert SECRET not in ended.stdout
    if form == "json":
        assert json.loads(ended.stdout)["event"] == last
