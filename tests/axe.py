"""What axe-core, an independent judge of accessibility, finds on a page that is open."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

GRAVE = ("serious", "critical")
MOST_PLACES = 5
"""Of each finding; the others are mostly of the same kind."""
ALL_RULES: list[str] = []


def serious(page: Page, rules: list[str] = ALL_RULES) -> list[str]:
    """Findings that keep people from using the page: a rule, where, and what is missing."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = rules
    found = Axe().run(page, options=options).response["violations"]
    return [
        line for violation in found if violation["impact"] in GRAVE for line in lines_of(violation)
    ]


def lines_of(violation: dict[str, Any]) -> list[str]:
    return [
        f"{violation['id']}: {' '.join(map(str, node['target']))}: {node['html'][:160]}: "
        f"{'; '.join(check['message'] for check in node['any'] + node['all'] + node['none'])}"
        for node in violation["nodes"][:MOST_PLACES]
    ]
