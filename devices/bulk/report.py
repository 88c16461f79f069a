"""What becomes of the rows of a file: one by one, and in numbers."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from accounts.faults import faults_in
from devices.bulk.files import COLUMNS


class Outcome(models.TextChoices):
    CREATED = "created", pgettext_lazy("row of a file", "Created")
    UPDATED = "updated", _("Updated")
    UNCHANGED = "unchanged", _("Unchanged")
    ERROR = "error", _("with an error")


@dataclass
class Result:
    """What becomes of one row; `fields` are those that an update changes."""

    line: int
    device_uid: str
    outcome: Outcome
    fields: list[str] = field(default_factory=list)
    detail: Any = field(default_factory=dict)
    """What a ValidationError said of it."""

    @property
    def errors(self) -> list[dict[str, str | None]]:
        return [
            {"field": name, "code": what.code, "detail": what}
            for name, what in faults_in(self.detail)
        ]


@dataclass
class Report:
    """What an import does, or would do."""

    is_dry_run: bool
    results: list[Result] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        counted = Counter(result.outcome for result in self.results)
        return {outcome.value: counted[outcome] for outcome in Outcome}

    @property
    def has_errors(self) -> bool:
        return any(result.outcome == Outcome.ERROR for result in self.results)

    def as_dict(self) -> dict[str, Any]:
        """In the form that ReportSerializer describes."""
        rows = [
            {
                "line": result.line,
                "device_uid": result.device_uid,
                "outcome": result.outcome,
                "fields": result.fields,
                "errors": result.errors,
            }
            for result in self.results
        ]
        return {"dry_run": self.is_dry_run, **self.counts, "rows": rows}


class Refused(ValidationError):
    """Rows had errors, so nothing was written; the answer has the report as well."""

    def __init__(self, report: Report) -> None:
        faulty = {str(result.line): result.detail for result in report.results if result.detail}
        super().__init__(faulty)
        self.more = {"report": report.as_dict()}


class RowErrorSerializer(serializers.Serializer):
    field = serializers.CharField(help_text="As in `labels`; empty: the whole row.")
    code = serializers.CharField()
    detail = serializers.CharField(help_text="What is wrong and what to do.")


class ResultSerializer(serializers.Serializer):
    line = serializers.IntegerField(
        help_text="In CSV the line on which the row begins, in JSON its place, from 1."
    )
    device_uid = serializers.CharField(help_text="As the row has it; empty if it has none.")
    outcome = serializers.ChoiceField(Outcome.choices)
    fields = serializers.ListField(  # type: ignore[assignment]
        child=serializers.ChoiceField(COLUMNS), help_text="What an update changes."
    )
    errors = RowErrorSerializer(many=True)  # type: ignore[assignment]


class ReportSerializer(serializers.Serializer):
    """What an import did; of a dry run, what it would do."""

    dry_run = serializers.BooleanField(help_text="True: nothing was written.")
    created = serializers.IntegerField(help_text="How many devices are new.")
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    error = serializers.IntegerField(help_text="Rows that are refused, and with them the file.")
    rows = ResultSerializer(many=True)


class RefusalSerializer(serializers.Serializer):
    """A problem (RFC 9457) with the report."""

    type = serializers.CharField(default="about:blank")
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField(help_text="For people: what is wrong and what to do.")
    errors = RowErrorSerializer(  # type: ignore[assignment]
        many=True, required=False, help_text="Each fault; fields begin with the line: `3.name`."
    )
    report = ReportSerializer(
        required=False, help_text="Unless the file as a whole could not be read."
    )
