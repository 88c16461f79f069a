"""/metrics of the web server: what its processes counted together, and what the database knows."""

import os
from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from devices.daemon.exposition import CHALLENGE, Asked, admission, exposition
from iotplatform.metrics.database import OfDatabase
from iotplatform.metrics.requests import OF_REQUESTS
from iotplatform.rest.middleware import answer
from telemetry.live.hub import STREAMS
from telemetry.metrics import OF_READINGS


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus, by Bearer METRICS_TOKEN."""
    status = admission(request.headers.get("Authorization", ""))
    if status >= 400:
        refusal = answer(status)
        if status == 401:
            refusal["WWW-Authenticate"] = CHALLENGE
        return refusal
    return HttpResponse(*exposition(registry(), request.headers.get("Accept", "")))


def registry() -> CollectorRegistry:
    """All that is known here; under gunicorn (iotplatform/serving.py) that of all its workers."""
    everything = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(everything)
    else:
        everything.register(Asked(of_this_process))
    everything.register(OfDatabase())
    return everything


def of_this_process() -> Iterator[Metric]:
    for counted in (*OF_REQUESTS, *OF_READINGS, STREAMS):
        yield from counted.collect()
