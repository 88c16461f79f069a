"""`make licences`: writes docs/licences.md, the terms of everything that is used or passed on."""

import re
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "licences.md"


class Used(NamedTuple):
    """Something of others: an SPDX expression, where it comes from, what it is for here."""

    name: str
    licence: str
    home: str
    what: str = ""


VENDORED = {
    "telemetry/static/vendor/uplot/LICENSE": Used(
        "uPlot", "MIT", "https://github.com/leeoniya/uPlot", "charts in the console"
    ),
    "accounts/static/accounts/fonts/LICENSE-Inter": Used(
        "Inter", "OFL-1.1", "https://github.com/rsms/inter", "the letters of the console, a part"
    ),
    "accounts/static/accounts/fonts/LICENSE-icons": Used(
        "Material Symbols", "Apache-2.0", "https://github.com/google/material-design-icons",
        "the icons of the console, a part",
    ),
    "tests/iotplatform/compose_spec/LICENSE": Used(
        "Compose specification", "Apache-2.0", "https://github.com/compose-spec/compose-spec",
        "its schema, for tests alone",
    ),
}  # fmt: skip
"""What lies in this repository with a licence of its own beside it."""

IMAGES = {
    "python": Used("Python", "PSF-2.0", "https://docs.python.org/3/license.html", "our own image"),
    "postgres": Used("PostgreSQL", "PostgreSQL", "https://www.postgresql.org/about/licence/"),
    "emqx/emqx": Used(
        "EMQX", "Apache-2.0", "https://github.com/emqx/emqx/blob/release-58/LICENSE",
        "up to 5.8; from 5.9 on it is under the Business Source License, so do not go further "
        "without reading that",
    ),
    "eclipse-mosquitto": Used(
        "Mosquitto", "EPL-2.0 OR BSD-3-Clause", "https://github.com/eclipse-mosquitto/mosquitto",
        "the latter as Eclipse Distribution License 1.0",
    ),
    "nginx": Used("nginx", "BSD-2-Clause", "https://nginx.org/LICENSE"),
    "prom/prometheus": Used(
        "Prometheus", "Apache-2.0", "https://github.com/prometheus/prometheus"
    ),
}  # fmt: skip
"""What an installation pulls, by the name of its image."""

IN_WHEELS = (
    Used("Swagger UI", "Apache-2.0", "https://github.com/swagger-api/swagger-ui", "`/docs`"),
    Used("Alpine.js", "MIT", "https://alpinejs.dev/", "with Unfold, as the next three"),
    Used("htmx", "0BSD", "https://htmx.org/"),
    Used("Chart.js", "MIT", "https://www.chartjs.org/"),
    Used("SimpleBar", "MIT", "https://github.com/Grsmto/simplebar"),
    Used("jQuery", "MIT", "https://jquery.com/", "with Django, as the next one"),
    Used("Select2", "MIT", "https://select2.org/"),
    Used("Bootstrap 3", "MIT", "https://getbootstrap.com/", "with REST framework's pages"),
    Used("libpq", "PostgreSQL", "https://www.postgresql.org/", "in psycopg-binary, as OpenSSL"),
    Used("OpenSSL 3", "Apache-2.0", "https://www.openssl.org/"),
)
"""What comes inside of packages and goes to browsers or is linked."""

PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MIT-0", "PSF-2.0", "PostgreSQL",
}  # fmt: skip
"""Licences that ask for no more than that their notice stays."""
WITH_TERMS = {
    "LGPL-3.0-only": "psycopg is used as it is, imported at run time and exchangeable by whoever "
    "installs it; nothing of it is copied into the sources, which therefore stay under MIT. "
    "Whoever passes on an image passes on the licence too, and where psycopg's sources are.",
    "MPL-2.0": "of orjson, used unchanged: only changes to its own files would have to be shown.",
    "OFL-1.1": "of the font Inter: it may be bundled with any software, and is not sold by itself. "
    "No font name is reserved, so a part of it may keep the name.",
    "EPL-2.0": "as one choice of two of paho-mqtt and Mosquitto; BSD-3-Clause is the other.",
}
"""Licences with conditions beyond that → why they are fine here."""

