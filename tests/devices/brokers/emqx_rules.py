"""What EMQX makes of an answer to its question who somebody is, by its documented rules.

Read off emqx_authz_client_info, emqx_authz_rule and emqx_topic of version 5.8: the first rule that
matches decides; a filter that is subscribed is compared like a topic, so only a rule's `+` and `#`
are wildcards; of a shared or exclusive subscription the filter inside counts.
"""

from typing import Any

INSIDE = ("$queue/", "$exclusive/")


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
    named = without_share(topic) if action == "subscribe" else topic
    for rule in answer.get("acl", []):
        if matches(rule, action, named, retain):
            return bool(rule["permission"] == "allow")
    return False


def matches(rule: dict[str, Any], action: str, topic: str, retain: bool) -> bool:
    if rule["action"] not in (action, "all") or 1 not in rule.get("qos", [1]):
        return False
    if action == "publish" and rule.get("retain", "all") not in ("all", retain):
        return False
    if rule["topic"].startswith("eq "):
        return bool(rule["topic"][3:] == topic)
    return covers(rule["topic"].split("/"), topic.split("/"))


def covers(rule: list[str], topic: list[str]) -> bool:
    if rule == ["#"]:
        return True
    if not rule or not topic:
        return rule == topic
    return rule[0] in ("+", topic[0]) and covers(rule[1:], topic[1:])


def without_share(topic_filter: str) -> str:
    """The filter inside of `$share/{group}/…`, `$queue/…` and `$exclusive/…`."""
    if topic_filter.startswith("$share/"):
        return topic_filter.split("/", 2)[2]
    for prefix in INSIDE:
        topic_filter = topic_filter.removeprefix(prefix)
    return topic_filter
