"""`make screenshots`: the console as it looks on a demo with a day of history, for README and docs.

It starts the demo in a directory of its own, fills in what a fleet would have said before, and
opens the pages in Debian's Chromium.
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.acceptance.browsers import launch
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
START_SECONDS = 120
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}

DEVICE = "/admin/devices/device/{device}/change/"
DAY = "?range=86400&keys=temperature,humidity"
# (file, address, width, theme, language); {device} is the key of the device that is shown.
PICTURES = [
    ("home.png", "/admin/", DESKTOP, "light", "en"),
    ("home-dark.png", "/admin/", DESKTOP, "dark", "en"),
    ("home-vi.png", "/admin/", DESKTOP, "light", "vi"),
    ("devices.png", "/admin/devices/device/", DESKTOP, "light", "en"),
    ("device.png", f"{DEVICE}{DAY}", DESKTOP, "light", "en"),
    ("device-phone.png", f"{DEVICE}{DAY}", PHONE, "dark", "en"),
    ("rejected.png", "/admin/telemetry/rejectedmessage/", DESKTOP, "light", "en"),
]


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="iotplatform-") as directory:
        Path(directory).chmod(0o711)
        environment = {
            **os.environ,
            "LOCAL_DIR": directory,
            "PORT": str(free_port()),
            "MQTT__PORT": str(free_port()),
        }
        with demo(environment) as address:
            device = seed(environment)
            with sync_playwright() as playwright:
                browser = launch(playwright)
                for name, path, size, theme, language in PICTURES:
                    page = browser.new_page(
                        base_url=address, viewport=size, color_scheme=theme, locale=language
                    )
                    take(page, path.format(device=device), IMAGES / name)
                    page.close()
                browser.close()


@contextmanager
def demo(environment: dict[str, str]) -> Iterator[str]:
    """The address of a demo that runs."""
    address = f"http://127.0.0.1:{environment['PORT']}"
    command = [sys.executable, "manage.py", "demo"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(f"{address}/healthz", process)
            yield address
        finally:
            process.terminate()
            process.wait(60)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise RuntimeError("The demo did not start: see what “make demo” says.")


def seed(environment: dict[str, str]) -> str:
    """Gives the demo a history; the key of the device to show."""
    script = (Path(__file__).parent / "seed.py").read_text()
    command = [sys.executable, "manage.py", "shell", "--verbosity=0", "-c", script]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def take(page: Page, path: str, file: Path) -> None:
    page.goto("/admin/")
    page.locator("[name=username]").fill("admin@example.com")
    page.locator("[name=password]").fill("demo")
    page.locator("[type=submit]").click()
    page.wait_for_url("**/admin/")
    page.goto(path)
    # Charts come after the page, and its own refreshing is never over.
    page.wait_for_timeout(2_500)
    page.screenshot(path=file)


if __name__ == "__main__":
    main()
