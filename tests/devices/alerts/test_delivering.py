"""Notices on their way: signed, to the right host, in time, again if need be."""

import asyncio
import json
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core import mail
from django.db import ProgrammingError, close_old_connections
from django.utils import timezone
from standardwebhooks import Webhook

from devices.alerts import alarm, outbox, rules, webhook
from devices.alerts.delivering import deliver, in_a_line, place_in_log
from devices.daemon.writer import Writer
from devices.models import AlertNotice, AlertRule
from tests import cast as people
from tests.devices.alerts import servers
from tests.devices.alerts.fleet import SECRET, ago, listening, look, rule, state


@pytest.fixture
def cast(cast, settings):
    settings.WEBHOOK_ALLOW_PRIVATE = settings.DEBUG = True
    settings.EMAIL = {"EMAIL_HOST": "mail.example.com"}
    listening()
    return cast


def notice(cast: SimpleNamespace, minutes: float = 11, **fields) -> AlertNotice:
    """The notice of a device that is silent, to one address."""
    state(cast.device, session="online", data_at=minutes)
    mine = rule(cast.t0, **{"emails": [], **fields})
    look()
    return mine.notices.get()


def send() -> list[str]:
    """What was said of each notice that was due."""
    sent = [deliver(claim) for claim in outbox.claim(10)]
    outbox.settle(sent)
    return [each.error for each in sent]


def ill(error: Exception) -> None:
    raise error


def due_again() -> None:
    AlertNotice.objects.update(next_at=ago(0))


def test_a_webhook_is_as_the_specification_has_it(cast, settings):
    settings.PUBLIC_URL = "https://iot.example.com/"
    with servers.web(servers.status(204)) as server:
        mine = notice(cast, webhook_url=server.url + "?room=1")
        assert send() == [""]
    ((path, headers, body),) = server.requests
    said = Webhook(SECRET).verify(body, headers)
    assert path == "/hook?room=1"
    assert headers["webhook-id"] == str(mine.pk)
    assert (said["type"], said["timestamp"]) == ("alert.raised", mine.at.isoformat())
    assert said["data"]["devices"][0]["device_uid"] == "dev-01"
    assert said["data"]["link"].startswith("https://iot.example.com/admin/devices/alert/?rule")
    mine.refresh_from_db()
    assert mine.delivered_at


def test_after_a_new_secret_both_sign_for_a_day(cast):
    with servers.web(servers.status(200)) as server:
        mine = notice(cast, webhook_url=server.url)
        secret = rules.renew_secret(mine.rule)
        assert send() == [""]
    _, headers, body = server.requests[0]
    for each in (SECRET, secret):
        Webhook(each).verify(body, headers)
    mine.rule.former_until = ago(1)
    assert mine.rule.signing_secrets() == [secret]


def test_what_is_not_taken_is_sent_again_with_the_same_id(cast):
    with servers.web(servers.status(500)) as server:
        notice(cast, webhook_url=server.url)
        assert [send(), send()] == [["It answered 500."], []]
        due_again()
        server.answer = servers.status(200)
        assert send() == [""]
    ids = {headers["webhook-id"] for _, headers, _ in server.requests}
    assert (len(server.requests), len(ids)) == (2, 1)


def test_the_pauses_grow_from_a_minute_to_an_hour():
    assert [outbox.pause_after(n) for n in (1, 2, 3, 7, 40)] == [60, 120, 240, 3600, 3600]


@pytest.mark.parametrize(
    ("code", "hours", "is_given_up"), [(500, 23, False), (500, 25, True), (410, 0, True)]
)
def test_a_notice_is_given_up_after_a_day_or_when_it_is_not_wanted(cast, code, hours, is_given_up):
    with servers.web(servers.status(code)) as server:
        mine = notice(cast, webhook_url=server.url)
        AlertNotice.objects.update(at=timezone.now() - timedelta(hours=hours))
        send()
    mine.refresh_from_db()
    assert bool(mine.failed_at) == is_given_up
    assert mine.error == f"It answered {code}."


def test_a_redirect_is_not_followed(cast):
    with servers.web(servers.status(200)) as inside:
        with servers.web(servers.status(302, Location=inside.url)) as server:
            notice(cast, webhook_url=server.url)
            assert "redirects are not followed" in send()[0]
        assert inside.requests == []


