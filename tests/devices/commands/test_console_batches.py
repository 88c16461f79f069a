"""The console's pages of batches."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from devices.commands.console import batches as console
from devices.models import Command, CommandBatch, Device
from tests import cast as people
from tests.queries import queries_of

BATCHES = "/admin/devices/commandbatch/"


def page_of(batch) -> str:
    return reverse("admin:devices_commandbatch_change", args=[batch.pk])


def press_cancel(user, batch):
    address = reverse("admin:devices_commandbatch_cancel", args=[batch.pk])
    return people.console(user).post(address, follow=True)


@pytest.fixture
def batch(cast):
    """Four commands, of which one is sent and one failed, and a device that was skipped."""
    for number in range(4):
        people.device(f"fleet-{number}", cast.t0)
    Device.objects.filter(pk=cast.device.pk).update(is_enabled=False)
    batch = people.batch(cast.t0, cast.operator)
    first, second, *_ = batch.commands.all()
    now = timezone.now()
    sent = {"sent_at": now, "claimed_at": now}
    Command.objects.filter(pk=first.pk).update(status="sent", **sent)
    Command.objects.filter(pk=second.pk).update(status="failed", finished_at=now, **sent)
    return batch


def test_batches_are_listed_with_how_far_their_commands_are(cast, batch):
    page = people.console(cast.viewer).get(BATCHES).text
    for text in ("All devices of t0", "2 queued", "1 sent", "1 failed", cast.operator.email):
        assert text in page
    assert "succeeded" not in page
    assert page_of(batch) not in people.console(cast.stranger).get(BATCHES).text


def test_replies_that_came_too_late_are_counted(cast, batch):
    batch.commands.update(is_late=True)
    for address in (BATCHES, page_of(batch)):
        assert "4 late replies" in people.console(cast.viewer).get(address).text


def test_the_list_costs_the_same_however_long_it_is(cast, batch):
    client = people.console(cast.staff)
    few = len(queries_of(client, BATCHES))
    for _ in range(5):
        people.batch(cast.t0, cast.operator)
    statements = queries_of(client, BATCHES)
    assert len(statements) == few <= 6
    assert len([each for each in statements if 'FROM "devices_command"' in each]) == 1


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"all": True}, "All devices of t0"),
        ({"labels": {"site": "Hà Nội", "floor": "2"}}, "the labels site=Hà Nội, floor=2"),
        ({"device_uids": ["a", "b"]}, "a, b"),
        ({"device_uids": list("abcde")}, "a, b, c and 2 more"),
        ({"labels": {"<b>": "x"}}, "&lt;b&gt;=x"),
    ],
)
def test_whom_a_batch_is_for_is_said_in_words(cast, batch, target, said, monkeypatch):
    monkeypatch.setattr(console, "UIDS_ON_PAGE", 3)
    CommandBatch.objects.update(target=target)
    for address in (BATCHES, page_of(batch)):
        assert said in people.console(cast.viewer).get(address).text


def test_the_page_of_a_batch_shows_all_of_it_and_leads_to_its_commands(cast, batch):
    page = people.console(cast.viewer).get(page_of(batch)).text
    for text in ("2 queued", "1 sent", "1 failed", "All devices of t0", str(batch.id)):
        assert text in page
    assert "dev-01 is disabled. Enable it first." in page
    assert f"/admin/devices/command/?batch={batch.pk}" in page


def test_of_many_skipped_devices_the_first_are_shown(cast, batch, monkeypatch):
    monkeypatch.setattr(console, "SKIPPED_SHOWN", 2)
    skipped = [{"device_uid": f"gone-{n}", "reason": "<b>Off</b>"} for n in range(5)]
    CommandBatch.objects.update(skipped=skipped)
    page = people.console(cast.viewer).get(page_of(batch)).text
    assert ("gone-1" in page, "gone-2" in page, "and 3 more" in page) == (True, False, True)
    assert "<b>Off" not in page


def test_what_is_not_sent_can_be_cancelled(cast, batch):
    assert "Cancel what is not sent" in people.console(cast.operator).get(page_of(batch)).text
    answer = press_cancel(cast.operator, batch)
    assert answer.redirect_chain == [(page_of(batch), 302)]
    said = (
        "2 cancelled; 1 was already sent; 1 had ended before. "
        "What is out already is not published again."
    )
    assert said in answer.text
    assert LogEntry.objects.get().change_message == f"Cancelled: {said}"
    batch.refresh_from_db()
    assert batch.cancelled_at


def test_a_batch_with_nothing_left_has_no_button_and_says_so(cast, batch):
    press_cancel(cast.operator, batch)
    address = reverse("admin:devices_commandbatch_cancel", args=[batch.pk])
    assert address not in people.console(cast.operator).get(page_of(batch)).text
    page = press_cancel(cast.operator, batch).text
    assert "0 cancelled; 1 was already sent; 3 had ended before." in page


def test_what_is_out_already_can_be_kept_from_being_published_again(cast, batch):
    batch.commands.filter(status="queued").update(claimed_at=timezone.now())
    assert "Do not publish it again" in people.console(cast.operator).get(page_of(batch)).text
    assert "0 cancelled; 1 was already sent; 2 are on" in press_cancel(cast.operator, batch).text
    assert batch.commands.filter(withdrawn_at=None).count() == 1


def test_a_page_is_shown_anew_as_long_as_commands_are_open(cast, batch):
    client = people.console(cast.viewer)
    pages = [client.get(page_of(batch)).text]
    batch.commands.update(status="expired", finished_at=timezone.now())
    pages.append(client.get(page_of(batch)).text)
    assert ["data-live" in page for page in pages] == [True, False]


def test_an_empty_list_says_how_batches_come_into_being(cast):
    page = people.console(cast.operator).get(BATCHES).text
    assert "by POST /commands of the API." in page


def test_a_viewer_and_a_stranger_cancel_nothing(cast, batch):
    assert "Cancel what" not in people.console(cast.viewer).get(page_of(batch)).text
    assert press_cancel(cast.viewer, batch).status_code == 403
    assert press_cancel(cast.stranger, batch).status_code == 404
    assert not Command.objects.filter(status="cancelled").exists()


@pytest.mark.parametrize("object_id", ["0", "nonsense", "9" * 30])
def test_a_batch_that_is_not_there_is_not_found(cast, object_id):
    assert people.console(cast.staff).get(f"{BATCHES}{object_id}/change/").status_code == 404
