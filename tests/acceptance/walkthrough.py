"""A page of commands and their answers: executes the commands, and writes down what is said now.

Commands are in blocks marked `sh`, all for one shell. The block after one of them, marked `json`,
`http` or `text`, is its answer; what has none prints nothing.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from devices.commands.reasons import NO_DISPATCHER

EXAMPLE = re.compile(
    r"```sh\n(?P<commands>.*?)```\n(\n```(?P<kind>json|http|text)\n(?P<answer>.*?)```\n)?",
    re.DOTALL,
)
SERVER = "http://127.0.0.1:8000"
"""Where the page believes the server to be."""
WIDTH = 100

TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
SECRET = re.compile(r"\b[0-9a-f]{64}\b")
"""The token of a device, or an enrolment key."""
CURSOR = re.compile(r"cursor=[^>&\s]+")
MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+)(Z|\+00:00)")
SOME_MOMENT = datetime(2026, 1, 14, 12, 30, tzinfo=UTC)
RANDOM_ID = re.compile(
    r"(?!0{8})[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
SOME_ID = "7f1e5c1a-3b53-4f0e-9c56-0d8a4f6b2f"
HEADERS = ("Content-Type", "Idempotency-Replayed", "Link", "Location", "WWW-Authenticate")
"""Those that are of interest; the rest is left out."""
UNHURRIED = json.dumps(NO_DISPATCHER, ensure_ascii=False)
"""What is told of a command after some time: nobody publishes those of the page."""


def commands(page: str) -> list[str]:
    return [example["commands"] for example in EXAMPLE.finditer(page)]


def walk(page: str, server: str, started: datetime, directory: Path) -> str:
    """The page with the answers that `server`, filled and started at `started`, gives now."""
    script = "\nprintf '\\0'\n".join(commands(page)).replace(SERVER, server)
    said = execute(script, directory).replace(server, SERVER)
    answers = iter(lasting(said, started).split("\0"))
    return EXAMPLE.sub(lambda example: rewritten(example, next(answers)), page)


def execute(script: str, directory: Path) -> str:
    """What a shell in `directory` prints; it complains about nothing."""
    (directory / ".curlrc").write_text("silent\nshow-error\n")
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "CURL_HOME": str(directory), "LANG": "C.UTF-8"},
        capture_output=True,
        timeout=180,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


def lasting(text: str, started: datetime) -> str:
    """The text without what is different each time: tokens, cursors, random ids, and times since
    `started`."""
    ids: dict[str, str] = {}

    def moment(found: re.Match[str]) -> str:
        hours, _ = divmod(datetime.fromisoformat(found[0]) - started, timedelta(hours=1))
        some = SOME_MOMENT + timedelta(hours=hours)
        return found[0] if hours < 0 else f"{some:%Y-%m-%dT%H:%M:%S}{found[2]}"

    def id(found: re.Match[str]) -> str:
        return ids.setdefault(found[0], f"{SOME_ID}{len(ids) + 1:02}")

    text = RANDOM_ID.sub(id, text.replace(UNHURRIED, "null"))
    text = TOKEN.sub("eyJhbGciOi…", text.replace("\r\n", "\n"))
    text = SECRET.sub("9f86d081…", text)
    return MOMENT.sub(moment, CURSOR.sub("cursor=…", text))


def rewritten(example: re.Match[str], said: str) -> str:
    kind = example["kind"]
    if not kind:
        assert not said, f"{example['commands']} should have an answer below it:\n{said}"
        return example[0]
    write = {"json": of_json, "http": of_http, "text": str}[kind]
    return f"```sh\n{example['commands']}```\n\n```{kind}\n{write(said).rstrip()}\n```\n"


def of_http(said: str) -> str:
    head, _, body = said.partition("\n\n")
    status, *headers = head.splitlines()
    kept = [line for line in headers if line.partition(":")[0] in HEADERS]
    return "\n".join([status, *kept, "", of_json(body) if body else ""])


def of_json(said: str) -> str:
    return "\n".join(lines(json.loads(said)))


def lines(value: Any, before: str = "", after: str = "") -> Iterator[str]:
    """JSON in lines of at most WIDTH where that is possible, as few as that takes."""
    text = before + json.dumps(value, ensure_ascii=False) + after
    if len(text) <= WIDTH or not value or not isinstance(value, list | dict):
        yield text
        return
    margin = " " * (len(before) - len(before.lstrip()))
    pairs = [("", each) for each in value]
    if isinstance(value, dict):
        pairs = [(f"{json.dumps(key)}: ", each) for key, each in value.items()]
    opening, closing = "[]" if isinstance(value, list) else "{}"
    yield before + opening
    for number, (name, each) in enumerate(pairs, 1):
        yield from lines(each, f"{margin}  {name}", "," * (number < len(pairs)))
    yield margin + closing + after
