"""Runs a command that is asked to stop (SIGTERM) when its parent dies: `leash.py PARENT COMMAND…`.

PARENT is the parent's process number. Only Linux can do this; elsewhere the command just runs.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):
            sys.exit("The parent is gone already.")
    os.execvp(command[0], command)
