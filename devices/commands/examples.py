"""What the published document shows of commands."""

from typing import Any

UID = "dev-01"
ORDER: dict[str, Any] = {"cmd": "reboot", "params": {"delay": 5}, "expires_in": 3600}
QUEUED: dict[str, Any] = {
    "id": "7f1e5c1a-3b53-4f0e-9c56-0d8a4f6b2f11",
    "device_uid": UID,
    "cmd": "reboot",
    "params": {"delay": 5},
    "status": "queued",
    "reason": None,
    "issued_by": "operator@example.com",
    "batch": None,
    "created_at": "2026-01-14T12:00:00.250000+00:00",
    "claimed_at": None,
    "sent_at": None,
    "acknowledged_at": None,
    "finished_at": None,
    "expires_at": "2026-01-14T13:00:00.250000+00:00",
    "is_late": False,
    "reply": None,
    "result": None,
    "error": None,
}
SUCCEEDED = QUEUED | {
    "status": "succeeded",
    "claimed_at": "2026-01-14T12:00:00.254000+00:00",
    "sent_at": "2026-01-14T12:00:00.257000+00:00",
    "acknowledged_at": "2026-01-14T12:00:00.264000+00:00",
    "finished_at": "2026-01-14T12:00:06.100000+00:00",
    "reply": "ok",
    "result": {"uptime": 1},
}
CANCELLED = QUEUED | {"status": "cancelled", "finished_at": "2026-01-14T12:00:30+00:00"}
STEPS = [
    {"status": "queued", "at": QUEUED["created_at"], "by": QUEUED["issued_by"], "detail": None},
    {"status": "sent", "at": SUCCEEDED["sent_at"], "by": None, "detail": None},
    {
        "status": "acknowledged",
        "at": SUCCEEDED["acknowledged_at"],
        "by": None,
        "detail": "accepted",
    },
    {"status": "succeeded", "at": SUCCEEDED["finished_at"], "by": None, "detail": None},
]

TO_LABELS = ORDER | {"labels": {"site": "Hanoi"}}
TO_NAMED = ORDER | {"device_uids": ["dev-01", "dev-02"]}
TO_ALL = ORDER | {"all": True, "tenant": "t0"}
SKIPPED = [{"device_uid": "dev-07", "reason": "dev-07 is disabled. Enable it first."}]
BATCH: dict[str, Any] = {
    "id": "b52c8c0e-5d3f-4a37-8d0b-6b2f1f0f3a77",
    "tenant": "t0",
    "cmd": "reboot",
    "params": {"delay": 5},
    "issued_by": "operator@example.com",
    "created_at": "2026-01-14T12:00:00.250000+00:00",
    "expires_at": "2026-01-14T13:00:00.250000+00:00",
    "cancelled_at": None,
    "total": 3,
    "counts": {
        "queued": 1,
        "sent": 0,
        "acknowledged": 0,
        "succeeded": 2,
        "failed": 0,
        "expired": 0,
        "cancelled": 0,
    },
    "late": 0,
}
BATCH_WHOLE = BATCH | {"target": {"labels": {"site": "Hanoi"}}, "skipped": SKIPPED}
REHEARSED = {"dry_run": True, "total": 3, "skipped": SKIPPED}
