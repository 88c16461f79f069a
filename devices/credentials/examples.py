"""What the published document shows of credentials. The tokens are of nobody."""

from typing import Any

TOKEN = "3f1c0b7d5e924a68b1d20c9e7f4a6b83" * 2
OTHER_TOKEN = "9a40c2e8d7135bf6084e1ac59f3d72b6" * 2
TOPICS = {
    kind: f"t0/devices/dev-01/{kind}" for kind in ("telemetry", "commands", "replies", "status")
}
ASKED: dict[str, Any] = {"expires_at": "2027-01-14T00:00:00Z"}
ROTATION: dict[str, Any] = {"overlap": 86_400}
GATEWAY: dict[str, Any] = {"gateway_for": ["meter-1", "meter-2"]}
CREDENTIAL: dict[str, Any] = {
    "id": 7,
    "device_uid": "dev-01",
    "origin": "issued",
    "created_at": "2026-01-14T12:00:00.250000+00:00",
    "created_by": "operator@example.com",
    "expires_at": "2027-01-14T00:00:00+00:00",
    "revoked_at": None,
    "last_used_at": None,
    "is_in_force": True,
    "gateway_for": [],
}
ISSUED = CREDENTIAL | {
    "username": "dev-01",
    "client_id": "dev-01",
    "token": TOKEN,
    "topics": TOPICS,
    "notice": None,
}
ACCESS: dict[str, Any] = {
    "device_uid": "dev-01",
    "username": "dev-01",
    "client_id": "dev-01",
    "is_admitted": True,
    "reason": None,
    "rights": [
        {"action": "publish", "topic": TOPICS["telemetry"]},
        {"action": "subscribe", "topic": TOPICS["commands"]},
        {"action": "publish", "topic": TOPICS["replies"]},
        {"action": "publish", "topic": TOPICS["status"]},
    ],
    "broker": {
        "pending": True,
        "since": "2026-01-14T12:00:00.250000+00:00",
        "attempts": 3,
        "error": "The broker does not answer: Connection refused.",
    },
}
TO_LABELS: dict[str, Any] = {"labels": {"site": "Hanoi"}, "overlap": 86_400}
TO_NAMED: dict[str, Any] = {"device_uids": ["dev-01", "dev-02"]}
TO_ALL: dict[str, Any] = {"all": True, "expires_at": "2027-01-14T00:00:00Z"}
CSV_ISSUED = f"""device_uid,username,client_id,token,expires_at,topic_prefix
dev-01,dev-01,dev-01,{TOKEN},2027-01-14T00:00:00+00:00,t0/devices/dev-01
"""
# Of an array, an example shows one element.
JSON_ISSUED: dict[str, Any] = {
    "device_uid": "dev-01",
    "username": "dev-01",
    "client_id": "dev-01",
    "token": TOKEN,
    "expires_at": "2027-01-14T00:00:00+00:00",
    "topic_prefix": "t0/devices/dev-01",
}
CSV_FILE = f"""device_uid,token,expires_at
dev-01,{TOKEN},2027-01-14T00:00:00Z
dev-02,{OTHER_TOKEN},
"""
JSON_FILE: dict[str, Any] = {"device_uid": "dev-01", "token": TOKEN}
REPORT: dict[str, Any] = {
    "dry_run": False,
    "created": 1,
    "updated": 1,
    "unchanged": 0,
    "error": 0,
    "rows": [
        {"line": 2, "device_uid": "dev-01", "outcome": "updated", "fields": [], "errors": []},
        {"line": 3, "device_uid": "dev-02", "outcome": "created", "fields": [], "errors": []},
    ],
}
SAID = "Line 1 has the same token. Every device needs one of its own."
REFUSED: dict[str, Any] = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "code": "invalid",
    "detail": f"2.token: {SAID}",
    "errors": [{"field": "2.token", "code": "duplicate", "detail": SAID}],
    "report": {
        "dry_run": False,
        "created": 1,
        "updated": 0,
        "unchanged": 0,
        "error": 1,
        "rows": [
            {"line": 1, "device_uid": "dev-01", "outcome": "created", "fields": [], "errors": []},
            {
                "line": 2,
                "device_uid": "dev-02",
                "outcome": "error",
                "fields": [],
                "errors": [{"field": "token", "code": "duplicate", "detail": SAID}],
            },
        ],
    },
}
