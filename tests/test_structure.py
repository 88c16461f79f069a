"""Rules about the shape of the code that no single test of a part could hold."""

import ast
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from pathlib import Path

from django.core.management import call_command

ROOT = Path(__file__).resolve().parent.parent
APPS = ["accounts", "devices", "telemetry", "iotplatform"]
"""In the order of imports: each may use those before it and none after."""
LONGEST_FILE = 400
LONGEST_FUNCTION = 50


def sources(*folders: str) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "migrations" not in path.parts
    )


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
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


@functools.cache
def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]


def breaking(rule: Callable[[Path], bool], paths: Iterable[Path]) -> list[str]:
    """The files for which it is not so. One test for all of them: 1,800 would take ten seconds."""
    return [named(path) for path in paths if not rule(path)]


PRODUCT = sources(*APPS)


def test_imports_never_turn_back():
    def goes_one_way(path: Path) -> bool:
        app = APPS.index(path.relative_to(ROOT).parts[0])
        packages = {name.partition(".")[0] for name in imported(path)}
        return not packages & set(APPS[app + 1 :])

    assert not breaking(goes_one_way, PRODUCT)


def test_mqtt_knows_nothing_of_django_or_the_platform():
    def is_allowed(name: str) -> bool:
        others = ("django", *APPS)
        return name.partition(".")[0] not in others or name.startswith("devices.mqtt")

    assert not breaking(lambda path: all(map(is_allowed, imported(path))), sources("devices/mqtt"))


def test_no_import_hides_inside_a_function():
    def imports_at_its_top(path: Path) -> bool:
        inside = (inner for function in functions(path) for inner in ast.walk(function))
        return not any(isinstance(node, ast.Import | ast.ImportFrom) for node in inside)

    assert not breaking(imports_at_its_top, PRODUCT)


def test_no_function_is_too_long_to_read():
    def is_short(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        return (function.end_lineno or 0) - function.lineno < LONGEST_FUNCTION

    assert not breaking(lambda path: all(map(is_short, functions(path))), PRODUCT)


def test_no_file_is_too_long_to_read():
    def is_short(path: Path) -> bool:
        return len(path.read_text().splitlines()) <= LONGEST_FILE

    assert not breaking(is_short, sources(*APPS, "tests", "benchmarks"))


def test_every_module_says_what_it_is():
    def says(path: Path) -> bool:
        is_empty = path.name == "__init__.py" and not path.read_text()
        return is_empty or bool(ast.get_docstring(tree(path)))

    assert not breaking(says, PRODUCT)


def test_there_is_no_drawer_for_everything():
    drawers = {"utils.py", "helpers.py", "common.py", "misc.py", "signals.py"}
    assert not [named(path) for path in PRODUCT if path.name in drawers]


def test_the_migrations_say_all_that_the_models_say(db):
    answer = StringIO()
    call_command("makemigrations", check=True, dry_run=True, stdout=answer, stderr=answer)
    assert answer.getvalue() == "No changes detected\n"


def test_every_migration_is_named():
    def is_named(path: Path) -> bool:
        name = re.fullmatch(r"\d{4}_[a-z]\w+", path.stem)
        return bool(name) and "auto" not in path.stem.split("_")

    assert not breaking(is_named, sorted(ROOT.glob("*/migrations/0*.py")))