def test_a_host_is_looked_up_once_and_what_was_checked_is_what_is_called(cast, monkeypatch):
    with servers.web(servers.status(200)) as server:
        url = server.url.replace("127.0.0.1", "hooks.example.com")
        asked = servers.resolving(monkeypatch, ["127.0.0.1"], ["192.0.2.1"])
        notice(cast, webhook_url=url)
        assert send() == [""]
    assert asked == ["hooks.example.com"]
    host = server.requests[0][1]["Host"]
    assert host == f"hooks.example.com:{server.server_port}"


def test_a_private_address_is_never_called(cast, monkeypatch, settings):
    settings.WEBHOOK_ALLOW_PRIVATE = False
    with servers.web(servers.status(200)) as server:
        servers.resolving(monkeypatch, ["127.0.0.1"])
        notice(cast, webhook_url=server.url.replace("127.0.0.1", "hooks.example.com"))
        said = "hooks.example.com is not in the public internet, but at 127.0.0.1."
        assert send() == [said]
    assert server.requests == []


def test_a_server_that_speaks_slowly_is_cut_off(cast, monkeypatch):
    monkeypatch.setattr(webhook, "SECONDS", 0.4)

    def drip(handler):
        for _ in range(20):
            handler.wfile.write(b"x")
            time.sleep(0.1)

    with servers.web(drip) as server:
        notice(cast, webhook_url=server.url)
        began = time.monotonic()
        assert send() == ["No answer within 0 seconds."]
    assert time.monotonic() - began < 2


def test_nothing_of_what_else_answers_there_is_kept(cast):
    def banner(handler):
        handler.wfile.write(b"220 inside.example \x00\x1b[31m\r\n\r\n")

    with servers.web(banner) as server:
        mine = notice(cast, webhook_url=server.url)
        assert send() == ["What answers there does not speak HTTP."]
    mine.refresh_from_db()
    assert mine.error


def test_an_error_is_one_line_that_rows_and_logs_can_have():
    assert in_a_line("a\x00b\x1b[31m\nc\ud800" + "d" * 500) == ("a b [31m c " + "d" * 289)


def test_a_log_has_no_secret_of_an_address(cast):
    notice(cast, webhook_url="https://hooks.example.com/services/secret")
    (claim,) = outbox.claim(1)
    assert place_in_log(claim) == "webhook at hooks.example.com"


def test_no_tenant_has_all_hands(cast):
    addresses = [f"{n}@t0.example" for n in range(5)]
    notice_of = {"emails": addresses}
    state(cast.device, session="online", data_at=11)
    state(cast.foreign, session="online", data_at=11)
    rule(cast.t0, **notice_of)
    look()
    rule(cast.other, **notice_of)
    look()
    claims = outbox.claim(8)
    assert sorted(each.tenant_id for each in claims) == sorted([cast.t0.pk, cast.other.pk] * 2)
    assert outbox.claim(8, [cast.t0.pk, cast.t0.pk, cast.other.pk])[0].tenant_id == cast.other.pk


def test_an_address_that_is_there_twice_gets_one(cast):
    mine = rule(cast.t0, emails=["Night@t0.example", "night@t0.example", "day@t0.example"])
    assert mine.emails == ["Night@t0.example", "day@t0.example"]


def test_who_saves_a_rule_puts_back_nothing_that_changed_meanwhile(cast):
    mine = rule(cast.t0, webhook_url="https://hooks.example.com/")
    read_before = AlertRule.objects.get(pk=mine.pk)
    secret = rules.renew_secret(mine)
    read_before.name = "Fans"
    rules.save(read_before, ["name"])
    mine.refresh_from_db()
    assert (mine.name, mine.webhook_secret) == ("Fans", secret)


def test_tests_are_few(cast, monkeypatch):
    mine, other = rule(cast.t0), rule(cast.t0)
    rules.test(mine)
    with pytest.raises(rules.TooManyTests, match="a moment ago"):
        rules.test(mine)
    monkeypatch.setattr(rules, "TESTS_A_DAY", 1)
    with pytest.raises(rules.TooManyTests, match="within a day"):
        rules.test(other)
    AlertNotice.objects.update(at=ago(25 * 60))
    assert len(rules.test(other)) == 1


def test_a_certificate_has_to_be_the_hosts(cast):
    with servers.web(servers.status(200)) as server:
        notice(cast, webhook_url=server.url.replace("http:", "https:"))
        assert send()[0].startswith("It cannot be reached: ")
    assert server.requests == []


