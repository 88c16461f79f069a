"""The console's own scripts in a real browser, on pages that have nothing but what they are for."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.iotplatform.processes import ROOT

pytestmark = pytest.mark.chromium

SITE = "http://console.test/"
"""Without TLS, so that the browser has no clipboard for it."""
SECRET = "3f1c0b7d"
PAGES = {
    "copy": f'<pre id="token">{SECRET}</pre><button data-copy="token" data-copied="Copied" '
    'data-selected="Selected: copy it yourself">Copy the token</button>',
    "once": '<form method="post" data-once><span data-once-said hidden>Sent.</span>'
    "<button type=submit>Save</button></form>",
}
CLIPBOARD = """Object.defineProperty(navigator, "clipboard", {value: {
    writeText: async (text) => { if (window.refuses) throw Error(); window.copied = text; }
}})"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()


def opened(page: Page, name: str) -> list[str]:
    """The page for the script of this name; a POST of its form is answered with a file.

    Returns the methods of the requests, which come later.
    """
    methods: list[str] = []

    def answer(route) -> None:
        methods.append(route.request.method)
        if route.request.method == "POST":
            headers = {"Content-Disposition": 'attachment; filename="tokens.csv"'}
            route.fulfill(body="token\n", headers=headers)
        else:
            route.fulfill(body=PAGES[name], content_type="text/html")

    page.route(f"{SITE}**", answer)
    page.goto(SITE)
    page.add_script_tag(path=ROOT / "devices" / "static" / "devices" / f"{name}.js")
    return methods


def selected(page: Page) -> str:
    return page.evaluate("getSelection().toString()")


@pytest.mark.parametrize("has_clipboard", [False, True])
def test_a_token_that_cannot_be_copied_is_selected_and_not_called_copied(page, has_clipboard):
    opened(page, "copy")
    if has_clipboard:
        page.evaluate(f"{CLIPBOARD}; window.refuses = true")
    page.get_by_role("button").click()
    expect(page.get_by_role("button")).to_contain_text("Selected: copy it")
    assert selected(page) == SECRET


def test_a_token_is_called_copied_when_it_is(page):
    opened(page, "copy")
    page.evaluate(CLIPBOARD)
    page.get_by_role("button").click()
    expect(page.get_by_role("button")).to_have_text("Copied")
    assert page.evaluate("window.copied") == SECRET


MINUTES, SECONDS, PAUSE = 30, 1, 400
"""Steps of ten seconds."""


@pytest.mark.parametrize(
    ("steps", "each", "gaps"),
    [
        ([MINUTES] * 12, 1, 0),
        ([MINUTES] * 12, 4, 0),
        ([MINUTES] * 12 + [SECONDS] * 99, 1, 0),
        ([MINUTES] * 12 + [SECONDS] * 99, 4, 0),
        ([MINUTES] * 6 + [PAUSE] + [MINUTES] * 6, 1, PAUSE - 1),
        ([SECONDS] * 20 + [MINUTES] + [SECONDS] * 20, 4, MINUTES - 1),
        ([SECONDS] * 9 + [2] + [SECONDS] * 9, 4, 1),
    ],
)
def test_a_line_is_joined_over_what_is_the_usual_distance_there(page, steps, each, gaps):
    counts = [each]
    for step in steps:
        counts += [0] * (step - 1) + [each]
    values = [1 if count else None for count in counts]
    page.add_script_tag(path=ROOT / "telemetry" / "static" / "telemetry" / "series.js")
    loaded = {
        "times": list(range(len(counts))),
        "values": {"t": {"avg": values, "min": values, "max": values, "count": counts}},
    }
    drawn = "(loaded) => series.columns(loaded, ['t'])[1].filter((value) => value === null).length"
    assert page.evaluate(drawn, loaded) == gaps


def test_a_form_whose_answer_is_a_file_is_sent_once(page):
    methods = opened(page, "once")
    with page.expect_download() as download:
        page.get_by_role("button").dblclick(no_wait_after=True)
    assert download.value.suggested_filename == "tokens.csv"
    expect(page.get_by_role("button")).to_be_disabled()
    expect(page.get_by_text("Sent.")).to_be_visible()
    assert methods == ["GET", "POST"]
