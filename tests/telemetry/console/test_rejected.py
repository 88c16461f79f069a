"""The console's pages of rejected messages."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from telemetry.console.advice import ADVICE
from telemetry.models import RejectedMessage, RejectedOverflow, Telemetry
from telemetry.reasons import Reason
from tests import cast as people
from tests.queries import queries_of

REJECTED = "/admin/telemetry/rejectedmessage/"
LIST = f"{REJECTED}?state=open"


@pytest.fixture
def client(cast):
    return people.console(cast.operator)


def listed(client, **parameters) -> list[RejectedMessage]:
    return list(client.get(REJECTED, {"state": "open"} | parameters).context["cl"].result_list)


def page_of(message: RejectedMessage) -> str:
    return reverse("admin:telemetry_rejectedmessage_change", args=[message.pk])


def deal(client, message: RejectedMessage, what: str) -> str:
    """Press a button of the message's page; the text of the page after."""
    address = reverse("admin:telemetry_rejectedmessage_deal", args=[message.pk])
    return client.post(address, {what: ""}, follow=True).text


def act(client, action: str, *messages: RejectedMessage) -> str:
    """Choose an action for messages of the list; the text of the page after."""
    chosen = [message.pk for message in messages]
    return client.post(LIST, {"action": action, "_selected_action": chosen}, follow=True).text


def test_the_open_messages_of_the_tenant_are_listed(cast, client):
    mine = people.rejected(cast.t0)
    people.rejected(cast.other)
    people.rejected(None)
    people.rejected(cast.t0, resolved_at=people.NOON)
    assert listed(client) == [mine]


def test_staff_see_messages_of_no_tenant_too(cast):
    messages = {people.rejected(tenant) for tenant in (cast.t0, cast.other, None)}
    assert set(listed(people.console(cast.staff))) == messages


@pytest.mark.parametrize("page", [REJECTED, LIST])
def test_what_was_removed_because_there_was_too_much_is_said(cast, client, settings, page):
    settings.REJECTED_MAX = 5_000
    assert "more were removed" not in client.get(page).text
    for tenant, number in ((cast.t0.pk, 1_234), (cast.other.pk, 3), (None, 1)):
        RejectedOverflow.objects.create(tenant_id=tenant, number=number, last_at=people.NOON)
    said = " ".join(client.get(page).text.split())
    assert "1,234 more were removed because the limit of 5,000 a tenant" in said
    assert "1,238 more were removed" in people.console(cast.staff).get(page).text


def test_messages_are_found_by_state_reason_and_device(cast, client):
    old = people.rejected(cast.t0, resolved_at=people.NOON)
    new = people.rejected(cast.t0, reason=Reason.NUL, device_uid="dev-07")
    assert listed(client, state="resolved") == [old]
    assert listed(client, state="all") == [new, old]
    assert listed(client, reason__exact="nul") == listed(client, q="dev-07") == [new]
    assert listed(client, reason__exact="too_old") == []


@pytest.mark.parametrize(
    "parameter", ["state", "reason__exact", "device_uid", "tenant__id__exact", "p", "o"]
)
@pytest.mark.parametrize("value", ["", "nonsense", "9" * 30, "\0"])
def test_no_parameter_brings_the_list_down(cast, parameter, value):
    assert people.console(cast.staff).get(REJECTED, {parameter: value}).status_code < 500


def test_a_longer_list_takes_no_more_queries_and_reads_the_beginning_of_payloads(cast):
    client = people.console(cast.staff)
    people.rejected(cast.t0)
    few = queries_of(client, REJECTED, state="open")
    for _ in range(20):
        people.rejected(cast.t0)
    assert len(queries_of(client, REJECTED, state="open")) == len(few)
    (list_,) = [statement for statement in few if "payload" in statement]
    assert list_.count('"payload"') == list_.count(
        'SUBSTRING("telemetry_rejectedmessage"."payload"'
    )


def test_the_page_says_what_came_why_it_was_rejected_and_what_to_do(cast, client):
    message = people.rejected(cast.t0, b'{"a": "<b>"}', reason=Reason.TOO_OLD, detail="reading 3")
    page = client.get(page_of(message)).text
    assert "t0/devices/dev-01/telemetry" in page
    assert "&quot;a&quot;: &quot;&lt;b&gt;&quot;" in page
    assert "<b>" not in page
    assert "The time is further back than HISTORY_DAYS." in page
    assert "reading 3" in page
    assert "raise the limit, restart the ingestor and replay" in page


