"""The door for gunicorn. Refuses to serve with a configuration that `manage.py check` refuses."""

import os
import signal
import threading
from types import FrameType

from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotplatform.settings")

application = get_wsgi_application()

# It reads settings and models, which are there only now.
from telemetry.live.hub import hub  # noqa: E402

# manage.py runs the checks by itself, gunicorn does not.
if errors := [str(message) for message in run_checks() if message.is_serious()]:
    raise ImproperlyConfigured("\n".join(errors))


def end_streams_at_a_stop() -> None:
    """A worker of gunicorn waits for open requests before it ends; streams would not let it.

    The idiom is left here: gunicorn's own handler, which is in place when it loads this module, is
    called after ours, as its hooks tell of no stop while requests are still open.
    """
    handler = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        hub.cut()
        if callable(handler):
            handler(number, frame)

    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)


end_streams_at_a_stop()
