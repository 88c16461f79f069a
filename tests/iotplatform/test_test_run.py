"""A run of the tests says what it could not run; `make test-all` does not begin without it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.iotplatform.processes import ROOT


@pytest.fixture
def path_without_chromium(tmp_path: Path) -> str:
    for name in ("sh", "true", "unshare", "setpriv"):
        if program := shutil.which(name):
            (tmp_path / name).symlink_to(program)
    return str(tmp_path)


def run_tests(**variables: str) -> subprocess.CompletedProcess[str]:
    this = f"{__file__}::test_the_makefile_asks_for_everything"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", this],
        cwd=ROOT,
        env={**os.environ, "REQUIRE_ALL": "", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_missing_program_is_named_in_the_summary(path_without_chromium: str) -> None:
    done = run_tests(PATH=path_without_chromium)
    assert done.returncode == 0, done.stdout
    assert "NOT RUN: tests that need chromium, which is not installed: apt-get" in done.stdout


def test_a_missing_program_fails_a_run_that_requires_all(path_without_chromium: str) -> None:
    done = run_tests(PATH=path_without_chromium, REQUIRE_ALL="1")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "apt-get install chromium" in done.stdout


def test_the_makefile_asks_for_everything() -> None:
    assert "REQUIRE_ALL=1 $(RUN) -m pytest" in (ROOT / "Makefile").read_text()