def test_bytes_that_are_no_text_are_dumped(cast, client):
    message = people.rejected(cast.t0, b"\xff\x00<b>", topic=b"t0/\xff")
    page = client.get(page_of(message)).text
    assert "000000  ff 00 3c 62 3e" in page
    assert "..&lt;b&gt;" in page
    assert r't0/<span class="rejected-hidden">\xff</span>' in page


def test_a_large_payload_is_cut_short(cast, client):
    message = people.rejected(cast.t0, b"x" * 300_000)
    page = client.get(page_of(message)).text
    assert "300000 bytes" in page
    assert page.count("the end is not shown") == 2
    assert len(page) < 150_000


@pytest.mark.parametrize(
    ("reason", "first"), [("not_finite", "resolve"), ("device_disabled", "replay")]
)
def test_the_button_that_helps_comes_first(cast, client, reason, first):
    message = people.rejected(cast.t0, reason=reason)
    page = client.get(reverse("admin:telemetry_rejectedmessage_change", args=[message.pk])).text
    names = re.findall(r'name="(replay|resolve)"', page)
    assert names == sorted(["replay", "resolve"], key=lambda name: name != first)


def test_every_reason_has_advice():
    assert set(ADVICE) == set(Reason)


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


def test_what_was_rejected_again_says_why(cast, client):
    message = people.rejected(cast.t0, b'{"a": NaN}')
    assert "NaN and Infinity are not JSON. (1)" in deal(client, message, "replay")


def test_the_page_says_who_did_what_with_it(cast, client):
    message = people.rejected(cast.t0, b'{"a": NaN}')
    assert "Nobody has replayed it" in client.get(page_of(message)).text
    deal(client, message, "replay")
    page = client.get(page_of(message)).text
    assert "operator@t0.example: Replayed: rejected." in page


def test_the_page_leads_to_the_device_if_there_is_one_to_see(cast, client):
    link = reverse("admin:devices_device_change", args=[cast.device.pk])
    assert link in client.get(page_of(people.rejected(cast.t0))).text
    foreign = people.rejected(cast.t0, device_uid=cast.foreign.device_uid)
    assert "/admin/devices/device/" + str(cast.foreign.pk) not in client.get(page_of(foreign)).text


def test_a_message_that_was_not_kept_whole_says_so(cast, client):
    message = people.rejected(cast.t0, b"xxx")
    RejectedMessage.objects.update(size=1_000)
    assert "1000 bytes; only the first 3 were kept" in client.get(page_of(message)).text


def test_the_bytes_are_saved_as_they_came_and_never_shown_by_the_browser(cast, client):
    message = people.rejected(cast.t0, b"<script>\xff\0")
    address = reverse("admin:telemetry_rejectedmessage_payload", args=[message.pk])
    answer = client.get(address)
    assert answer.content == b"<script>\xff\0"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert people.console(cast.viewer).get(address).status_code == 403
    assert people.console(cast.stranger).get(address).status_code == 404


HOSTILE = {
    "html": b"</pre><script>alert(1)</script>{{ 1 }}",
    "nul": b'{"a": "\0"}',
    "bidi": '{"a": "\u202egpj.exe\u200b\u2066"}'.encode(),
    "large": b'{"a": "' + b"\x1bx" * 500_000 + b'"}',
    "no utf-8": b"\xff\xfe" * 50,
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "long number": b"9" * 10_000,
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_no_payload_breaks_out_of_its_page_or_hides_in_it(cast, client, payload):
    message = people.rejected(cast.t0, payload)
    for address in (page_of(message), LIST):
        page = client.get(address).text
        assert "<script>alert(1)" not in page
        assert not set(page) & set("\0\x1b\u202e\u200b\u2066")
        assert len(page) < 600_000


def test_the_list_shows_how_payloads_begin(cast, client):
    people.rejected(cast.t0, b"x" * 100)
    assert f'<code class="console-break">{"x" * 80}…</code>' in client.get(LIST).text


def test_messages_are_chosen_by_device_and_by_none(cast, client):
    named, unnamed = people.rejected(cast.t0), people.rejected(cast.t0, device_uid="")
    assert listed(client, device_uid="dev-01") == [named]
    assert listed(client, device_uid="(none)") == [unnamed]
    assert len(listed(client, device_uid="")) == 2


def test_messages_are_chosen_by_time(cast, client):
    old = people.rejected(cast.t0, received_at=people.NOON)
    people.rejected(cast.t0)
    assert listed(client, received_at_to_0="2026-01-14") == [old]
