"""Makes one check after another, none of which holds up the others or has them fail."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from django.db import connection, transaction

from devices.daemon.faults import Fault, fault_of
from iotplatform.doctor.finding import Finding, problem, warning
from iotplatform.logs import DATABASE_ERRORS, discreet

SECONDS = 10.0
"""After which a check is given up."""

# As a guest: nothing is written, nobody waits for us, and we wait for nobody.
GUEST = """
SET TRANSACTION READ ONLY;
SET LOCAL statement_timeout = '5s';
SET LOCAL lock_timeout = '1s'
"""

LEFT_OUT = "Have the database answer first: see what is said of it."


class Check(NamedTuple):
    """A look at `subject`, and what to do if it cannot be had. Those `in_database` ask it."""

    subject: str
    look: Callable[[], Iterable[Finding]]
    advice: str
    in_database: bool = False


def examine(checks: Sequence[Check], seconds: float = SECONDS) -> Iterator[Finding]:
    """What the checks find, as they find it. A database that does not answer is asked once."""
    is_away, left_out = False, list[str]()
    for check in checks:
        if is_away and check.in_database:
            left_out.append(check.subject)
            continue
        found, error = _made(check, seconds)
        yield from found
        if error:
            yield problem(check.subject, _words(error, seconds), check.advice)
            is_away |= check.in_database and fault_of(error) is Fault.WAIT
    if left_out:
        yield warning("not looked at", f"{', '.join(left_out)}.", LEFT_OUT)


def _made(check: Check, seconds: float) -> tuple[list[Finding], Exception | None]:
    """What it found, and why it could not be made.

    In a thread, which does not keep the process from ending if it hangs.
    """
    made: Future[list[Finding]] = Future()
    threading.Thread(target=_make, args=(check, made), daemon=True).start()
    try:
        return made.result(seconds), None
    except Exception as error:
        # Whatever it is: it is the finding, and nobody else's trouble.
        return [], error


def _make(check: Check, made: Future[list[Finding]]) -> None:
    try:
        made.set_result(as_guest(check.look) if check.in_database else list(check.look()))
    except Exception as error:
        made.set_exception(error)
    finally:
        connection.close()


def as_guest(look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(GUEST)
        return list(look())


def _words(error: Exception, seconds: float) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"No answer within {seconds:g} seconds."
    said = discreet(error) if isinstance(error, DATABASE_ERRORS) else str(error)
    return f"{type(error).__name__}: {' '.join(said.split())}"
