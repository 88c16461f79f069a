"""What EMQX asks: who somebody is, and what they may do. Always answered, by 200.

204 would let everybody in, and any other status means at EMQX that somebody else may decide, or
nobody; so whatever goes wrong here is a “deny”.
"""

import hmac
import logging
from collections.abc import Callable
from typing import Any

import orjson
from django.conf import settings
from django.db import utils
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from devices.brokers.emqx.answers import ALLOWED, DENIED, admission, allows
from devices.credentials.authenticating import account_of, authenticate
from devices.credentials.uses import note
from devices.mqtt.rights import Action

logger = logging.getLogger(__name__)

LARGEST_QUESTION = 64 * 1024
"""Bytes: of a topic and a password each, MQTT allows as many; ours are hundreds."""

Question = dict[str, str]
Answer = dict[str, Any]


class NoQuestionError(Exception):
    """What came is no question of our broker's; says what it lacks, and nothing that was in it."""


def answered(decide: Callable[[Question], Answer]) -> Callable[[HttpRequest], HttpResponse]:
    """A view of a decision, which denies if it cannot be made."""

    @csrf_exempt
    def view(request: HttpRequest) -> HttpResponse:
        said = orjson.dumps(decided(decide, request))
        # Otherwise gunicorn would send it in chunks, which are three packets instead of one.
        length = {"Content-Length": str(len(said))}
        return HttpResponse(said, "application/json", headers=length)

    return view


def decided(decide: Callable[[Question], Answer], request: HttpRequest) -> Answer:
    try:
        return decide(question(request))
    except NoQuestionError as error:
        logger.warning("Denied at %s: %s", request.path_info, error)
    except (utils.Error, utils.DatabaseError) as error:
        # By thousands, when a fleet comes back: one line each, and nothing of the question.
        logger.error("Denied, for the database is away (%s).", type(error).__name__)
    except Exception:
        logger.exception("Denied at %s, by a fault of the platform", request.path_info)
    return DENIED


def question(request: HttpRequest) -> Question:
    """The texts in the body of a request of our broker's."""
    if settings.MQTT_ACCESS != "emqx":
        raise NoQuestionError("MQTT__ACCESS is not emqx, so no EMQX has to ask.")
    if not knows_secret(request.META.get("HTTP_AUTHORIZATION", "")):
        raise NoQuestionError("Authorization is not Bearer MQTT__HOOK_SECRET; compare its headers.")
    if request.method != "POST" or request.content_type != "application/json":
        raise NoQuestionError("It is no POST of application/json; correct method and headers.")
    return texts(body(request))


def knows_secret(said: str) -> bool:
    """Whether that is what our broker says in `Authorization`, which it keeps out of its log."""
    secret = settings.MQTT_HOOK_SECRET
    expected = f"Bearer {secret}".encode()
    return bool(secret) and hmac.compare_digest(said.encode(errors="replace"), expected)


def body(request: HttpRequest) -> bytes:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > LARGEST_QUESTION:
        raise NoQuestionError(f"It has more than {LARGEST_QUESTION} bytes.")
    return request.body


def texts(data: bytes) -> Question:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise NoQuestionError("It is not JSON.") from None
    if not isinstance(found, dict):
        raise NoQuestionError("It is no JSON object.")
    return {name: value for name, value in found.items() if isinstance(value, str)}


def part(asked: Question, name: str) -> str:
    if name not in asked:
        raise NoQuestionError(f"It has no text {name}; add it to the body that EMQX sends.")
    return asked[name]


def let_in(asked: Question) -> Answer:
    username, password, client_id = (
        part(asked, name) for name in ("username", "password", "clientid")
    )
    account = authenticate(username, password, client_id)
    if account is None:
        return DENIED
    if account.credential_id is not None:
        note(account.credential_id)
    return admission(account)


def let_do(asked: Question) -> Answer:
    username, action, topic = (part(asked, name) for name in ("username", "action", "topic"))
    account = account_of(username)
    is_topic = action == Action.SUBSCRIBE or not {"+", "#"} & {*topic}
    if account is None or not is_topic or not allows(account.rights, action, topic):
        return DENIED
    return ALLOWED


auth = answered(let_in)
acl = answered(let_do)
