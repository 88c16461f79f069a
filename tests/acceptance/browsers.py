"""Debian's Chromium, and pages of it in which nothing may go wrong."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, Page, Playwright

# Nothing that would ask other servers.
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def launch(playwright: Playwright) -> Browser:
    program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    return playwright.chromium.launch(executable_path=program, chromium_sandbox=False, args=FLAGS)


@contextlib.contextmanager
def watched(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page of the server at `url`, in which nothing may go wrong: no error of a script or in the
    console of the browser, and no question to anybody else."""
    context = browser.new_context(base_url=url, **options)
    page = context.new_page()
    page.set_default_timeout(10_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: said.type == "error" and faults.append(said.text))
    page.on("request", lambda request: faults.append(request.url) if is_far(request.url) else None)

    def is_far(address: str) -> bool:
        return not address.startswith((f"{url}/", "data:", "blob:"))

    yield page
    context.close()
    assert not faults
