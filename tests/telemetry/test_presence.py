"""Who comes back gets what waits: sessions begin, end, and turn out to be other than was said."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from devices import state
from devices.commands import outbox
from devices.commands.outbox import Outcome, Result
from devices.commands.sending import Order, send
from devices.models import Command, Device, DeviceQueue, DeviceState
from devices.state import EVIDENT
from telemetry.ingest import Batch, store
from telemetry.models import RejectedMessage
from telemetry.replay import replay
from tests.devices.test_races import meanwhile
from tests.telemetry.conftest import message

pytestmark = pytest.mark.django_db

# Seconds since 1970 at which these stories begin.
START = int(time.time())


@pytest.fixture
def sent(dev):
    """A command that the broker has, unanswered, with nothing left to publish."""
    made = send(Order("reboot", {}), dev, None).what
    now = timezone.now()
    Command.objects.update(status="sent", sent_at=now, published_at=now)
    DeviceQueue.objects.update(look_at=None)
    return made


def word(state, session="s1", at=0, **more):
    body = {"state": state, "session": session}
    return message(body, kind="status", received_at=(START + at) * 1_000_000, **more)


def data(at, kind="telemetry", body=None):
    body = {"msg_id": at, "temp": 1} if body is None else body
    return message(body, kind=kind, received_at=(START + at) * 1_000_000)


def accepted(command, at):
    return data(at, "replies", {"id": str(command.id), "status": "accepted"})


def is_resumed():
    """Whether a command is published now."""
    claims = outbox.turn([], 10).claims
    outbox.turn([Outcome(claim, Result.TAKEN) for claim in claims], 0)
    return bool(claims)


def session():
    """What is thought of the session, since how many seconds after the START."""
    state = DeviceState.objects.get()
    return state.session, round(state.since.timestamp() - START, 3), state.reason


def test_a_new_session_has_unanswered_commands_published_again(sent):
    store([word("online", "s1")])
    assert is_resumed()
    store([word("online", "s2", at=1)])
    assert is_resumed()


def test_an_online_of_the_same_session_resumes_nothing(sent):
    store([word("online")])
    is_resumed()
    store([word("online", at=1)])
    assert not is_resumed()


def test_an_online_without_a_session_may_be_a_new_one_each_time(sent):
    store([word("online", "")])
    is_resumed()
    store([word("online", "", at=1)])
    assert (is_resumed(), session()[:2]) == (True, ("online", 0))


def test_a_late_last_will_resumes_nothing_and_ends_nothing(sent):
    store([word("online", "s2")])
    is_resumed()
    store([word("offline", "s1", at=1)])
    assert (session()[0], is_resumed()) == ("online", False)


def test_the_end_of_a_session_resumes_nothing(sent):
    store([word("online")])
    is_resumed()
    store([word("offline", at=1)])
    assert not is_resumed()


def test_back_with_the_same_session_or_without_one_is_back(sent):
    for name, at in (("s1", 0), ("", 10)):
        store([word("offline", name, at)])
        is_resumed()
        store([word("online", name, at + 1)])
        assert is_resumed()


def test_a_cleared_status_lets_a_device_have_what_waited_for_its_return(sent):
    store([word("offline")])
    store([data(1, "status", b"")])
    assert (session()[0], is_resumed()) == ("unknown", True)


@pytest.mark.parametrize("status", ["acknowledged", "succeeded"])
def test_what_a_device_has_answered_is_not_published_again(sent, status):
    ended = timezone.now() if status == "succeeded" else None
    Command.objects.update(status=status, finished_at=ended)
    store([word("online")])
    assert not is_resumed()


def test_what_comes_back_with_its_answer_is_not_published_again(sent):
    store([word("online"), accepted(sent, 0)])
    assert not is_resumed()
    assert Command.objects.get().status == "acknowledged"


def test_only_the_commands_of_who_came_back_are_published_again(sent):
    Device.objects.create(device_uid="dev-02", tenant=sent.tenant)
    store([word("online", uid="dev-02")])
    assert not is_resumed()


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("what", ["telemetry", "duplicate", "reply"])
def test_who_sends_though_it_is_offline_is_connected_and_gets_what_waits(sent, what, together):
    other = send(Order("blink", {}), sent.device, None).what
    now = timezone.now()
    Command.objects.filter(pk=other.pk).update(status="sent", sent_at=now, published_at=now)
    store([data(-9, body={"msg_id": "m"})])
    said = {
        "telemetry": data(5),
        "duplicate": data(5, body={"msg_id": "m"}),
        "reply": accepted(sent, 5),
    }
    batches = [[word("offline"), said[what]]] if together else [[word("offline")], [said[what]]]
    for batch in batches:
        store(batch)
    assert session() == ("unknown", 5, EVIDENT)
    assert is_resumed()


@pytest.mark.parametrize("together", [True, False])
def test_a_last_word_is_true_of_what_came_before_it(sent, together):
    batch = [data(1), accepted(sent, 2), word("offline", at=3)]
    for part in [batch] if together else [[each] for each in batch]:
        store(part)
    assert session() == ("offline", 3, "")
    assert not is_resumed()


def test_messages_of_one_moment_are_followed_in_their_order(sent):
    store([data(1, body={"n": 1}), word("offline", at=1)])
    assert session()[0] == "offline"
    store([word("offline", "s2", at=2), data(2)])
    assert session() == ("unknown", 2, EVIDENT)


def test_a_word_after_the_evidence_decides(sent):
    store([word("offline"), data(1), word("online", "s2", at=2)])
    assert session() == ("online", 2, "")


def test_an_earlier_reading_that_is_stored_late_is_no_evidence(sent):
    store([word("offline", at=5)])
    store([data(4)])
    assert (session()[0], is_resumed()) == ("offline", False)


def test_a_last_word_that_is_stored_late_does_not_hide_what_came_after_it(sent):
    store([word("online")])
    store([data(5)])
    store([word("offline", at=4)])
    assert session() == ("unknown", 5, EVIDENT)


def test_a_rejected_message_is_no_evidence(sent):
    store([word("offline")])
    store([data(1, body=b"\xff"), data(2, "replies", {"id": "?"})])
    assert session()[0] == "offline"


def test_evidence_is_taken_once(sent):
    store([word("offline"), data(1)])
    is_resumed()
    store([data(2)])
    assert (session(), is_resumed()) == (("unknown", 1, EVIDENT), False)


@pytest.mark.parametrize(
    "story",
    [
        ("offline", "data"),
        ("data", "offline"),
        ("offline", "data", "online"),
        ("online", "data", "offline", "data", "offline"),
    ],
)
def test_a_batch_that_is_delivered_again_ends_in_the_same_state(sent, story):
    """Each message alone, then all at once, as after a crash before the acknowledgements."""

    def told(start):
        make = {"data": data, "offline": lambda at: word("offline", at=at)}
        make["online"] = lambda at: word("online", "s2", at=at)
        return [make[what](at) for at, what in enumerate(story, start)]

    for each in told(0):
        store([each])
    first = session()[0], session()[2]
    store(told(0))
    assert (session()[0], session()[2]) == first
    store(told(100))
    assert (session()[0], session()[2]) == first


def test_a_rejected_word_that_is_replayed_does_not_hide_what_came_after_it(sent):
    Device.objects.update(is_enabled=False)
    store([word("offline", at=1)])
    Device.objects.update(is_enabled=True)
    store([data(2)])
    replay(RejectedMessage.objects.get())
    assert session() == ("unknown", 2, EVIDENT)


def test_a_broker_that_forgot_its_sessions_gets_unanswered_commands_again(sent):
    store([word("online")])
    is_resumed()
    state.forget_sessions(datetime.fromtimestamp(START + 5, UTC), "lost")
    assert session() == ("unknown", 5, "lost")
    assert is_resumed()


def test_a_command_that_waits_for_the_return_of_its_device_is_published_after_all(sent):
    store([word("offline")])
    assert not is_resumed()
    state.forget_sessions(timezone.now() + timedelta(days=3_000), "lost")
    assert is_resumed()


def test_listeners_that_do_not_read_stop_no_session_from_being_forgotten(sent, monkeypatch):
    told = []
    honest = outbox.resume_all

    def resume_all(cursor, *, tell=True):
        told.append(tell)
        if tell:
            cursor.execute(
                "DO $$ BEGIN RAISE 'too many notifications in the NOTIFY queue' "
                "USING ERRCODE = '54000'; END $$"
            )
        honest(cursor, tell=tell)

    monkeypatch.setattr(outbox, "resume_all", resume_all)
    store([word("online")])
    state.forget_sessions(timezone.now() + timedelta(days=3_000), "lost")
    assert (told, session()[0]) == ([True, False], "unknown")


def test_dispatchers_are_told_of_returns_unless_listeners_do_not_read(sent, monkeypatch):
    told = []
    monkeypatch.setattr(outbox, "resume", lambda cursor, ids, *, tell: told.append(tell))
    store([word("online")])
    batch = Batch([word("online", "s2")])
    batch._tells = False
    batch.store_part()
    assert told == [True, False]


@pytest.mark.django_db(transaction=True)
def test_queues_are_locked_before_commands_or_two_would_wait_for_each_other(t0):
    """The first one's device is back, that of the second replies to it."""
    back, answering = (Device.objects.create(device_uid=uid, tenant=t0) for uid in ("d1", "d2"))
    first, second = (send(Order("blink", {}), each, None).what for each in (back, answering))
    reply = {"id": str(second.id), "status": "ok"}
    batch = [word("online", uid="d1"), message(reply, uid="d2", kind="replies")]
    queues = DeviceQueue.objects.select_for_update(nowait=True)
    locked = Command.objects.select_for_update(nowait=True)
    meanwhile(
        lambda: store(batch),
        lambda: queues.get(device=first.device),
        then=lambda: locked.get(pk=second.pk),
    )
    assert Command.objects.get(pk=second.pk).status == "succeeded"


@pytest.mark.django_db(transaction=True)
def test_a_device_that_comes_back_while_its_command_is_put_off_gets_it_all_the_same(t0):
    device = Device.objects.create(device_uid="dev-01", tenant=t0)
    send(Order("blink", {}), device, None)
    store([word("offline")])
    meanwhile(lambda: store([word("online", at=1)]), lambda: outbox.turn([], 10))
    assert is_resumed()


def test_batches_with_words_and_replies_are_stored_after_the_one_before(sent):
    assert Batch([data(0), word("online")]).follows
    assert Batch([data(0), accepted(sent, 0)]).follows
    assert not Batch([data(0), data(1, "replies", b"?")]).follows
