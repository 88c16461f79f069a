"""Examples for the OpenAPI document."""

CSV_EXPORTED = """device_uid,name,tenant,type,is_enabled,labels
dev-01,Boiler room,t0,thermometer,true,"{""site"": ""Hanoi""}"
"""

CSV_FILE = """device_uid,name,type,is_enabled,labels
dev-01,Boiler room,thermometer,true,"{""site"": ""Hanoi""}"
dev-02,Roof,,false,
"""

# Of an array, an example shows one element.
JSON_FILE = {"device_uid": "dev-01", "name": "Boiler room", "labels": {"site": "Hanoi"}}

REPORT = {
    "dry_run": False,
    "created": 1,
    "updated": 1,
    "unchanged": 0,
    "error": 0,
    "rows": [
        {"line": 2, "device_uid": "dev-01", "outcome": "updated", "fields": ["name"], "errors": []},
        {"line": 3, "device_uid": "dev-02", "outcome": "created", "fields": [], "errors": []},
    ],
}

REFUSED = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "code": "invalid",
    "detail": "3.is_enabled: Use true or false.",
    "errors": [{"field": "3.is_enabled", "code": "invalid", "detail": "Use true or false."}],
    "report": {
        "dry_run": False,
        "created": 0,
        "updated": 1,
        "unchanged": 0,
        "error": 1,
        "rows": [
            {
                "line": 2,
                "device_uid": "dev-01",
                "outcome": "updated",
                "fields": ["name"],
                "errors": [],
            },
            {
                "line": 3,
                "device_uid": "dev-02",
                "outcome": "error",
                "fields": [],
                "errors": [
                    {"field": "is_enabled", "code": "invalid", "detail": "Use true or false."}
                ],
            },
        ],
    },
}

JSON_EXPORTED = {
    "device_uid": "dev-01",
    "name": "Boiler room",
    "tenant": "t0",
    "type": "thermometer",
    "is_enabled": True,
    "labels": {"site": "Hanoi"},
}
