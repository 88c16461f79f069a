"""The likeness of EMQX's rules is as strict and as lax as its source."""

import pytest

from tests.devices.brokers.emqx_rules import delivered, may


def told(topic: str, action: str = "all") -> dict[str, object]:
    rule = {"permission": "allow", "action": action, "topic": topic}
    return {"result": "allow", "acl": [rule]}


@pytest.mark.parametrize(
    ("rule", "topic", "is_covered"),
    [
        ("#", "a/b", True),
        ("+/b", "a/b", True),
        ("a/#", "a", True),
        ("a/#", "a/$b", True),
        ("$SYS/#", "$SYS/brokers", True),
        ("#", "$SYS/brokers", False),
        ("+/brokers", "$SYS/brokers", False),
        ("eq #", "a", False),
        ("a/+", "a/b/c", False),
    ],
)
def test_a_wildcard_in_front_is_for_no_topic_of_the_brokers_own(rule, topic, is_covered):
    assert may(told(rule), "publish", topic) is is_covered


@pytest.mark.parametrize(
    ("topic_filter", "is_allowed"),
    [
        ("$share/g/a/b", True),
        ("$queue/a/b", True),
        ("$exclusive/a/b", True),
        ("$delayed/1/a/b", True),
        ("$share/g/$delayed/1/a/b", True),
        ("$share/g/$share/h/a/b", False),
        ("$share/g/$exclusive/a/b", False),
        ("$queue/$queue/a/b", False),
        ("$exclusive/$queue/a/b", False),
        ("$share/g", False),
        ("$other/a/b", False),
    ],
)
def test_one_prefix_is_taken_off_a_subscription(topic_filter, is_allowed):
    assert may(told("a/b"), "subscribe", topic_filter) is is_allowed


@pytest.mark.parametrize("topic", ["$share/g/a/b", "$queue/a/b", "$exclusive/a/b"])
def test_what_is_published_has_none_of_these(topic):
    assert not may(told("a/b"), "publish", topic)


def test_a_delayed_message_is_allowed_like_what_is_inside_and_comes_only_where_they_are_on():
    topic = "$delayed/3600/a/b"
    assert may(told("a/b"), "publish", topic)
    assert delivered(told("a/b"), topic, delays=True) == "a/b"
    assert delivered(told("a/b"), topic) is None
    assert delivered(told("c"), topic, delays=True) is None
    assert not may(told("#"), "publish", "$delayed/a")
    assert delivered(told("a/b"), "a/b") == "a/b"
    assert delivered(told("$SYS/a"), "$SYS/a") == "$SYS/a"
