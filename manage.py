#!/usr/bin/env python
"""The command line of the platform: `python manage.py help`."""

import contextlib
import os
import sys

from django.core.management import execute_from_command_line

from iotplatform import embedded


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotplatform.settings")
    with contextlib.ExitStack() as stack:
        # The demo starts the database itself, once it knows that all of it can start.
        if sys.argv[1:2] != ["demo"]:
            try:
                stack.enter_context(embedded.database_for_this_process())
            except embedded.EmbeddedServerError as error:
                sys.exit(str(error))
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
