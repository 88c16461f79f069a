"""How often a key may be tried and used, what two at once come to, and what is never told."""

import logging
import threading
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models import F

from accounts import logins
from accounts.models import LoginAttempt
from devices.credentials.authenticating import authenticate
from devices.credentials.tokens import digest_of, new_token
from devices.enrolment import enrolling, failures
from devices.models import Credential, Device, Enrolment, EnrolmentKey
from tests import cast as people
from tests.accounts.doors import log_in
from tests.devices.enrolment.conftest import ELSEWHERE, HOME, enroll, new_key

PAIR, PAIR_TIME = 3, logins.FROM_ONE_ADDRESS_FOR_ONE_ACCOUNT[1]


def statuses(made, times: int, address: str = HOME, uid: str = "dev-77") -> list[int]:
    return [enroll(made, uid, address).status_code for _ in range(times)]


def wait(**time: float) -> None:
    """Time passes."""
    LoginAttempt.objects.update(at=F("at") - timedelta(**time))
    EnrolmentKey.objects.update(window_began_at=F("window_began_at") - timedelta(**time))


@pytest.fixture(autouse=True)
def strict(monkeypatch) -> None:
    """Fewer failures than there may be, for the sake of time."""
    monkeypatch.setattr(failures, "FROM_ONE_ADDRESS_FOR_ONE_ACCOUNT", (PAIR, PAIR_TIME))


# Failures ----------------------------------------------------------------------------------------


def test_who_fails_too_often_with_a_key_has_to_wait(world):
    assert statuses("wrong", PAIR + 2) == [401] * PAIR + [429, 429]
    answer = enroll("wrong")
    assert 1 <= int(answer["Retry-After"]) <= PAIR_TIME.total_seconds()
    assert answer.json()["code"] == "throttled"
    wait(seconds=PAIR_TIME.total_seconds())
    assert statuses("wrong", 1) == [401]


def test_others_there_with_a_good_key_do_not(world):
    statuses("wrong", PAIR + 1)
    assert statuses(world.made, 1) == [201]


def test_who_tries_many_keys_has_to_wait_even_with_a_good_one(world, monkeypatch):
    monkeypatch.setattr(failures, "FROM_ONE_ADDRESS", (5, PAIR_TIME))
    assert [enroll(new_token()).status_code for _ in range(5)] == [401] * 5
    assert statuses(world.made, 1) == [429]
    assert not Device.objects.filter(device_uid="dev-77").exists()
    assert statuses(world.made, 1, ELSEWHERE) == [201]


def test_what_is_refused_with_a_good_key_is_no_failure(world):
    assert statuses(world.made, PAIR + 2, uid="foreign-01") == [409] * (PAIR + 2)
    assert not LoginAttempt.objects.exists()


@pytest.mark.usefixtures("fast")
def test_keys_that_fail_shut_no_person_out_and_the_other_way_round(world, monkeypatch):
    for module in (failures, logins):
        monkeypatch.setattr(module, "FROM_ONE_ADDRESS", (2, PAIR_TIME))
    ann = people.user("ann@t0.example", world.t0, password=people.PASSWORD)
    statuses("wrong", 3)
    assert log_in(ann.email, REMOTE_ADDR=HOME).status_code == 200
    for _ in range(3):
        log_in(ann.email, "wrong", REMOTE_ADDR=ELSEWHERE)
    assert log_in(ann.email, REMOTE_ADDR=ELSEWHERE).status_code == 429
    assert statuses(world.made, 1, ELSEWHERE) == [201]


