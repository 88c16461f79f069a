"""What a process counts, in the form that Prometheus reads, and who may read it."""

import hmac
from collections.abc import Callable, Iterable
from http import HTTPStatus

from django.conf import settings
from prometheus_client import CollectorRegistry, Metric, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

# A second series for each, of when it began, which nobody reads.
disable_created_metrics()

CHALLENGE = 'Bearer realm="metrics"'


class Asked(Collector):
    """Metrics that are asked for when somebody reads them: what is known anyway costs nothing."""

    def __init__(self, ask: Callable[[], Iterable[Metric]]) -> None:
        self._ask = ask

    def collect(self) -> Iterable[Metric]:
        return self._ask()


def admission(authorization: str) -> HTTPStatus:
    """Whether who says that in `Authorization` may read metrics: OK, or the status that says no.

    Without a METRICS_TOKEN nobody may, and is not told that there are any, but in a trial.
    """
    token = settings.METRICS_TOKEN
    if not token:
        return HTTPStatus.OK if settings.DEBUG else HTTPStatus.NOT_FOUND
    scheme, _, said = authorization.partition(" ")
    knows = hmac.compare_digest(said.strip().encode(errors="replace"), token.encode())
    return HTTPStatus.OK if knows and scheme.lower() == "bearer" else HTTPStatus.UNAUTHORIZED


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """All that `registry` has, and its content type: one of those in the header `Accept`."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
