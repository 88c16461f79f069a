"""Rules about the shape of the code that no single test of a part could hold."""

import ast
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).resolve().parent.parent
APPS = ["accounts", "devices", "telemetry", "iotplatform"]
"""In the order of imports: each may use those before it and none after."""
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def sources(*folders: str) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "migrations" not in path.parts
    )


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imported(path: Path) -> Iterator[str]:
    """The full names of the modules that a file imports."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)}:{node.lineno} imports relatively"
            yield node.module or ""


PRODUCT = sources(*APPS)


@pytest.mark.parametrize("path", PRODUCT, ids=named)
def test_imports_never_turn_back(path):
    app = APPS.index(path.relative_to(ROOT).parts[0])
    packages = {name.partition(".")[0] for name in imported(path)}
    assert not packages & set(APPS[app + 1 :])


@pytest.mark.parametrize("path", sources("devices/mqtt"), ids=named)
def test_mqtt_knows_nothing_of_django_or_the_platform(path):
    for name in imported(path):
        assert name.partition(".")[0] not in ("django", *APPS) or name.startswith("devices.mqtt")


@pytest.mark.parametrize("path", PRODUCT, ids=named)
def test_no_import_hides_inside_a_function(path):
    functions = [
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    inside = [inner for function in functions for inner in ast.walk(function)]
    assert not [node.lineno for node in inside if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("path", PRODUCT, ids=named)
def test_no_function_is_too_long_to_read(path):
    functions = [
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    too_long = [f.name for f in functions if (f.end_lineno or 0) - f.lineno >= LONGEST_FUNCTION]
    assert not too_long


@pytest.mark.parametrize("path", sources(*APPS, "tests", "benchmarks"), ids=named)
def test_no_file_is_too_long_to_read(path):
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", PRODUCT, ids=named)
def test_every_module_says_what_it_is(path):
    is_empty = path.name == "__init__.py" and not path.read_text()
    assert is_empty or ast.get_docstring(tree(path))


def test_there_is_no_drawer_for_everything():
    drawers = {"utils.py", "helpers.py", "common.py", "misc.py", "signals.py"}
    assert not [named(path) for path in PRODUCT if path.name in drawers]


def test_the_migrations_say_all_that_the_models_say(db):
    answer = StringIO()
    call_command("makemigrations", check=True, dry_run=True, stdout=answer, stderr=answer)
    assert answer.getvalue() == "No changes detected\n"


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/migrations/0*.py")), ids=named)
def test_every_migration_is_named(path):
    assert re.fullmatch(r"\d{4}_[a-z]\w+", path.stem)
    assert "auto" not in path.stem.split("_")
