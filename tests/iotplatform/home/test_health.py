"""Whether the platform works, as its home page says it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from devices.models import DeviceQueue, Heartbeat, ProcessKind
from iotplatform.home.health import health_of
from tests import cast as people


def beat(kind, seconds=1, name=None, waiting=None, **detail):
    now = timezone.now()
    Heartbeat.objects.create(
        name=name or f"{kind}-1 host 7",
        kind=kind,
        started_at=now - timedelta(hours=1),
        beat_at=now - timedelta(seconds=seconds),
        waiting_since=waiting and now - timedelta(seconds=waiting),
        detail={"connected": True, **detail},
    )


def problems(user):
    return [service.problem for service in health_of(user, timezone.now()).services]


@pytest.fixture
def viewer(cast):
    return cast.viewer


def test_where_all_speak_and_nothing_waits_there_is_no_problem(cast):
    for kind in ProcessKind:
        beat(kind, rate=12.3)
    services = health_of(cast.staff, timezone.now()).services
    assert [(each.problem, each.state, each.rate) for each in services] == [
        ("", "Works", "12 messages a second")
    ] * 2


def test_how_much_comes_from_all_tenants_is_not_for_one_of_them(cast):
    beat("ingestor", rate=12.3)
    assert [each.rate for each in health_of(cast.admin, timezone.now()).services] == ["", ""]
    assert "messages a second" not in people.console(cast.admin).get("/admin/").text
    assert "· 12 messages a second" in people.console(cast.staff).get("/admin/").text


def test_a_platform_without_processes_is_told_which_to_start(viewer):
    ingestor, dispatcher = problems(viewer)
    assert "nothing that devices publish is stored: start “manage.py run_ingestor”" in ingestor
    assert "start “manage.py run_dispatcher”" in dispatcher
    assert "manage.py run_ingestor" in people.console(viewer).get("/admin/").text


def test_a_process_that_is_silent_is_said_to_be_in_words(viewer):
    beat("ingestor", seconds=185)
    beat("dispatcher")
    ingestor, dispatcher = problems(viewer)
    assert ingestor.replace("\xa0", " ").startswith("No ingestor has spoken for 3 minutes: start")
    assert dispatcher == ""


def test_one_that_lives_is_enough_and_the_other_is_for_staff_to_know(cast):
    beat("dispatcher", name="iotplatform-dispatch-1 host 1", seconds=600)
    beat("dispatcher", name="iotplatform-dispatch-2 host 2")
    beat("ingestor")
    assert problems(cast.viewer) == ["", ""]
    staff = health_of(cast.staff, timezone.now()).troubles
    assert [trouble.subject for trouble in staff] == ["iotplatform-dispatch-1 host 1"]
    assert health_of(cast.admin, timezone.now()).troubles == []
    assert "host 1" in people.console(cast.staff).get("/admin/").text
    assert "host 1" not in people.console(cast.admin).get("/admin/").text


def test_without_the_broker_a_process_that_lives_is_of_no_use(viewer):
    beat("ingestor", connected=False)
    beat("dispatcher")
    assert problems(viewer) == ["The ingestor has no connection to the broker.", ""]


def test_messages_that_wait_for_long_are_a_problem(viewer):
    beat("ingestor", waiting=125)
    beat("dispatcher")
    ingestor, _ = problems(viewer)
    assert ingestor.replace("\xa0", " ") == "Messages have been waiting to be stored for 2 minutes."


def test_commands_that_wait_for_long_are_a_problem(cast):
    for kind in ProcessKind:
        beat(kind)
    waiting = timezone.now() - timedelta(minutes=2, seconds=5)
    DeviceQueue.objects.create(device=cast.device, look_at=waiting)
    _, dispatcher = problems(cast.viewer)
    assert "Commands have been waiting to be sent for 2" in dispatcher
    DeviceQueue.objects.update(look_at=timezone.now() + timedelta(seconds=40))
    assert problems(cast.viewer) == ["", ""]
