#!/usr/bin/env python
"""The command line of the platform: `python manage.py help`."""

import os
import sys

from django.core.management import execute_from_command_line

from iotplatform import embedded


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotplatform.settings")
    with embedded.database_for_this_process():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