def test_who_died_between_claim_and_call_is_followed_by_somebody_else(cast):
    with servers.web(servers.status(200)) as server:
        mine = notice(cast, webhook_url=server.url)
        (dead,) = outbox.claim(10)
        assert send() == []
        due_again()
        assert send() == [""]
        # Whoever was only slow has nothing to say any more.
        outbox.settle([outbox.Sent(dead, "It took too long.")])
    mine.refresh_from_db()
    assert (mine.delivered_at is not None, mine.error, mine.attempts) == (True, "", 2)


def test_an_email_says_what_holds_in_one_line_and_then_which(cast):
    people.device("pump-2", cast.t0, session="offline", since=ago(90), data_at=ago(1))
    mine = rule(cast.t0, name="Pumps", emails=["night@t0.example", "day@t0.example"])
    state(cast.device, session="online", data_at=61)
    look()
    assert send() == ["", ""]
    letter = mail.outbox[0]
    assert letter.subject == "2 devices silent or offline: Pumps"
    assert letter.to in (["night@t0.example"], ["day@t0.example"])
    assert "- dev-01 (Device dev-01): silent since 20" in letter.body
    assert "http" not in letter.body
    AlertNotice.objects.all().delete()
    for each in mine.alerts.all():
        state(each.device, session="online", last_seen_at=0, data_at=0, since=0)
    look()
    send()
    assert mail.outbox[-1].subject == "2 devices back: Pumps"
    assert "was silent for 1:01:" in mail.outbox[-1].body


def test_no_name_breaks_a_header(cast):
    notice(cast, name="Pumps\r\nBcc: all@t0.example", emails=["night@t0.example"])
    assert send() == [""]
    assert mail.outbox[0].subject == "1 device silent: Pumps Bcc: all@t0.example"
    assert mail.outbox[0].recipients() == ["night@t0.example"]


def test_without_a_mail_server_the_notice_says_what_to_set(cast, settings):
    settings.EMAIL = {}
    notice(cast, emails=["night@t0.example"])
    assert send() == ["No e-mail server is configured: set EMAIL_URL."]


def test_a_mail_server_takes_it_or_refuses_an_address(cast, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with servers.mail() as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        state(cast.device, session="online", data_at=11)
        mine = rule(cast.t0, emails=["night@t0.example", "nobody@t0.example"])
        look()
        assert sorted(send()) == ["", "The e-mail server did not take it: 550 unknown"]
    assert "Subject: 1 device silent: Pumps" in server.letters[0]
    assert f"<{mine.notices.get(target__startswith='night').pk}@" in server.letters[0]
    assert mine.notices.get(target__startswith="nobody").failed_at
    due_again()
    assert send() == []


def test_a_new_address_gets_what_waits_and_a_former_one_does_not(cast):
    mine = notice(cast, webhook_url="https://wrong.example.com/")
    mine.rule.webhook_url = "https://right.example.com/"
    rules.save(mine.rule, ["webhook_url"])
    mine.refresh_from_db()
    assert mine.target == "https://right.example.com/"
    mine.rule.webhook_url = ""
    rules.save(mine.rule, ["webhook_url"])
    mine.refresh_from_db()
    assert mine.error == "The address was taken out of the rule."


@pytest.mark.django_db(transaction=True)
def test_of_two_alarms_each_notice_is_sent_by_one(transactional_db, settings, monkeypatch):
    settings.WEBHOOK_ALLOW_PRIVATE = settings.DEBUG = True
    cast = people.cast()
    listening()
    state(cast.device, session="online", data_at=11)
    writers = [Writer() for _ in range(4)]
    # What goes wrong once ends nothing.
    claim, faults = outbox.claim, [ProgrammingError()]
    monkeypatch.setattr(outbox, "claim", lambda *of: ill(faults.pop()) if faults else claim(*of))
    monkeypatch.setattr(alarm, "LOOK_SECONDS", 0.1)

    async def work() -> None:
        alarms = [alarm.Alarm(*writers[:2]), alarm.Alarm(*writers[2:])]
        running = [asyncio.create_task(each.run()) for each in alarms]
        await asyncio.to_thread(server.asked.wait, 10)
        for each in alarms:
            each.stop()
        await asyncio.wait_for(asyncio.gather(*running), 5)

    with servers.web(servers.status(200)) as server:
        mine = rule(cast.t0, emails=[], webhook_url=server.url)
        asyncio.run(asyncio.wait_for(work(), 20))
    for each in writers:
        each.close()
    close_old_connections()
    assert [json.loads(body)["type"] for _, _, body in server.requests] == ["alert.raised"]
    assert not faults
    assert mine.alerts.count() == 1
    assert mine.notices.get().delivered_at
