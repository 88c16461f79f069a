"""The console's pages of alerts and of their rules."""

import re

import pytest

import devices.models.alerts as models
from devices.alerts.console import section
from devices.models import Alert, AlertNotice, AlertRule, AlertWatch, DeviceType
from tests import cast as people
from tests.devices.alerts.fleet import SECRET, ago, listening, look, rule, state
from tests.queries import queries_of

RULES, ALERTS = "/admin/devices/alertrule/", "/admin/devices/alert/"
FORM = {
    "name": "Pumps", "condition": "either", "after_minutes": 10, "is_enabled": "on", "type": "",
    "emails": "night@t0.example,\nday@t0.example", "webhook_url": "https://hooks.example.com/x",
}  # fmt: skip


@pytest.fixture
def cast(cast):
    listening()
    return cast


def page(who, address: str) -> str:
    return people.console(who).get(address).content.decode()


def test_an_admin_makes_a_rule_and_sees_its_secret_once(cast):
    answer = people.console(cast.admin).post(f"{RULES}add/", FORM)
    mine = AlertRule.objects.get()
    assert (mine.tenant, mine.emails) == (cast.t0, ["night@t0.example", "day@t0.example"])
    assert mine.webhook_secret in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert mine.webhook_secret not in page(cast.admin, f"{RULES}{mine.pk}/change/")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"webhook_url": "https://10.0.0.1/"}, "is not in the public internet"),
        ({"webhook_url": "https://hooks.example.com:22/"}, "Use port 443"),
        ({"emails": "night"}, "“night” is no e-mail address"),
        ({"emails": " ".join(f"a{n}@t0.example" for n in range(11))}, "at most 10 addresses"),
        ({"name": "Pumps\nBcc: x"}, "Use one line of text"),
        ({"after_minutes": 0}, "greater than or equal to 1"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(cast, wrong, said):
    answer = people.console(cast.admin).post(f"{RULES}add/", FORM | wrong)
    assert said in answer.content.decode()
    assert not AlertRule.objects.exists()


def test_a_type_of_another_tenant_is_no_choice(cast):
    kind = DeviceType.objects.create(name="Foreign", tenant=cast.other)
    answer = people.console(cast.admin).post(f"{RULES}add/", FORM | {"type": kind.pk})
    assert answer.status_code == 200
    assert not AlertRule.objects.exists()


@pytest.mark.parametrize(("change", "left"), [({"after_minutes": 5}, 0), ({"name": "Fans"}, 1)])
def test_a_change_of_terms_ends_what_the_rule_raised(cast, change, left):
    mine = rule(cast.t0, webhook_url=FORM["webhook_url"], emails=FORM["emails"].split(",\n"))
    state(cast.device, data_at=11)
    look()
    answer = people.console(cast.admin).post(f"{RULES}{mine.pk}/change/", FORM | change)
    assert answer.status_code == 302
    assert mine.alerts.open().count() == left
    assert not mine.notices.filter(kind="cleared").exists()


def test_a_rule_is_deleted_with_what_it_raised(cast):
    alert = people.alert(cast.device)
    console = people.console(cast.admin)
    assert "go with it" in page(cast.admin, f"{RULES}{alert.rule_id}/delete/")
    console.post(f"{RULES}{alert.rule_id}/delete/", {"post": "yes"})
    assert not Alert.objects.exists()


def test_a_test_is_sent_at_once_and_says_what_came_of_it(cast, settings):
    mine = rule(cast.t0, webhook_url="https://127.0.0.1:8443/")
    page_of_rule = f"{RULES}{mine.pk}/change/"
    console = people.console(cast.admin)
    console.post(f"{RULES}{mine.pk}/test/")
    shown = console.get(page_of_rule).content.decode()
    assert "night@t0.example: No e-mail server is configured: set EMAIL_URL." in shown
    assert "127.0.0.1 is not in the public internet" in shown
    assert [each.failed_at is None for each in mine.notices.all()] == [False, False]
    settings.EMAIL = {"EMAIL_HOST": "mail.example.com"}
    AlertRule.objects.update(webhook_url="")
    console.post(f"{RULES}{mine.pk}/test/")
    assert "A test was sent a moment ago." in console.get(page_of_rule).content.decode()
    AlertNotice.objects.update(at=ago(2))
    console.post(f"{RULES}{mine.pk}/test/")
    assert "night@t0.example: delivered." in console.get(page_of_rule).content.decode()


def test_what_a_test_says_of_several_addresses_it_says_once(cast, settings):
    mine = rule(cast.t0, emails=["night@t0.example", "day@t0.example"])
    console = people.console(cast.admin)
    console.post(f"{RULES}{mine.pk}/test/")
    shown = console.get(f"{RULES}{mine.pk}/change/").text
    assert "day@t0.example, night@t0.example: No e-mail server is configured" in shown


def test_a_new_secret_is_asked_for_and_shown(cast):
    mine = rule(cast.t0, webhook_url=FORM["webhook_url"])
    console = people.console(cast.admin)
    assert "whsec_" not in console.get(f"{RULES}{mine.pk}/secret/").content.decode()
    answer = console.post(f"{RULES}{mine.pk}/secret/")
    mine.refresh_from_db()
    assert mine.webhook_secret in answer.content.decode()
    assert mine.signing_secrets() == [mine.webhook_secret, SECRET]


def test_open_alerts_come_first_and_say_who_was_told(cast):
    state(cast.device, data_at=11)
    mine = rule(cast.t0)
    look()
    over = people.device("pump-2", cast.t0)
    Alert.objects.create(
        rule=mine, device=over, tenant=cast.t0, condition="offline", since=ago(60),
        raised_at=ago(50), cleared_at=ago(40), end="over",
    )  # fmt: skip
    AlertNotice.objects.update(failed_at=ago(0), error="It answered 500.")
    shown = page(cast.viewer, ALERTS)
    assert re.search(r"dev-01.*Failed.*pump-2", shown, re.DOTALL)
    assert "pump-2" not in page(cast.viewer, f"{ALERTS}?state=open")
    one = page(cast.viewer, f"{ALERTS}{Alert.objects.open().get().pk}/change/")
    assert "It answered 500." in one
    assert "dev-01" not in page(cast.stranger, ALERTS)


def test_who_may_not_change_a_rule_sees_no_secret_of_an_address(cast):
    state(cast.device, data_at=11)
    mine = rule(cast.t0, webhook_url="https://hooks.example.com/services/secret")
    look()
    for address in (f"{ALERTS}{mine.alerts.get().pk}/change/", f"{RULES}{mine.pk}/change/"):
        shown = page(cast.operator, address)
        assert "https://hooks.example.com/…" in shown
        assert "services/secret" not in shown
        assert "services/secret" in page(cast.admin, address)


def test_a_tenant_has_so_many_rules(cast, monkeypatch):
    monkeypatch.setattr(models, "MOST_RULES", 1)
    rule(cast.t0)
    answer = people.console(cast.admin).post(f"{RULES}add/", FORM)
    assert "at most 1 rules" in answer.content.decode()


def test_the_lists_cost_the_same_however_many_there_are(cast):
    admin = people.console(cast.admin)
    costs = []
    for number in range(2):
        for each in range(10):
            people.alert(people.device(f"pump-{number}-{each}", cast.t0))
        costs.append([len(queries_of(admin, address)) for address in (ALERTS, RULES)])
    assert costs[0] == costs[1]
    assert max(costs[0]) <= 12


@pytest.mark.parametrize(
    ("watch", "said"),
    [
        ({"checked_at": 10}, "no dispatcher has looked since"),
        ({"deaf_since": 10}, "No ingestor that is connected to the broker"),
        ({}, ""),
    ],
    ids=["no watch", "deaf", "well"],
)
def test_the_pages_say_why_no_alert_is_raised(cast, watch, said):
    AlertWatch.objects.update(**{name: ago(minutes) for name, minutes in watch.items()})
    for address in (ALERTS, RULES):
        shown = page(cast.admin, address)
        assert (said in shown) if said else ("bg-orange-100" not in shown)


def test_the_section_of_a_device_has_its_open_alerts(cast, django_assert_num_queries):
    assert "Pumps" not in section(cast.device)
    alert = people.alert(cast.device)
    device = type(cast.device).objects.get(pk=cast.device.pk)
    with django_assert_num_queries(1):
        assert f"{ALERTS}{alert.pk}/change/" in section(device)


def test_the_page_of_a_device_has_them(cast):
    alert = people.alert(cast.device)
    shown = page(cast.viewer, f"/admin/devices/device/{cast.device.pk}/change/")
    assert f"{ALERTS}{alert.pk}/change/" in shown
