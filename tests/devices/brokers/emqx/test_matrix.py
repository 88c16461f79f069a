"""The table of access, against what EMQX is told of everybody and makes of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.devices.brokers import fleet
from tests.devices.brokers.emqx_rules import delivered, is_let_in, may
from tests.devices.brokers.judge import Login, logins
from tests.devices.brokers.matrix import (
    ACTORS,
    FILTERS,
    ODD_TOPICS,
    TOPICS,
    Actor,
    covered_by,
    may_hear,
    may_publish,
    must_hear,
)

SECRET = "between EMQX and the platform ......"
TOPIC_OR_ODD = (*TOPICS, *ODD_TOPICS)


@pytest.fixture
def tokens(cast, settings):
    fleet.configure(settings, "emqx")
    settings.MQTT_HOOK_SECRET = SECRET
    return fleet.tokens(cast)


@pytest.fixture
def ask(client) -> Callable[..., Any]:
    def ask(about: str, **question: Any) -> Any:
        headers = {"Authorization": f"Bearer {SECRET}"}
        address = f"/internal/mqtt/{about}"
        answer = client.post(address, question, "application/json", headers=headers)
        assert answer.status_code == 200
        return answer.json()

    return ask


def admission(ask: Callable[..., Any], login: Login) -> Any:
    client_id, username, password = login
    # EMQX leaves out what a client did not give.
    given = {"username": username, "password": password}
    return ask("auth", clientid=client_id, **{k: v for k, v in given.items() if v is not None})


def findings(actor: Actor, answer: Any, *, delays: bool = False) -> Iterator[str]:
    """Where the answer lets somebody reach more or less than the table says.

    deploy/emqx/emqx.env has `delays` off.
    """
    for topic in TOPIC_OR_ODD:
        for retain in (False, True):
            # The dispatcher's commands are never to be kept by the broker.
            wanted = may_publish(actor, topic) and not (retain and actor.controls_mosquitto)
            comes_as = delivered(answer, topic, retain=retain, delays=delays)
            if comes_as != (topic if wanted else None):
                yield f"publish {topic}, retain {retain}: {not wanted}"
    for topic_filter in FILTERS:
        inside = topic_filter.removeprefix("$share/g/").removeprefix("$queue/")
        heard = covered_by(inside) if may(answer, "subscribe", topic_filter) else set()
        if heard - may_hear(actor) or must_hear(actor, topic_filter) - heard:
            yield f"subscribe {topic_filter}: {heard}"


@pytest.mark.parametrize("name", ACTORS)
def test_emqx_lets_everybody_reach_what_is_theirs_and_nothing_else(ask, tokens, name):
    answer = admission(ask, logins(tokens)[name])
    assert is_let_in(answer) == ACTORS[name].is_let_in
    assert list(findings(ACTORS[name], answer)) == []


@pytest.mark.parametrize("name", ACTORS)
def test_asked_about_each_thing_it_gets_the_same_answers(ask, tokens, name):
    actor, login = ACTORS[name], logins(tokens)[name]
    if not actor.is_let_in and name != "disabled device":
        return

    def may_do(action: str, topic: str) -> bool:
        about = {"username": login.username, "clientid": login.client_id}
        return bool(ask("acl", action=action, topic=topic, **about) == {"result": "allow"})

    assert {each for each in TOPIC_OR_ODD if may_do("publish", each)} == {
        each for each in TOPICS if may_publish(actor, each)
    }
    for topic_filter in FILTERS:
        heard = covered_by(topic_filter) if may_do("subscribe", topic_filter) else set()
        assert heard <= may_hear(actor)
        assert heard >= must_hear(actor, topic_filter)


@pytest.mark.parametrize(
    ("action", "topic"),
    [
        ("publish", "t0/devices/dev-02/status"),
        ("publish", "#"),
        ("subscribe", "t0/devices/+/commands"),
        ("subscribe", "#"),
        ("all", "#"),
    ],
)
def test_the_judge_sees_a_rule_too_many(ask, tokens, action, topic):
    answer = admission(ask, logins(tokens)["device"])
    answer["acl"].insert(0, {"permission": "allow", "action": action, "topic": topic})
    assert list(findings(ACTORS["device"], answer))


def test_the_judge_sees_a_rule_too_few(ask, tokens):
    answer = admission(ask, logins(tokens)["device"])
    answer["acl"] = [rule for rule in answer["acl"] if not rule["topic"].endswith("commands")]
    assert list(findings(ACTORS["device"], answer))


def test_the_judge_sees_what_would_come_later_if_emqx_delayed_messages(ask, tokens):
    answer = admission(ask, logins(tokens)["device"])
    late = list(findings(ACTORS["device"], answer, delays=True))
    assert {each.split(",")[0] for each in late} == {
        "publish $delayed/1/t0/devices/dev-01/telemetry"
    }
