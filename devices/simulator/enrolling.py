"""Simulated devices that enrol themselves: each shows a key, and is given its token."""

import json
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from devices.simulator.tokens import TokensError

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 30
LONGEST_WAIT = 300
TOO_MANY = 429

NO_ANSWER = "No answer from {url}: {why}. Is that the address of the platform's web server (--url)?"
NO_ENROLMENT = "What {url} answered is no enrolment. Is --url the address of the platform?"
REFUSED = "{uid} may not enrol: {said} ({status})"
OTHER_TENANT = (
    "The key is one of tenant {theirs}, the devices are of {ours}. Use --tenant {theirs}."
)

_direct = build_opener(ProxyHandler({}))


def enrol(key: str, url: str, tenant: str, uids: Iterable[str]) -> dict[str, str]:
    """Uid → token, for each device; `url` is where the platform's API begins.

    Tokens that they had end. Raises TokensError, with what to do about it.
    """
    return {uid: _enrol(key, f"{url.rstrip('/')}/enroll", tenant, uid) for uid in uids}


def _enrol(key: str, url: str, tenant: str, uid: str) -> str:
    answer = _patient(Request(url, _body(key, uid), {"Content-Type": "application/json"}), uid)
    if not isinstance(answer, dict) or not isinstance(answer.get("token"), str):
        raise TokensError(NO_ENROLMENT.format(url=url))
    if answer.get("tenant") != tenant:
        raise TokensError(OTHER_TENANT.format(theirs=answer.get("tenant"), ours=tenant))
    logger.info("%s: enrolled.", uid)
    return answer["token"]


def _body(key: str, uid: str) -> bytes:
    return json.dumps({"key": key, "device_uid": uid}).encode()


def _patient(request: Request, uid: str) -> Any:
    """The answer, waited for if there were too many at once."""
    while True:
        try:
            return _ask(request)
        except HTTPError as error:
            seconds = error.headers.get("Retry-After", "")
            if error.code != TOO_MANY or not seconds.isdigit() or int(seconds) > LONGEST_WAIT:
                said = REFUSED.format(uid=uid, said=_said(error), status=error.code)
                raise TokensError(said) from None
            logger.warning("%s: may enrol in %s s, as too many have tried.", uid, seconds)
            time.sleep(int(seconds))


def _ask(request: Request) -> Any:
    url = request.full_url
    try:
        with _direct.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return json.load(answer)
    except HTTPError:
        raise
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", error)
        raise TokensError(NO_ANSWER.format(url=url, why=why)) from None
    except ValueError:
        raise TokensError(NO_ENROLMENT.format(url=url)) from None


def _said(error: HTTPError) -> str:
    """What the platform says about it; somebody else may say anything."""
    with suppress(OSError, HTTPException, ValueError):
        problem = json.load(error)
        if isinstance(problem, dict) and isinstance(problem.get("detail"), str):
            return problem["detail"]
    return error.reason
