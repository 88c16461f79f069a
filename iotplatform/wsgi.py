"""The door for gunicorn. Refuses to serve with a configuration that `manage.py check` refuses."""

import os

from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotplatform.settings")

application = get_wsgi_application()

# manage.py runs the checks by itself, gunicorn does not.
if errors := [str(message) for message in run_checks() if message.is_serious()]:
    raise ImproperlyConfigured("\n".join(errors))
