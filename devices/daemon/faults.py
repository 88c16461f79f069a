"""Whose fault a database error is, by its SQLSTATE: the classes of exception mix these up."""

from enum import Enum

import psycopg
from django.db import utils


class Fault(Enum):
    """What to do about a database error."""

    WAIT = "the database is ill: keep the messages, try again later"
    SLOW = "too much at once: try less of it, and one message alone again later"
    LISTENERS = "somebody who listens does not read: go on without telling"
    MESSAGE = "a message of the batch is at fault: isolate it, reject it"
    PARTITION = "there is no partition for a reading's time: make it, try again"
    BUG = "ours: stop loudly"


WAIT = ("08", "40", "53", "57", "58", "55P03", "25P02", "25P03", "25P04")
MESSAGE = ("22", "23", "54")


def fault_of(error: Exception) -> Fault:
    """Classify an error of psycopg, or Django's wrapping of one."""
    cause = error.__cause__ if isinstance(error, utils.Error) and error.__cause__ else error
    sqlstate = getattr(cause, "sqlstate", None)
    if sqlstate is None:
        return _without_sqlstate(cause)
    if sqlstate == "57014":
        return Fault.SLOW
    if sqlstate == "54000" and "NOTIFY" in str(cause):
        return Fault.LISTENERS
    if sqlstate == "23514" and isinstance(cause, psycopg.Error) and not cause.diag.constraint_name:
        return Fault.PARTITION
    if sqlstate.startswith(WAIT):
        return Fault.WAIT
    return Fault.MESSAGE if sqlstate.startswith(MESSAGE) else Fault.BUG


def _without_sqlstate(error: BaseException) -> Fault:
    """The client's own errors: a value it cannot send, or a connection that is gone."""
    if isinstance(error, psycopg.DataError | ValueError):
        return Fault.MESSAGE
    lost = (psycopg.OperationalError, psycopg.InterfaceError, utils.InterfaceError, OSError)
    return Fault.WAIT if isinstance(error, lost) else Fault.BUG
