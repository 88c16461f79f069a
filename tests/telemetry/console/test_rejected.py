"""The console's pages of rejected messages."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from telemetry.console.advice import ADVICE
from telemetry.console.shown import hex_dump, text_of
from telemetry.models import RejectedMessage, Telemetry
from telemetry.reasons import Reason
from tests import cast as people
from tests.queries import queries_of

REJECTED = "/admin/telemetry/rejectedmessage/"


@pytest.fixture
def client(cast):
    return people.console(cast.operator)


def listed(client, **parameters) -> list[RejectedMessage]:
    return list(client.get(REJECTED, parameters).context["cl"].result_list)


def page_of(message: RejectedMessage) -> str:
    return reverse("admin:telemetry_rejectedmessage_change", args=[message.pk])


def deal(client, message: RejectedMessage, what: str) -> str:
    """Press a button of the message's page; the text of the page after."""
    address = reverse("admin:telemetry_rejectedmessage_deal", args=[message.pk])
    return client.post(address, {what: ""}, follow=True).text


def act(client, action: str, *messages: RejectedMessage) -> str:
    """Choose an action for messages of the list; the text of the page after."""
    chosen = [message.pk for message in messages]
    return client.post(REJECTED, {"action": action, "_selected_action": chosen}, follow=True).text


def test_the_open_messages_of_the_tenant_are_listed(cast, client):
    mine = people.rejected(cast.t0)
    people.rejected(cast.other)
    people.rejected(None)
    people.rejected(cast.t0, resolved_at=people.NOON)
    assert listed(client) == [mine]


def test_staff_see_messages_of_no_tenant_too(cast):
    messages = {people.rejected(tenant) for tenant in (cast.t0, cast.other, None)}
    assert set(listed(people.console(cast.staff))) == messages


def test_messages_are_found_by_state_reason_and_device(cast, client):
    old = people.rejected(cast.t0, resolved_at=people.NOON)
    new = people.rejected(cast.t0, reason=Reason.NUL, device_uid="dev-07")
    assert listed(client, state="resolved") == [old]
    assert listed(client, state="all") == [new, old]
    assert listed(client, reason__exact="nul") == listed(client, q="dev-07") == [new]
    assert listed(client, reason__exact="too_old") == []


@pytest.mark.parametrize("parameter", ["state", "reason__exact", "tenant__id__exact", "p", "o"])
@pytest.mark.parametrize("value", ["", "nonsense", "9" * 30, "\0"])
def test_no_parameter_brings_the_list_down(cast, parameter, value):
    assert people.console(cast.staff).get(REJECTED, {parameter: value}).status_code < 500


def test_a_longer_list_takes_no_more_queries_and_reads_no_payload(cast):
    client = people.console(cast.staff)
    people.rejected(cast.t0)
    few = queries_of(client, REJECTED)
    for _ in range(20):
        people.rejected(cast.t0)
    assert len(queries_of(client, REJECTED)) == len(few)
    assert not any("payload" in statement for statement in few)


def test_the_page_says_what_came_why_it_was_rejected_and_what_to_do(cast, client):
    message = people.rejected(cast.t0, b'{"a": "<b>"}', reason=Reason.TOO_OLD, detail="reading 3")
    page = client.get(page_of(message)).text
    assert "t0/devices/dev-01/telemetry" in page
    assert "{&quot;a&quot;: &quot;&lt;b&gt;&quot;}" in page
    assert "The time is further back than HISTORY_DAYS." in page
    assert "reading 3" in page
    assert "raise the limit, restart the ingestor and replay" in page


def test_bytes_that_are_no_text_are_dumped(cast, client):
    message = people.rejected(cast.t0, b"\xff\x00<b>", topic=b"t0/\xff")
    page = client.get(page_of(message)).text
    assert "000000  ff 00 3c 62 3e" in page
    assert "..&lt;b&gt;" in page
    assert r"t0/\xff" in page


def test_a_large_payload_is_cut_short(cast, client):
    message = people.rejected(cast.t0, b"x" * 300_000)
    page = client.get(page_of(message)).text
    assert "300000 bytes; the end is not shown" in page
    assert len(page) < 100_000


