"""What the database cannot agree to because of something that somebody else did: 409."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from psycopg.errors import ForeignKeyViolation, UniqueViolation
from rest_framework.exceptions import APIException
from rest_framework.status import HTTP_409_CONFLICT


class Conflict(APIException):
    status_code = HTTP_409_CONFLICT
    default_code = "conflict"


@contextmanager
def conflicts(taken: str | Promise) -> Iterator[None]:
    """One transaction; `taken` is what to say where something unique exists already.

    Nothing is looked up before, so what two people do at the same moment has the same answer.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if isinstance(error.__cause__, UniqueViolation):
            raise Conflict(str(taken)) from error
        if isinstance(error.__cause__, ForeignKeyViolation):
            raise Conflict(_("Somebody deleted what this belongs to. Look again.")) from error
        raise
