"""What the published document says of devices and their types is what is answered."""

import pytest
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

from devices.models import DeviceType
from tests import cast as people
from tests.cast import NOON, api

ADDRESSES = ["/devices", "/devices/{device_uid}", "/device-types", "/device-types/{id}"]


@pytest.fixture(scope="module")
def document() -> dict:
    return SchemaGenerator().get_schema(request=None, public=True)


def faults_of(document, answer, component, *, is_list=False) -> list[str]:
    schema = {"$ref": f"#/components/schemas/{component}"}
    if is_list:
        schema = {"type": "array", "items": schema, "minItems": 1}
    validator = Draft202012Validator(schema | {"components": document["components"]})
    return [error.message for error in validator.iter_errors(answer.json())]


def operations(document) -> list[tuple[str, str, dict]]:
    return [
        (address, method, operation)
        for address in ADDRESSES
        for method, operation in document["paths"][address].items()
    ]


def test_every_operation_has_a_summary_and_examples(document):
    for address, method, operation in operations(document):
        assert operation["summary"], (address, method)
        bodies = [operation.get("requestBody"), *operation["responses"].values()]
        content = [
            body["content"]["application/json"]
            for body in bodies
            if body and "application/json" in body.get("content", {})
        ]
        assert all(media["examples"] for media in content), (address, method)
        assert content or method == "delete"


def test_every_operation_says_what_it_answers(document):
    codes = {
        (address, method): next(iter(operation["responses"]))
        for address, method, operation in operations(document)
    }
    assert {codes[address, "post"] for address in ADDRESSES[::2]} == {"201"}
    assert {codes[address, "delete"] for address in ADDRESSES[1::2]} == {"204"}
    assert {codes[address, "get"] for address in ADDRESSES} == {"200"}


def test_examples_are_what_the_document_says(document):
    for address, _, operation in operations(document):
        for code in ("200", "201"):
            for media in operation["responses"].get(code, {}).get("content", {}).values():
                for example in media["examples"].values():
                    schema = media["schema"] | {"components": document["components"]}
                    assert Draft202012Validator(schema).is_valid(example["value"]), address


def test_a_request_may_hold_nothing_that_the_document_does_not_name(document):
    for name in ("DeviceRequest", "PatchedDeviceChangeRequest", "DeviceTypeRequest"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False


def test_devices_are_answered_as_the_document_says(cast, document):
    latest = {"a": [None, 0.5], "b": [{"x": [1]}, 1.0], "c": ["", -1.0]}
    people.device("dev-02", cast.t0, last_seen_at=NOON, since=NOON, latest=latest)
    app = api(cast.operator)
    assert not faults_of(document, app.get("/devices"), "Device", is_list=True)
    assert not faults_of(document, app.get("/devices/dev-02"), "Device")
    assert not faults_of(document, app.post("/devices", {"device_uid": "x"}), "Device")
    assert not faults_of(document, app.patch("/devices/x", {"labels": {"a": "b"}}), "Device")


def test_device_types_are_answered_as_the_document_says(cast, document):
    DeviceType.objects.create(name="shared")
    app = api(cast.admin)
    fields = {"temp": {"min": 1, "max": 2.5, "unit": "°C", "label": ""}}
    made = app.post("/device-types", {"name": "x", "fields": fields})
    assert not faults_of(document, made, "DeviceType")
    assert not faults_of(document, app.get("/device-types"), "DeviceType", is_list=True)
    assert not faults_of(document, app.patch(made["Location"], {"name": "y"}), "DeviceType")
    assert not faults_of(document, app.get("/device-types/0"), "Problem")


def test_the_document_is_strict_enough_to_notice(cast, document):
    answer = api(cast.viewer).get("/device-types/0")
    assert faults_of(document, answer, "Device")
