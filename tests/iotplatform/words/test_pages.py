"""Every page of the console in Vietnamese has no text in common with the English one."""

import re
from html.parser import HTMLParser

import pytest
from django.test import Client

from tests.accounts import test_pages as pages
from tests.accounts.test_pages import PAGES, address, browser

cast = pages.cast

SHOWN = ("title", "placeholder", "aria-label", "alt")
UNSEEN = ("script", "style", "pre", "code")
SAME = re.compile(
    r"""
    # Of products, formats and parts of the platform; a key.
    \b(?:IoT\ platform|English|Tiếng\ Việt|en|vi|esc|UTC|UID|JSON|CSV|NDJSON|Hex|MQTT)\b
    | \b(?:Menu|Webhook|Topic|Ingestor|Dispatcher)\b
    # Data: addresses, ids, commands, what the cast is called.
    | \S+@\S+\.example | \S+@example\.com | https://\S+ | [\w:]+/[\w/-]+ | [0-9a-f]{8}-[0-9a-f-]{27}
    | \b(?:Device\ )?(?:dev|foreign)-01\b | \bt0\b | Other\ Ltd | Sensor | Lot\ 7 | Pumps
    | reboot | site:Hanoi | device_disabled
    """,
    re.VERBOSE,
)
"""What may be the same in both languages."""
WORD = re.compile(r"[^\W\d_]{2}")


class Texts(HTMLParser):
    """What people read of a page: text, and attributes that are shown or read out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        is_icon = "material-symbols-outlined" in (given.get("class") or "")
        if tag in UNSEEN or is_icon or (self.unseen and tag == self.unseen[0]):
            self.unseen.append(tag)
        names = (*SHOWN, "value") if given.get("type") in ("submit", "button") else SHOWN
        self.found.update(" ".join((given.get(name) or "").split()) for name in names)

    def handle_endtag(self, tag: str) -> None:
        if self.unseen and tag == self.unseen[-1]:
            self.unseen.pop()

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.found.add(" ".join(data.split()))


def texts(page: str) -> set[str]:
    reader = Texts()
    reader.feed(page)
    return reader.found


def left_over(client: Client, url: str) -> set[str] | None:
    """What a page says in English to who reads Vietnamese; nothing if it is no page."""
    found = []
    for language in ("en", "vi"):
        answer = client.get(url, headers={"accept-language": language})
        if answer.status_code != 200 or "html" not in answer["content-type"]:
            return None
        found.append(texts(answer.text))
    return {text for text in found[0] & found[1] if WORD.search(SAME.sub("", text))}


def test_no_page_has_english_left_over_in_vietnamese(cast):
    client = browser("staff", cast)
    left = {name: left_over(client, address(name, cast)) for name in PAGES}
    assert {name: said for name, said in left.items() if said} == {}
    assert sum(said is not None for said in left.values()) > 50


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("devices_device_command", {"life": "0", "unit": "7"}),
        ("devices_device_credential", {"gateway_for": "nobody"}),
        ("devices_enrolmentkey_add", {"name": "", "quota": "0"}),
        ("devices_devicetype_add", {"name": "", "fields": "{"}),
        ("devices_device_import", {}),
    ],
)
def test_what_a_form_refuses_it_says_in_vietnamese(cast, name, data):
    client, url = browser("staff", cast), address(name, cast)
    english, vietnamese = (
        texts(client.post(url, data, headers={"accept-language": language}).text)
        for language in ("en", "vi")
    )
    same = {text for text in english & vietnamese if WORD.search(SAME.sub("", text))}
    assert same - {"nobody"} == set()
