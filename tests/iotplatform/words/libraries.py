"""What the libraries say to people in pages of the console, read from their sources."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import django
import rest_framework
import unfold
from django.utils.translation.template import templatize

from tests.iotplatform.words.catalogue import Entry, entries

UNFOLD, DJANGO, REST = (
    Path(package.__file__).parent for package in (unfold, django, rest_framework)
)
# Of Unfold's additions those that the settings install; the others are for libraries not used here.
ADDITIONS = ("filters", "forms")
REST_FILES = ("fields", "serializers", "validators", "relations", "exceptions")
CALLS = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy"}
ENGLISH = "locale/en/LC_MESSAGES/django.po"
NO_TEXTS = {"LogEntry Object", "%(class_name)s %(instance)s", "Humanize"}
"""Nobody sees them, or there is nothing to translate."""
IN_TEMPLATE = re.compile(r"""(?<!\w)(_|n?gettext)\((u?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"))""")


def texts() -> set[str]:
    """The texts of Unfold and of REST framework's fields; of a plural, the singular."""
    found = set()
    for path in UNFOLD.rglob("*"):
        addition = re.match(r"contrib/(\w+)", str(path.relative_to(UNFOLD)))
        if addition and addition[1] not in ADDITIONS:
            continue
        if path.suffix == ".html":
            found.update(in_template(path.read_text()))
        elif path.suffix == ".py":
            found.update(in_python(path.read_text()))
    for name in REST_FILES:
        found.update(in_python((REST / f"{name}.py").read_text()))
    return found - {""}


def in_django() -> list[Entry]:
    """Those of Django's pages, as its English catalogues list them."""
    paths = [DJANGO / "contrib" / app / ENGLISH for app in ("admin", "auth", "humanize")]
    return [each for path in paths for each in entries(path) if each.text not in NO_TEXTS]


def in_template(source: str) -> Iterator[str]:
    for match in IN_TEMPLATE.finditer(templatize(source)):
        yield ast.literal_eval(match[2])


def in_python(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        name = (
            node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        )
        if name in CALLS and node.args and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)