@pytest.fixture
def fast(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


# Uses --------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch) -> None:
    monkeypatch.setattr(enrolling, "USES_A_WINDOW", 3)


@pytest.mark.usefixtures("few")
def test_one_key_is_used_so_often_a_minute_from_wherever(world):
    answers = [enroll(world.made, f"dev-7{n}", f"203.0.113.{n}") for n in range(4)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
    assert 55 <= int(answers[3]["Retry-After"]) <= 60
    assert statuses(new_key(world), 1, uid="dev-79") == [201]
    wait(seconds=60)
    assert statuses(world.made, 1, uid="dev-73") == [201]


@pytest.mark.usefixtures("few")
def test_what_was_refused_counts_as_a_use(world):
    assert statuses(world.made, 4, uid="foreign-01") == [409, 409, 409, 429]


@pytest.mark.usefixtures("few")
def test_waiting_is_not_made_longer_by_asking(world):
    statuses(world.made, 5)
    assert EnrolmentKey.objects.get().window_uses == 3
    wait(seconds=60)
    assert statuses(world.made, 1) == [200]


# At once -----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_those_who_come_at_once_one_takes_the_last_place_and_one_device_is_one(settings):
    settings.ENROLMENT = True
    cast = people.cast()
    single, full = new_key(cast), new_key(cast, quota=1)
    uids = ["dev-77", "dev-77", "dev-77", "dev-78", "dev-79", "dev-80"]
    made = [single] * 3 + [full] * 3
    start, answers = threading.Barrier(len(uids)), []

    def come(made, uid: str) -> None:
        start.wait(30)
        try:
            answers.append((uid, enroll(made, uid)))
        finally:
            connection.close()

    threads = [threading.Thread(target=come, args=each) for each in zip(made, uids, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [[a.status_code for uid, a in answers if (uid == "dev-77") == same] for same in (1, 0)]
    assert [sorted(each) for each in found] == [[200, 200, 201], [201, 409, 409]]
    assert Enrolment.objects.count() == 2
    assert list(Credential.objects.in_force().values_list("device__device_uid", flat=True)) in (
        [[uid, "dev-77"] for uid in uids[3:]] + [["dev-77", uid] for uid in uids[3:]]
    )
    tokens = [a.json()["token"] for uid, a in answers if uid == "dev-77"]
    assert [bool(authenticate("dev-77", token)) for token in tokens].count(True) == 1


# What is never told ------------------------------------------------------------------------------


def test_neither_key_nor_token_is_in_a_log_or_kept(world, caplog):
    caplog.set_level(logging.DEBUG)
    token = enroll(world.made).json()["token"]
    enroll(world.made, "foreign-01")
    wrong = new_token()
    statuses(wrong, PAIR + 1)
    for secret in (world.made.secret, token, wrong):
        assert secret not in caplog.text
        assert secret not in str(list(LoginAttempt.objects.values()))
        assert secret not in str(list(EnrolmentKey.objects.values()))
        assert secret not in str(list(Credential.objects.values()))
        assert secret not in str(list(LogEntry.objects.values()))


def test_of_a_wrong_key_a_part_of_its_hash_is_kept(world):
    enroll("a password, typed in the wrong place")
    digest = digest_of("a password, typed in the wrong place").hex()
    assert LoginAttempt.objects.get().account == f"key:{digest}"[:64]


def test_a_failure_is_logged_with_the_address_alone(world, caplog):
    caplog.set_level(logging.INFO, "devices.enrolment")
    enroll("wrong", "dev-77", HOME)
    (record,) = [each for each in caplog.records if each.name.startswith("devices.enrolment")]
    assert record.getMessage() == f"An enrolment failed, from {HOME}."


def test_the_work_is_the_same_for_a_key_that_never_was_and_one_that_was(
    world, django_assert_num_queries
):
    EnrolmentKey.objects.update(expires_at=F("created_at"))
    for key in (world.made, "never one"):
        # The two limits; the look for it, between three for its transaction; the note.
        with django_assert_num_queries(7):
            assert enroll(key).status_code == 401


def test_to_let_a_device_in_costs_no_more_than_it_must(world, django_assert_max_num_queries):
    # The first time, and again. A key is locked while most of this is done.
    for most, status in ((17, 201), (20, 200)):
        with django_assert_max_num_queries(most):
            assert enroll(world.made).status_code == status
