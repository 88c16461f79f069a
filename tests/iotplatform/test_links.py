"""Pages of the documentation lead to files that there are, and to headings in them."""

import re
from pathlib import Path

import pytest

from tests.iotplatform.processes import ROOT

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)#?([^)\s]*)\)")


def anchors(page: Path) -> set[str]:
    """The headings of a page as they stand in addresses: small letters, and - for blanks."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for file, anchor in LINK.findall(page.read_text()):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), file
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), (file, anchor)
