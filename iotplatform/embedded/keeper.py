"""Waits until no process holds the lock on a file any more, then runs a command.

A script, `keeper.py LOCKED_FILE COMMAND…`, started beside an embedded server so that the server
ends with its last user even if that one was killed. Imports nothing of the project: it is small.
"""

import fcntl
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    with Path(sys.argv[1]).open() as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        subprocess.run(sys.argv[2:], check=False)
