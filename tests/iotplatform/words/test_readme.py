"""The README in Vietnamese is the same README: commands, code, links and figures."""

import re

import pytest

from tests.iotplatform.processes import ROOT

BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```$|^(?: {4}[^\n]*\n)+", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r" +#.*$", re.MULTILINE)
PARTS = {
    "code": re.compile(r"`([^`\n]+)`"),
    "links": re.compile(r"\]\(((?!README)[^)]+)\)"),
    "addresses": re.compile(r"https?://[\w.:/]+"),
    "figures": re.compile(r"(?<![\w.])\d[\d,.]*(?<=\d)"),
    "headings": re.compile(r"^(#+) ", re.MULTILINE),
}


def read(name: str) -> str:
    return (ROOT / name).read_text()


def blocks(text: str) -> list[str]:
    """What people copy, without its comments."""
    return [COMMENT.sub("", match[0]) for match in BLOCK.finditer(text)]


def test_both_have_the_same_blocks_of_code():
    assert blocks(read("README.vi.md")) == blocks(read("README.md"))
    assert len(blocks(read("README.md"))) > 5


@pytest.mark.parametrize("part", PARTS)
def test_both_name_the_same(part):
    english, vietnamese = (
        PARTS[part].findall(BLOCK.sub("", read(name))) for name in ("README.md", "README.vi.md")
    )
    if part == "figures":
        english, vietnamese = map(plain, english), map(plain, vietnamese)
    assert sorted(vietnamese) == sorted(english)


def plain(figure: str) -> str:
    """71,000 and 0.8 are 71.000 and 0,8 in Vietnamese."""
    return re.sub(r"[.,]", "", figure)


def test_each_leads_to_the_other():
    assert "(README.vi.md)" in read("README.md").split("\n\n")[1]
    assert "(README.md)" in read("README.vi.md").split("\n\n")[1]
