"""What every process between broker and database tells of its connections."""

from collections.abc import Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from devices.daemon.writer import Writer
from devices.mqtt.session import Session


def of_connections(session: Session, writers: Sequence[Writer]) -> Iterator[Metric]:
    """How it is with the broker, and how often the database had to be waited for."""
    yield GaugeMetricFamily(
        "iotplatform_broker_connected",
        "Whether the broker is connected and everything subscribed: 1 or 0.",
        value=session.connected,
    )
    yield CounterMetricFamily(
        "iotplatform_broker_reconnects",
        "Connections to the broker after the first one.",
        value=session.reconnects,
    )
    yield CounterMetricFamily(
        "iotplatform_broker_sessions_lost",
        "Connections at which the broker did not know the session any more.",
        value=session.sessions_lost,
    )
    yield CounterMetricFamily(
        "iotplatform_database_failures",
        "Attempts at work in the database that had to be repeated.",
        value=sum(writer.failures for writer in writers),
    )
