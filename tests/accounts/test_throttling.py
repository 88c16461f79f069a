"""Guessing passwords: how soon somebody has to wait, for how long, and who does not have to."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from django.db.models import F
from django.test import RequestFactory
from django.utils import timezone

from accounts import logins
from accounts.addresses import NOWHERE, address_of
from accounts.models import LoginAttempt
from tests import cast as people
from tests.accounts.doors import log_in

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"
PAIR, PAIR_TIME = logins.FROM_ONE_ADDRESS_FOR_ONE_ACCOUNT
_, ACCOUNT_TIME = logins.FOR_ONE_ACCOUNT
FEW = 5


def guess(email: str, times: int = 1, address: str = ELSEWHERE) -> list[int]:
    """How wrong passwords are answered."""
    return [log_in(email, "wrong", REMOTE_ADDR=address).status_code for _ in range(times)]


def guess_from_everywhere(email: str) -> None:
    """As many wrong passwords as an account stands, none of them from where another was."""
    for number in range(FEW):
        guess(email, address=f"203.0.113.{number}")


def at_once(attempt: Callable[[int], Any], times: int = 16) -> list[Any]:
    """What `attempt` gives for each number, eight of them at the same moment."""
    start = threading.Barrier(8)

    def one(number: int) -> Any:
        start.wait(30)
        try:
            return attempt(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(one, range(times)))


@pytest.fixture
def few_for_one_account(monkeypatch):
    monkeypatch.setattr(logins, "FOR_ONE_ACCOUNT", (FEW, ACCOUNT_TIME))


@pytest.fixture
def room_for_all(monkeypatch):
    """Nobody is sent away because others are in front of them."""
    monkeypatch.setattr(logins, "places", threading.BoundedSemaphore(16))


def enter(email: str, address: str = HOME) -> int:
    """How the right password is answered."""
    return log_in(email, REMOTE_ADDR=address).status_code


def wait(**time: float) -> None:
    """Time passes."""
    LoginAttempt.objects.update(at=F("at") - timedelta(**time))


def test_who_fails_too_often_has_to_wait_even_with_the_right_password(ann):
    assert guess(ann.email, PAIR) == [401] * PAIR
    assert enter(ann.email, ELSEWHERE) == 429


def test_the_answer_says_how_long(ann):
    guess(ann.email, PAIR)
    answer = log_in(ann.email, REMOTE_ADDR=ELSEWHERE)
    assert 290 <= int(answer["Retry-After"]) <= 300
    assert answer.json()["code"] == "throttled"
    assert answer.json()["detail"] == (
        f"Too many logins failed. Try again in {answer['Retry-After']} seconds."
    )


def test_after_that_time_the_password_is_looked_at_again(ann):
    guess(ann.email, PAIR)
    seconds = int(log_in(ann.email, REMOTE_ADDR=ELSEWHERE)["Retry-After"])
    wait(seconds=seconds - 2)
    assert enter(ann.email, ELSEWHERE) == 429
    wait(seconds=2)
    assert enter(ann.email, ELSEWHERE) == 200


def test_asking_while_one_has_to_wait_does_not_make_it_longer(ann):
    guess(ann.email, PAIR)
    wait(minutes=4)
    assert guess(ann.email, 5) == [429] * 5
    wait(minutes=1)
    assert enter(ann.email, ELSEWHERE) == 200


def test_no_password_is_hashed_for_who_has_to_wait(ann, monkeypatch):
    guess(ann.email, PAIR)
    monkeypatch.setattr(MD5PasswordHasher, "encode", None)
    monkeypatch.setattr(MD5PasswordHasher, "verify", None)
    assert enter(ann.email, ELSEWHERE) == 429


def test_somebody_elsewhere_is_not_concerned(ann):
    guess(ann.email, PAIR)
    assert enter(ann.email, HOME) == 200


def test_an_address_that_tries_many_accounts_has_to_wait(ann, monkeypatch):
    monkeypatch.setattr(logins, "FROM_ONE_ADDRESS", (8, timedelta(minutes=5)))
    for number in range(8):
        guess(f"user-{number}@t0.example")
    assert enter(ann.email, ELSEWHERE) == 429
    assert enter(ann.email, HOME) == 200


def test_one_address_alone_shuts_nobody_out(ann):
    for _ in range(int(ACCOUNT_TIME / PAIR_TIME) + 1):
        wait(seconds=PAIR_TIME.total_seconds())
        assert guess(ann.email, PAIR + 1) == [401] * PAIR + [429]
    assert enter(ann.email, HOME) == 200


@pytest.mark.usefixtures("few_for_one_account")
def test_an_account_that_is_tried_from_everywhere_rests(ann):
    guess_from_everywhere(ann.email)
    assert enter(ann.email, ELSEWHERE) == 429
    wait(minutes=15)
    assert enter(ann.email, ELSEWHERE) == 200


@pytest.mark.usefixtures("few_for_one_account")
@pytest.mark.parametrize(("days", "answer"), [(29, 200), (31, 429)])
def test_but_not_for_an_address_from_which_it_was_used_within_30_days(ann, days, answer):
    enter(ann.email, HOME)
    wait(days=days)
    guess_from_everywhere(ann.email)
    assert enter(ann.email, HOME) == answer


def test_such_an_address_has_its_own_limit_still(ann):
    enter(ann.email, HOME)
    assert guess(ann.email, PAIR + 1, HOME) == [401] * PAIR + [429]


def test_an_account_that_does_not_exist_is_no_different(ann):
    assert guess("nobody@t0.example", PAIR + 1) == guess(ann.email, PAIR + 1)


def test_spelling_the_address_in_other_ways_wins_no_attempts(ann):
    spellings = ["ann@t0.example", "ANN@t0.example", "Ann@T0.Example"]
    for number in range(PAIR):
        guess(spellings[number % 3])
    assert guess("aNN@T0.example") == [429]


def test_logins_that_succeed_are_not_counted(ann):
    assert [enter(ann.email) for _ in range(PAIR + 5)] == [200] * (PAIR + 5)


def test_of_logins_that_succeed_the_newest_of_an_account_and_address_is_kept(ann):
    for address in (HOME, HOME, ELSEWHERE, HOME):
        enter(ann.email, address)
    kept = LoginAttempt.objects.values_list("address", flat=True)
    assert sorted(kept) == sorted([HOME, ELSEWHERE])


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("room_for_all")
@pytest.mark.parametrize(
    ("limit", "email", "address"),
    [
        ("FROM_ONE_ADDRESS", "user-{}@t0.example", ELSEWHERE),
        ("FOR_ONE_ACCOUNT", "ann@t0.example", "203.0.113.{}"),
    ],
)
def test_attempts_at_the_same_moment_do_not_slip_past(ann, monkeypatch, limit, email, address):
    monkeypatch.setattr(logins, limit, (FEW, timedelta(minutes=5)))
    answers = at_once(lambda n: guess(email.format(n), address=address.format(n))[0])
    assert sorted(answers) == [401] * FEW + [429] * (16 - FEW)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("room_for_all")
def test_the_right_password_many_times_at_once_waits_a_second_at_most(ann, monkeypatch):
    monkeypatch.setattr(logins, "FROM_ONE_ADDRESS_FOR_ONE_ACCOUNT", (FEW, PAIR_TIME))
    answers = at_once(lambda _: log_in(ann.email))
    assert {(a.status_code, a.get("Retry-After")) for a in answers} <= {(200, None), (429, "1")}
    assert enter(ann.email) == 200


def test_where_as_many_are_checked_as_may_fail_one_comes_back_in_a_second(ann):
    under_way(ann.email, PAIR)
    answer = log_in(ann.email, REMOTE_ADDR=ELSEWHERE)
    assert (answer.status_code, answer["Retry-After"]) == (429, "1")
    assert answer.json()["detail"] == "Too many logins at once. Try again in a second."


def test_what_a_process_left_unfinished_blocks_for_a_minute(ann):
    under_way(ann.email, PAIR)
    wait(seconds=50)
    assert enter(ann.email, ELSEWHERE) == 429
    wait(seconds=15)
    assert enter(ann.email, ELSEWHERE) == 200


def under_way(email: str, times: int) -> None:
    """Passwords from elsewhere that are being checked."""
    guess(email, times)
    LoginAttempt.objects.update(succeeded=None)


def test_where_all_places_are_taken_one_is_sent_away_at_once_and_nothing_is_counted(ann):
    with ExitStack() as others:
        for _ in range(logins.CHECKED_AT_ONCE + logins.WAITING):
            others.enter_context(logins.places)
        answers = [log_in(ann.email) for _ in range(PAIR + 1)]
    assert {(a.status_code, a["Retry-After"]) for a in answers} == {(429, "1")}
    assert not LoginAttempt.objects.exists()
    assert log_in(ann.email).status_code == 200


def test_a_login_that_breaks_leaves_its_place_to_others(ann, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(logins, "authenticate", None)
        for _ in range(logins.CHECKED_AT_ONCE + logins.WAITING):
            with pytest.raises(TypeError):
                log_in(ann.email)
    assert log_in(ann.email).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("room_for_all")
def test_a_process_checks_few_passwords_at_once(ann, monkeypatch):
    one_more = threading.Barrier(logins.CHECKED_AT_ONCE + 1)
    monkeypatch.setattr(logins, "authenticate", lambda *_, **__: one_more.wait(1))

    def nobody_else_comes(_: int) -> None:
        with pytest.raises(threading.BrokenBarrierError):
            log_in(ann.email)

    at_once(nobody_else_comes, times=8)


def test_guessing_the_current_password_is_guessing_too(ann):
    body = {"current_password": "wrong", "new_password": "quite another password"}
    client = people.api(ann)
    answers = [client.post("/auth/password", body).status_code for _ in range(PAIR + 1)]
    assert answers == [400] * PAIR + [429]


def test_the_console_goes_through_the_same_door(ann, client):
    guess(ann.email, PAIR, HOME)
    form = {"username": ann.email, "password": people.PASSWORD}
    page = client.post("/admin/login/", form, REMOTE_ADDR=HOME).text
    assert "Too many logins failed. Try again in" in page
    assert client.get("/admin/").status_code == 302


def test_and_what_fails_there_counts_here(ann, client):
    form = {"username": ann.email, "password": "wrong"}
    for _ in range(PAIR):
        assert str(logins.WRONG) in client.post("/admin/login/", form, REMOTE_ADDR=HOME).text
    assert enter(ann.email, HOME) == 429


def test_the_right_password_opens_the_console(ann, client):
    form = {"username": ann.email, "password": people.PASSWORD}
    assert client.post("/admin/login/", form).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert LoginAttempt.objects.get().succeeded


def test_what_was_typed_as_an_address_is_not_kept(db):
    log_in("my.secret@password.example", "wrong")
    kept = LoginAttempt.objects.values_list("account", flat=True).get()
    assert len(kept) == 64
    assert "secret" not in kept


def test_attempts_that_play_no_part_any_more_are_outdated(ann):
    guess(ann.email)
    enter(ann.email)
    now = timezone.now()
    assert not LoginAttempt.objects.outdated(now).exists()
    failed = LoginAttempt.objects.outdated(now + timedelta(days=2)).get()
    assert not failed.succeeded
    assert LoginAttempt.objects.outdated(now + timedelta(days=31)).count() == 2


def test_what_was_never_finished_is_outdated_too(ann):
    under_way(ann.email, 1)
    assert LoginAttempt.objects.outdated(timezone.now() + timedelta(days=2)).exists()


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "", ELSEWHERE),
        (0, HOME, ELSEWHERE),
        (1, "", ELSEWHERE),
        (1, HOME, HOME),
        (1, f"6.6.6.6, {HOME}", HOME),
        (2, f"6.6.6.6, {HOME}, 10.0.0.1", HOME),
        (2, HOME, HOME),
        (1, f"{HOME}:5678", HOME),
        (1, "[2001:db8:1:2:3::4]:5678", "2001:db8:1:2::"),
        (1, "unknown", NOWHERE),
        (1, "6.6.6.6, ", NOWHERE),
    ],
)
def test_the_address_is_what_the_outermost_proxy_saw(settings, proxies, forwarded, address):
    settings.NUM_PROXIES = proxies
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    request = RequestFactory().get("/", REMOTE_ADDR=ELSEWHERE, **headers)
    assert address_of(request) == address


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("[2001:db8:1:2::1]", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("::ffff:192.0.2.1", HOME),
        ("fe80::1%eth0", "fe80::"),
        ("", NOWHERE),
    ],
)
def test_an_address_of_ipv6_counts_as_its_network(address, counted):
    assert address_of(RequestFactory().get("/", REMOTE_ADDR=address)) == counted
