"""What an operator asks first when something is wrong, and now and then when nothing is."""

import json
import sys
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand

from iotplatform.doctor.everything import CHECKS
from iotplatform.doctor.examination import examine
from iotplatform.doctor.finding import Finding, State

WIDTH = 18
STYLES = {State.OK: "SUCCESS", State.WARNING: "WARNING", State.PROBLEM: "ERROR"}


class Command(BaseCommand):
    help = (
        "Look at the whole installation and say what is wrong and what to do. Changes nothing. "
        "Ends with 1 if there is a problem. With -v 0 it is silent about what is well."
    )
    # What they find is told with all else.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
        parser.add_argument(
            "--strict", action="store_true", help="end with 1 if there is a warning, too"
        )

    def handle(self, *args: Any, strict: bool, verbosity: int, **options: Any) -> None:
        found = []
        for finding in examine(CHECKS):
            found.append(finding)
            if not options["json"] and (verbosity or finding.state is not State.OK):
                self.show(finding)
        count = Counter(finding.state for finding in found)
        problems, warnings = count[State.PROBLEM], count[State.WARNING]
        if options["json"]:
            findings = [finding.as_json() for finding in found]
            said = {"findings": findings, "problems": problems, "warnings": warnings}
            self.stdout.write(json.dumps(said, ensure_ascii=False))
        elif verbosity or problems or warnings:
            self.stdout.write(f"Problems: {problems}, warnings: {warnings}.")
        if problems or (strict and warnings):
            sys.exit(1)

    def show(self, finding: Finding) -> None:
        state = getattr(self.style, STYLES[finding.state])(f"{finding.state:8}")
        self.stdout.write(f"{state} {finding.subject:{WIDTH}} {finding.said}")
        if finding.advice:
            self.stdout.write(f"{'':8} {'':{WIDTH}} → {finding.advice}")
        self.stdout.flush()