HOMES = (
    "source",
    "source code",
    "code",
    "repository",
    "github",
    "homepage",
    "home",
    "documentation",
)
# What packages say that name no SPDX expression.
SPOKEN = {
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "BSD 3-Clause OR Apache-2.0": "BSD-3-Clause OR Apache-2.0",
    "MIT License": "MIT",
}


def requirements() -> list[Requirement]:
    """What requirements.txt pins for this system."""
    text = re.sub(r" *\\\n *", " ", (ROOT / "requirements.txt").read_text())
    pinned = [line.partition(" --hash")[0] for line in text.splitlines()]
    found = [Requirement(line) for line in pinned if line and not line.startswith("#")]
    return [each for each in found if not each.marker or each.marker.evaluate()]


def package(name: str) -> Used:
    about = metadata.metadata(name)
    return Used(name, licence(about), home(about))


def home(about: metadata.PackageMetadata) -> str:
    """Where its sources are, or what comes nearest."""
    said = (text.partition(", ") for text in about.get_all("Project-URL") or [])
    addresses = {label.lower(): address for label, _, address in said}
    found = [addresses[label] for label in HOMES if label in addresses]
    return about["Home-page"] or (found[0] if found else "")


def licence(about: metadata.PackageMetadata) -> str:
    """The SPDX expression in what a package says of itself, in one of three places."""
    classifiers = about.get_all("Classifier") or []
    said = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License ::")]
    text = about["License-Expression"] or about["License"] or " AND ".join(said)
    return SPOKEN.get(text, text)


def packages() -> list[Used]:
    return [package(each.name) for each in requirements()]


def images() -> set[str]:
    """The names in the compose files and the Dockerfile, without tags; not our own."""
    texts = [path.read_text() for path in (*ROOT.glob("docker-compose*.yml"), ROOT / "Dockerfile")]
    named = re.compile(r"^(?: +image:|FROM) ([\w/-]+)", re.MULTILINE)
    return set(named.findall("\n".join(texts))) - {"iotplatform", "base"}


def terms(expression: str) -> set[str]:
    """The licences in an SPDX expression."""
    return set(re.split(r" (?:AND|OR) ", expression.replace("(", "").replace(")", "")))


def everything() -> list[Used]:
    return [*packages(), *IN_WHEELS, *VENDORED.values(), *IMAGES.values()]


def table(rows: list[Used]) -> str:
    names = [f"[{row.name}]({row.home})" if row.home else row.name for row in rows]
    lines = [
        f"| {name} | {row.licence} | {row.what} |" for name, row in zip(names, rows, strict=True)
    ]
    return "\n".join(["| | licence | |", "|---|---|---|", *lines])


def page() -> str:
    reasons = "\n".join(f"- **{name}**: {reason}" for name, reason in WITH_TERMS.items())
    return f"""# Licences

The platform itself is under the [MIT licence](../LICENSE). This is what it uses. `make licences`
writes the page, from what the packages of `requirements.txt` say of themselves; a test fails if it
is not current or a licence is new.

## Python packages

{table(packages())}

`tzdata` (Apache-2.0) comes beside these on Windows. What tests and development need
(`requirements-dev.txt`) is not passed on.

## Inside of those packages

{table(list(IN_WHEELS))}

## In this repository

{table(list(VENDORED.values()))}

## Images

`docker-compose.yml` names these; whoever installs pulls them from their makers. Each is a program
of its own, spoken to over the network. The images contain a Linux distribution with its own
licences, the GPL among them.

{table(list(IMAGES.values()))}

## Those that ask for more than a notice

{reasons}
"""


if __name__ == "__main__":
    PAGE.write_text(page())
