"""The published OpenAPI document: whole, true to its examples, and kept to by a running server."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from rest_framework_simplejwt.tokens import AccessToken

from devices.models import DeviceType
from tests import cast as people
from tests.acceptance.web import serving
from tests.iotplatform.document import document, operations
from tests.iotplatform.processes import manage

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
    "unsupported_method",
    "ignored_auth",
]
"""Of those left out, three cannot hold: what the document allows may be refused all the same (a
name that is taken, a cursor that was made up), some of what it does not allow is taken (an empty
filter, a number for a text), and nothing says which example exists."""
REQUESTS = re.compile(r"^ +(\d+) generated", re.MULTILINE)


def contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What an operation takes and answers, but for errors that all operations have."""
    answers = operation["responses"].items()
    bodies = [body for status, body in answers if not status.endswith("XX")]
    for body in (operation.get("requestBody", {}), *bodies):
        yield from body.get("content", {}).values()


def test_the_document_is_made_without_a_warning(tmp_path):
    done = manage(
        *("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml")),
        DEBUG="1",
        LOCAL_DIR=str(tmp_path),
        DATABASE_URL="postgresql://nobody@127.0.0.1/nothing",
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_document_is_of_openapi_3_1():
    assert document()["openapi"].startswith("3.1")


def test_every_operation_has_a_name_of_its_own_in_words():
    names = Counter(operation["operationId"] for _, operation in operations())
    assert set(names.values()) == {1}
    assert all(re.fullmatch("[a-z]+(_[a-z]+)+", name) for name in names)


def test_every_operation_says_in_a_few_words_what_it_does():
    summaries = [operation.get("summary", "") for _, operation in operations()]
    assert all(0 < len(summary) < 60 for summary in summaries)


def test_everything_that_goes_in_or_out_has_an_example():
    for path, operation in operations():
        assert all(content.get("examples") for content in contents(operation)), path


def test_examples_are_as_the_document_says():
    for path, operation in operations():
        for content in contents(operation):
            schema = content["schema"] | {"components": document()["components"]}
            validator = Draft202012Validator(schema, format_checker=FormatChecker())
            for name, example in content["examples"].items():
                assert list(validator.iter_errors(example["value"])) == [], (path, name)


def test_no_parameter_has_an_example_that_swagger_ui_would_send():
    for path, operation in operations():
        asked = [each for each in operation.get("parameters", []) if each["in"] == "query"]
        assert not [each for each in asked if "example" in str(each)], path


def test_the_document_speaks_to_those_who_use_it_and_not_of_its_making():
    schemas = document()["components"]["schemas"].values()
    said = [schema.get("description", "") for schema in schemas]
    said += [operation.get("description", "") for _, operation in operations()]
    assert not [text for text in said if re.search(r"\.py|PostgreSQL|serializer|Refuses", text)]


@pytest.fixture
def full(cast: SimpleNamespace) -> SimpleNamespace:
    """Something at the addresses that the document's examples speak of."""
    DeviceType.objects.create(name="weather station", tenant=cast.t0)
    people.rejected(cast.t0, b'{"temp": 1}')
    people.rejected(None, b"\xff\x00", topic=b"\xff", reason="malformed_topic")
    people.readings(cast.device, 20)
    people.reading(cast.device, temp=None, hum={"a": [1, "x"]}, on=True)
    return cast


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("actor", "phases", "examples", "least"),
    [("staff", "examples,coverage,fuzzing", 4, 3000), ("operator", "examples,fuzzing", 2, 150)],
)
def test_a_server_keeps_to_the_document_whatever_it_is_sent(
    full, tmp_path, actor, phases, examples, least
):
    token = AccessToken.for_user(getattr(full, actor))
    with serving(tmp_path, ENROLMENT="1") as url:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/schema", "--no-color"),
                *("--header", f"Authorization: Bearer {token}"),
                *("--checks", ",".join(CHECKS), "--phases", phases),
                *("--max-examples", str(examples), "--seed", "20260114"),
                *("--generation-deterministic", "--no-shrink", "--continue-on-failure"),
                *("--warnings", "off"),
                # They do not end; tests/telemetry/live has them.
                *("--exclude-path-regex", "^/live/"),
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    tested = REQUESTS.search(done.stdout)
    assert tested
    assert int(tested[1]) > least, done.stdout[-400:]
    assert "Traceback" not in (tmp_path / "web.log").read_text()
