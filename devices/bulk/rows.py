"""What imports have in common: rows are checked one by one, and written all or none."""

from collections.abc import Callable, Iterator
from typing import Any

from django.db import DatabaseError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from psycopg.errors import DeadlockDetected, ForeignKeyViolation, UniqueViolation
from rest_framework.exceptions import ErrorDetail, ValidationError

from accounts.conflicts import Conflict
from devices.bulk.files import Row
from devices.bulk.report import Report

LONGEST_UID = 128
BUSY = _("Others are changing devices of the file right now. Send it again in a moment.")
MEANWHILE = UniqueViolation, ForeignKeyViolation, DeadlockDetected
"""Faults that come of what others do at the same time."""
ATTEMPTS = 2

Values = dict[str, Any]


def in_attempts(import_all: Callable[[], Report]) -> Report:
    """What `import_all`, a transaction, reports; tried again if others were in its way."""
    for _attempt in range(ATTEMPTS):
        try:
            return import_all()
        except DatabaseError as error:
            # A device announced itself, or a type was deleted. The next attempt sees it.
            if not isinstance(error.__cause__, MEANWHILE):
                raise
    raise Conflict(BUSY)


def checks(rows: list[Row], serializer: Any) -> Iterator[tuple[Row, Values | ValidationError]]:
    """Each row with its fields as the database keeps them, or with what is wrong with them.

    Optimization: one serializer for all rows; to make one costs more than the checks.
    """
    for row in rows:
        try:
            if row.fault:
                raise ValidationError(row.fault)
            yield row, serializer.run_validation(row.fields)
        except ValidationError as error:
            yield row, error


def uid_of(row: Row) -> str:
    """The uid as the row has it, if that is a text."""
    uid = row.fields.get("device_uid", "") if isinstance(row.fields, dict) else ""
    return uid[:LONGEST_UID] if isinstance(uid, str) else ""


def fault(name: str, code: str, detail: str | Promise) -> ValidationError:
    return ValidationError({name: [ErrorDetail(str(detail), code)]})
