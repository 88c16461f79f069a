"""Answers about readings and rejected messages, as the OpenAPI document shows them."""

READING = {
    "device_uid": "dev-01",
    "payload": {"temp": 21.5, "hum": 40.2},
    "ts": "2026-01-14T12:00:00.250000+00:00",
    "msg_id": "1042",
}
SENT = {"msg_id": "boot7:1042", "ts": 1768392000.25, "temp": 21.5, "hum": 40.2}
SENT_MANY = [
    {"msg_id": "boot7:1043", "ts": 1768392060, "temp": 21.6},
    {"msg_id": "boot7:1044", "ts": 1768392120, "temp": 21.7},
]
TAKEN = {"stored": 2, "duplicate": 1, "rejected": 0}
LATEST = {
    "hum": {"value": 40.2, "ts": "2026-01-14T12:00:00+00:00"},
    "temp": {"value": 21.5, "ts": "2026-01-14T12:00:00+00:00"},
}
KEY = {"key": "temp", "type": "number", "ts": "2026-01-14T12:00:00+00:00"}
SERIES = {
    "device_uid": "dev-01",
    "from": "2026-01-14T12:00:00+00:00",
    "to": "2026-01-14T12:15:00+00:00",
    "interval": 300,
    "ts": [
        "2026-01-14T12:00:00+00:00",
        "2026-01-14T12:05:00+00:00",
        "2026-01-14T12:10:00+00:00",
    ],
    "series": {"temp": {"avg": [21.5, None, 21.75], "count": [60, 0, 58]}},
}
CSV = "ts,msg_id,hum,temp\r\n2026-01-14T12:00:00.250000+00:00,1042,40.2,21.5\r\n"
NDJSON = (
    '{"device_uid": "dev-01", "payload": {"hum": 40.2, "temp": 21.5}, '
    '"ts": "2026-01-14T12:00:00.250000+00:00", "msg_id": "1042"}\n'
)
REJECTED = {
    "id": "6f1ed002-ab55-5a0e-8d5c-1f1d6a9e2b11",
    "tenant": "t0",
    "device_uid": "dev-01",
    "received_at": "2026-01-14T12:00:00Z",
    "topic": "t0/devices/dev-01/telemetry",
    "size": 13,
    "reason": "not_finite",
    "detail": "NaN is not JSON.",
    "resolved_at": None,
}
REJECTED_WHOLE = {
    **REJECTED,
    "payload": '{"temp": NaN}',
    "payload_base64": "eyJ0ZW1wIjogTmFOfQ==",
}
REPLAYED = {"outcome": "stored", **REJECTED, "resolved_at": "2026-01-14T12:30:00Z"}
LIVE_TELEMETRY = """retry: 2000

id: 5f0c2a91-41
event: ready
data: {}

id: 5f0c2a91-42
event: telemetry
data: {"device_uid": "dev-01", "last_seen_at": "2026-01-14T12:00:00.31+00:00", \
"session": "online", "session_since": "2026-01-14T08:00:00+00:00", \
"session_reason": "It said so itself.", "readings": [{"device_uid": "dev-01", \
"payload": {"temp": 21.5, "hum": 40.2}, "ts": "2026-01-14T12:00:00.250000+00:00", \
"msg_id": "1042"}]}

"""
LIVE_COMMAND = """retry: 2000

id: 5f0c2a91-41
event: ready
data: {}

id: 5f0c2a91-42
event: command
data: {"id": "7e6bd0bc-49b5-4d5e-8d63-1a3a7c1c3b0f", "device_uid": "dev-01", "cmd": "reboot", …}

"""
