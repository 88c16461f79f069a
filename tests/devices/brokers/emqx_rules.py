"""What EMQX makes of an answer to its question who somebody is, by its documented rules.

Read off emqx_access_control, emqx_authz_rule, emqx_topic and emqx_delayed of version 5.8: the first
rule that matches decides; a filter that is subscribed is compared like a topic, so only a rule's
`+` and `#` are wildcards, which never stand for a first level with `$`; of a shared or exclusive
subscription, and of a delayed message, what is inside counts.
"""

from typing import Any

DELAYED = "$delayed/"


def is_let_in(answer: Any) -> bool:
    """Whether the authenticator's answer admits, with no other one behind it."""
    return isinstance(answer, dict) and answer.get("result") == "allow"


def may(answer: Any, action: str, topic: str, *, retain: bool = False) -> bool:
    """Whether the client that got `answer` may do this; what no rule matches is denied (no_match).

    `action` is publish or subscribe, with QoS 1.
    """
    if not is_let_in(answer):
        return False
    if answer.get("is_superuser"):
        return True
    named = without_delay(without_share(topic) if action == "subscribe" else topic)
    if named is None:
        return False
    for rule in answer.get("acl", []):
        if matches(rule, action, named, retain):
            return bool(rule["permission"] == "allow")
    return False


def delivered(answer: Any, topic: str, *, retain: bool = False, delays: bool = False) -> str | None:
    """As what others get that which the client that got `answer` publishes to `topic`; none: not.

    With `delays` (`delayed.enable`), what is for `$delayed/{seconds}/…` comes later, whatever has
    become of the client. Without, it is one more topic with `$`, to which nobody subscribes: to do
    so takes the same right as for what is inside, and none of ours has reason to.
    """
    if not may(answer, "publish", topic, retain=retain):
        return None
    if topic.startswith(DELAYED):
        return without_delay(topic) if delays else None
    return topic


def matches(rule: dict[str, Any], action: str, topic: str, retain: bool) -> bool:
    if rule["action"] not in (action, "all") or 1 not in rule.get("qos", [1]):
        return False
    if action == "publish" and rule.get("retain", "all") not in ("all", retain):
        return False
    if rule["topic"].startswith("eq "):
        return bool(rule["topic"][3:] == topic)
    return covers(rule["topic"].split("/"), topic.split("/"))


def covers(rule: list[str], topic: list[str]) -> bool:
    return not (rule[0] in ("+", "#") and topic[0].startswith("$")) and fits(rule, topic)


def fits(rule: list[str], topic: list[str]) -> bool:
    if rule == ["#"]:
        return True
    if not rule or not topic:
        return rule == topic
    return rule[0] in ("+", topic[0]) and fits(rule[1:], topic[1:])


def without_share(topic_filter: str) -> str:
    """The filter inside of `$share/{group}/…`, `$queue/…` or `$exclusive/…`; one is taken off."""
    first, _, inside = topic_filter.partition("/")
    if first == "$share":
        return inside.partition("/")[2]
    return inside if first in ("$queue", "$exclusive") else topic_filter


def without_delay(topic: str) -> str | None:
    """What is inside of `$delayed/{seconds}/…`, all of them; none if nothing is."""
    while topic.startswith(DELAYED):
        _, is_inside, topic = topic.removeprefix(DELAYED).partition("/")
        if not is_inside:
            return None
    return topic