def test_every_reason_has_advice():
    assert set(ADVICE) == set(Reason)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        ("Hà Nội\n\t{}".encode(), "Hà Nội\n\t{}"),
        (b"\xff", None),
        (b"a\0", None),
        (b"\x1b[2J", None),
        ("\N{RIGHT-TO-LEFT OVERRIDE}abc".encode(), None),
    ],
)
def test_only_what_shows_as_it_is_counts_as_text(data, text):
    assert text_of(data) == text


def test_a_dump_has_sixteen_bytes_a_line():
    lines = hex_dump(bytes(range(48, 80))).splitlines()
    assert lines[0] == "000000  30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f  0123456789:;<=>?"
    assert lines[1].startswith("000010  40 41")


def test_a_replayed_message_is_stored_and_dealt_with(cast, client):
    message = people.rejected(cast.t0, b'{"temperature": 21.5}')
    assert "Replayed: 1 stored." in deal(client, message, "replay")
    message.refresh_from_db()
    assert message.resolved_at
    assert Telemetry.objects.get(device=cast.device).payload == {"temperature": 21.5}


def test_a_message_that_is_rejected_again_stays_open_with_the_new_reason(cast, client):
    message = people.rejected(cast.t0, b'{"a": NaN}')
    assert "1 rejected again (still open)" in deal(client, message, "replay")
    message.refresh_from_db()
    assert (message.resolved_at, message.reason) == (None, Reason.NOT_FINITE)


def test_the_counts_of_a_bulk_replay_are_told(cast, client):
    good = people.rejected(cast.t0, b'{"msg_id": "1", "t": 1}')
    same = people.rejected(cast.t0, b'{"msg_id": "1", "t": 1}')
    bad = people.rejected(cast.t0, b"\xff")
    page = act(client, "replay_selected", good, same, bad)
    assert "1 stored, 1 stored before already, 1 rejected again (still open)" in page


def test_a_message_dealt_with_is_not_replayed(cast, client):
    message = people.rejected(cast.t0, b'{"a": 1}', resolved_at=people.NOON)
    assert "all dealt with already" in deal(client, message, "replay")
    assert not Telemetry.objects.filter(device=cast.device).exists()


def test_an_id_that_is_none_is_a_bad_request(cast, client):
    chosen = {"action": "replay_selected", "_selected_action": "none"}
    assert client.post(REJECTED, chosen).status_code == 400


def test_messages_are_marked_as_dealt_with(cast, client):
    one, two = people.rejected(cast.t0), people.rejected(cast.t0)
    assert "1 marked as dealt with." in deal(client, one, "resolve")
    assert "1 marked as dealt with." in act(client, "resolve_selected", one, two)
    assert not RejectedMessage.objects.open().exists()


def test_marking_again_keeps_the_first_time(cast, client):
    message = people.rejected(cast.t0, resolved_at=people.NOON)
    deal(client, message, "resolve")
    message.refresh_from_db()
    assert message.resolved_at == people.NOON


def test_the_messages_of_others_cannot_be_dealt_with(cast, client):
    message = people.rejected(cast.other)
    act(client, "resolve_selected", message)
    deal(client, message, "resolve")
    assert list(RejectedMessage.objects.open()) == [message]


def test_dealing_with_a_message_is_in_its_history(cast, client):
    message = people.rejected(cast.t0, b'{"a": NaN}')
    deal(client, message, "replay")
    deal(client, message, "resolve")
    entries = LogEntry.objects.filter(object_id=message.pk, user=cast.operator).order_by("pk")
    assert [entry.get_change_message() for entry in entries] == [
        "Replayed: rejected.",
        "Marked as dealt with.",
    ]


def test_a_button_does_nothing_without_the_token_against_forgery(cast):
    client = people.console(cast.operator, enforce_csrf_checks=True)
    message = people.rejected(cast.t0)
    address = reverse("admin:telemetry_rejectedmessage_deal", args=[message.pk])
    assert client.post(address, {"resolve": ""}).status_code == 403
    assert "csrfmiddlewaretoken" in client.get(page_of(message)).text


def test_buttons_are_gone_once_a_message_is_dealt_with(cast, client):
    message = people.rejected(cast.t0, resolved_at=people.NOON)
    assert "Mark as dealt with" not in client.get(page_of(message)).text
