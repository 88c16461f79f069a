"""What EMQX is told of an account, and whether it may do one thing. Pure.

The form is that of EMQX 5.8: “Access Control List” of its HTTP authenticator.
"""

from collections.abc import Iterable
from typing import Any

from devices.credentials.authenticating import Account
from devices.mqtt.rights import Action, Right

DENIED = {"result": "deny"}
ALLOWED = {"result": "allow"}
NOTHING_ELSE = {"permission": "deny", "action": "all", "topic": "#"}


def admission(account: Account) -> dict[str, Any]:
    """That the account is let in, what it may do, and until when, in seconds since 1970."""
    # A command that the broker kept would be sent again at every subscription.
    never_kept = {} if account.names else {"retain": False}
    rules = [rule(right, never_kept) for right in account.rights]
    told = {**ALLOWED, "is_superuser": False, "acl": [*rules, NOTHING_ELSE]}
    return told if account.expires_at is None else {**told, "expire_at": account.expires_at}


def rule(right: Right, of_publishing: dict[str, Any]) -> dict[str, Any]:
    more = of_publishing if right.action is Action.PUBLISH else {}
    return {"permission": "allow", "action": right.action, "topic": right.topic, **more}


def allows(rights: Iterable[Right], action: str, topic: str) -> bool:
    """Whether one of `rights` is for this topic, or for all that this filter covers.

    Nothing is for `$…`: what is the broker's own, and subscriptions that several share.
    """
    return any(right.action == action and covers(right.topic, topic) for right in rights)


def covers(right: str, topic: str) -> bool:
    """A level that is `+` in the right may be anything but more levels; others are as they are."""
    levels, wanted = right.split("/"), topic.split("/")
    return len(levels) == len(wanted) and all(
        level == given or (level == "+" and given != "#" and not given.startswith("$"))
        for level, given in zip(levels, wanted, strict=True)
    )
