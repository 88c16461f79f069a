"""Many rejected messages are dealt with from the console, step by step."""

import threading

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection

from telemetry import dealing
from telemetry.models import RejectedMessage, Telemetry
from telemetry.reasons import Reason
from telemetry.replay import replay_all
from tests import cast as people

REJECTED = "/admin/telemetry/rejectedmessage/"
REPLAY, RESOLVE = f"{REJECTED}replay/", f"{REJECTED}resolve/"


@pytest.fixture
def client(cast):
    return people.console(cast.operator)


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(dealing, "STEP", 3)
    monkeypatch.setattr(dealing, "CHUNK", 2)


def came(cast, count: int, payload=b'{"n": 1}', **fields) -> list[RejectedMessage]:
    """Messages that came one second after the other."""
    return [
        people.rejected(
            cast.t0, payload, received_at=people.NOON + n * people.timedelta(seconds=1), **fields
        )
        for n in range(count)
    ]


def begin(client, address: str) -> str:
    """Open the page before; what it would send."""
    return client.get(address).context["run"]


def go_on(client, address: str, run: str):
    return client.post(address, {"run": run})


def still_open() -> int:
    return RejectedMessage.objects.open().count()


def test_before_anything_happens_the_number_is_said(cast, client):
    came(cast, 3)
    came(cast, 2, reason=Reason.NUL)
    page = client.get(f"{REPLAY}?reason__exact=nul").text
    assert "2 are open." in page
    assert "The text contains a NUL character." in page
    assert still_open() == 5


def test_a_group_is_replayed_and_others_are_left_alone(cast, client):
    came(cast, 3)
    other = people.rejected(cast.t0, device_uid="dev-02")
    address = f"{REPLAY}?reason__exact=device_disabled&device_uid=dev-01"
    page = go_on(client, address, begin(client, address)).text
    assert "Replayed: 3 stored." in page
    assert "That was all of them." in page
    assert list(RejectedMessage.objects.open()) == [other]
    assert Telemetry.objects.filter(device=cast.device).count() == 3


def test_a_group_is_marked_as_dealt_with_and_stored_nowhere(cast, client):
    came(cast, 3)
    page = go_on(client, RESOLVE, begin(client, RESOLVE)).text
    assert "3 marked as dealt with." in page
    assert still_open() == Telemetry.objects.count() == 0


def test_one_step_is_bounded_and_says_how_many_are_left(cast, client, small_steps):
    came(cast, 5)
    first = go_on(client, REPLAY, begin(client, REPLAY))
    assert "Replayed: 3 stored." in first.text
    assert "2 are left." in first.text
    assert "data-go-on" in first.text
    last = go_on(client, REPLAY, first.context["run"])
    assert "Replayed: 5 stored." in last.text
    assert still_open() == 0


def test_a_step_ends_when_its_time_is_over(cast, client, small_steps, monkeypatch):
    monkeypatch.setattr(dealing, "SECONDS", 0)
    came(cast, 5)
    go_on(client, RESOLVE, begin(client, RESOLVE))
    assert still_open() == 3


def test_a_chunk_holds_no_more_bytes_than_one_transaction_should(cast, client, monkeypatch):
    monkeypatch.setattr(dealing, "CHUNK_BYTES", 100)
    monkeypatch.setattr(dealing, "SECONDS", 0)
    came(cast, 3, payload=b"x" * 60)
    go_on(client, RESOLVE, begin(client, RESOLVE))
    assert still_open() == 2


def test_messages_are_replayed_in_the_order_in_which_they_came(cast, client):
    first, second = came(cast, 2)
    RejectedMessage.objects.filter(pk=first.pk).update(payload=b'{"msg_id": "1", "n": 1}', size=23)
    RejectedMessage.objects.filter(pk=second.pk).update(payload=b'{"msg_id": "1", "n": 2}', size=23)
    page = go_on(client, REPLAY, begin(client, REPLAY)).text
    assert "1 stored, 1 rejected again (still open)" in page
    assert "Another message with this msg_id is already stored. (1)" in page
    assert Telemetry.objects.get().payload["n"] == 1
    assert RejectedMessage.objects.open().get().pk == second.pk


def test_what_is_rejected_again_is_not_tried_twice_by_one_run(cast, client, small_steps):
    came(cast, 4, payload=b'{"a": NaN}')
    first = go_on(client, REPLAY, begin(client, REPLAY))
    last = go_on(client, REPLAY, first.context["run"])
    assert "Replayed: 4 rejected again (still open). NaN and Infinity" in last.text
    assert "That was all of them." in last.text


def test_what_comes_later_is_not_meant(cast, client):
    came(cast, 1)
    run = begin(client, RESOLVE)
    people.rejected(cast.t0)
    assert "1 marked" in go_on(client, RESOLVE, run).text
    assert still_open() == 1


def test_stored_known_and_rejected_are_told_apart_within_one_transaction(cast):
    same, again = (people.rejected(cast.t0, b'{"msg_id": "1"}') for _ in range(2))
    word = people.rejected(cast.t0, b"online", topic=b"t0/devices/dev-01/status")
    bad = people.rejected(cast.t0, b"\xff")
    done = replay_all([each.pk for each in (same, again, word, bad)])
    assert [(each.message.pk, each.outcome) for each in done] == [
        (same.pk, "stored"), (again.pk, "duplicate"), (word.pk, "stored"), (bad.pk, "rejected"),
    ]  # fmt: skip
    assert replay_all([same.pk]) == []


def test_every_message_keeps_who_dealt_with_it(cast, client):
    messages = came(cast, 2)
    go_on(client, RESOLVE, begin(client, RESOLVE))
    entries = LogEntry.objects.filter(user=cast.operator, change_message="Marked as dealt with.")
    assert {entry.object_id for entry in entries} == {str(message.pk) for message in messages}


def test_the_messages_of_others_are_never_meant(cast, client):
    people.rejected(cast.other)
    assert "0 are open." in client.get(RESOLVE).text
    go_on(client, RESOLVE, begin(client, RESOLVE))
    assert still_open() == 1


@pytest.mark.parametrize("address", [REPLAY, RESOLVE])
def test_a_viewer_may_not(cast, address):
    viewer = people.console(cast.viewer)
    assert viewer.get(address).status_code == viewer.post(address).status_code == 403


def test_a_run_is_for_one_person_and_one_choice_of_messages(cast, client):
    came(cast, 1)
    run = begin(client, RESOLVE)
    assert go_on(client, f"{RESOLVE}?reason__exact=nul", run).status_code == 400
    assert go_on(client, REPLAY, run).status_code == 400
    assert go_on(people.console(cast.admin), RESOLVE, run).status_code == 400
    assert go_on(client, RESOLVE, "").status_code == 400
    assert still_open() == 1


def test_a_step_does_nothing_without_the_token_against_forgery(cast):
    client = people.console(cast.operator, enforce_csrf_checks=True)
    came(cast, 1)
    assert go_on(client, RESOLVE, begin(client, RESOLVE)).status_code == 403
    assert still_open() == 1


def test_a_choice_that_is_none_is_a_bad_request(client):
    assert client.get(RESOLVE, {"nonsense": "1"}).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_two_who_replay_the_same_at_once_store_it_once(cast):
    keys = [message.pk for message in came(cast, 20)]
    ends: list[int] = []
    start = threading.Barrier(2)

    def replay() -> None:
        start.wait()
        ends.append(len(replay_all(keys)))
        connection.close()

    threads = [threading.Thread(target=replay) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == [0, 20]
    assert Telemetry.objects.count() == 20
