"""Compose files as Docker Compose reads them: variables filled in, then merged in order."""

import re
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from tests.iotplatform.processes import ROOT

BASE = "docker-compose.yml"
DEMO = "docker-compose.demo.yml"
LOCAL = "docker-compose.local.yml"
SECRETS = "docker-compose.secrets.yml"

# What a later file replaces where other lists grow.
COMMANDS = ("command", "entrypoint", "test")
DEFAULT = r"[^{}]*(?:\$\{[^}]*\})?"
VARIABLE = re.compile(rf"\$(?:(?P<dollar>\$)|\{{(?P<name>\w+)(?::-(?P<default>{DEFAULT}))?\}})")


@dataclass(frozen=True)
class Tagged:
    """A value behind “!reset”, which removes, or behind “!override”, which replaces."""

    tag: str
    value: Any


class Loader(yaml.SafeLoader):
    """YAML with the two tags of Compose."""


def tagged(loader: Loader, node: yaml.Node) -> Tagged:
    if isinstance(node, yaml.SequenceNode):
        return Tagged(node.tag, loader.construct_sequence(node, deep=True))
    return Tagged(node.tag, None)


for tag in ("!reset", "!override"):
    Loader.add_constructor(tag, tagged)


def load(*files: str, **variables: str) -> dict[str, Any]:
    """The project that `files` of the repository make, with `variables` as in `.env`."""
    parsed = [yaml.load((ROOT / name).read_text(), Loader) for name in files]
    return reduce(merge, (fill(each, variables) for each in parsed), {})


def fill(value: Any, variables: dict[str, str]) -> Any:
    """`value` with `${NAME}` and `${NAME:-default}` replaced in every text below it."""
    match value:
        case str():
            return VARIABLE.sub(
                lambda found: (
                    found["dollar"]
                    or variables.get(found["name"])
                    or fill(found["default"], variables)
                ),
                value,
            )
        case list():
            return [fill(each, variables) for each in value]
        case dict():
            return {key: fill(each, variables) for key, each in value.items()}
        case Tagged():
            return Tagged(value.tag, fill(value.value, variables))
    return value


def merge(lower: Any, upper: Any) -> Any:
    """Maps key by key, lists one after the other; of anything else `upper` holds."""
    if isinstance(lower, list) and isinstance(upper, list):
        return [*lower, *(each for each in upper if each not in lower)]
    if not isinstance(upper, dict):
        return upper
    merged = dict(lower) if isinstance(lower, dict) else {}
    for key, value in upper.items():
        match value:
            case Tagged(tag="!reset"):
                merged.pop(key, None)
            case Tagged(value=replacement):
                merged[key] = replacement
            case _:
                merged[key] = value if key in COMMANDS else merge(merged.get(key), value)
    return merged


def env_file(path: Path) -> dict[str, str]:
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


EXAMPLE = ROOT / ".env.example"


def environment(project: dict[str, Any], service: str, settings: Path = EXAMPLE) -> dict[str, str]:
    """What `service` finds in its environment, with the file `settings` as `.env`."""
    described = project["services"][service]
    name = described.get("env_file")
    file = env_file(settings if name == ".env" else ROOT / name) if name else {}
    return {**file, **described.get("environment", {})}


def platform_services(project: dict[str, Any]) -> dict[str, Any]:
    """The services that run our image."""
    services: dict[str, Any] = project["services"]
    return {name: each for name, each in services.items() if each["image"] == "iotplatform"}


def ends(service: dict[str, Any]) -> bool:
    """Whether it does something once, rather than staying."""
    return service.get("restart", "no") == "no"


def started(project: dict[str, Any], *profiles: str) -> dict[str, Any]:
    """The services that “docker compose up” starts with these profiles."""
    services: dict[str, Any] = project["services"]
    return {
        name: each
        for name, each in services.items()
        if not each.get("profiles") or set(each["profiles"]) & set(profiles)
    }
