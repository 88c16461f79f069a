"""Whether our clock and that of the database agree."""

import time
from collections.abc import Iterator

from django.db import connection

from iotplatform.doctor.finding import Finding, ok, warning

APART_SECONDS = 2.0


def clock() -> Iterator[Finding]:
    before = time.time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        theirs = cursor.fetchone()[0]
    after = time.time()
    apart = theirs - (before + after) / 2
    # It may have been read at any time between.
    if abs(apart) - (after - before) / 2 > APART_SECONDS:
        said = f"The database's is {abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} ours."
        advice = "Have both machines keep their time by NTP: timedatectl set-ntp true"
        yield warning("clock", said, advice)
    else:
        yield ok("clock", "Ours and that of the database agree.")
