"""What the published document shows of enrolment."""

from typing import Any

SECRET = "8f14e45fceea167a5a36dedd4bea2543c9f0f895fb98ab9159f51fd0297e236d"
TOKEN = "45c48cce2e2d7fbdea1afc51c7c6ad26aab3238922cc3ab1ed1ea9e1d8a0c3f1"
NEW_KEY: dict[str, Any] = {
    "name": "Factory, lot 7",
    "type": "weather station",
    "quota": 500,
    "expires_at": "2026-03-31T00:00:00Z",
}
KEY: dict[str, Any] = {
    "id": 1,
    "name": "Factory, lot 7",
    "tenant": "t0",
    "type": "weather station",
    "state": "usable",
    "quota": 500,
    "uses": 1,
    "created_at": "2026-01-14T12:00:00.250000Z",
    "created_by": "admin@example.com",
    "expires_at": "2026-03-31T00:00:00Z",
    "revoked_at": None,
}
MADE = KEY | {"uses": 0, "key": SECRET}
DEVICE: dict[str, Any] = {
    "device_uid": "dev-77",
    "first_at": "2026-01-14T12:30:00.250000Z",
    "last_at": "2026-01-14T12:30:00.250000Z",
    "count": 1,
}
ENROL = {"key": SECRET, "device_uid": "dev-77"}
ENROLLED: dict[str, Any] = {
    "device_uid": "dev-77",
    "tenant": "t0",
    "username": "dev-77",
    "client_id": "dev-77",
    "token": TOKEN,
    "topics": {
        "telemetry": "t0/devices/dev-77/telemetry",
        "commands": "t0/devices/dev-77/commands",
        "replies": "t0/devices/dev-77/replies",
        "status": "t0/devices/dev-77/status",
    },
    "expires_at": None,
}
