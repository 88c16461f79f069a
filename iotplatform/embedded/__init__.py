"""Servers from wheels for trials and tests: PostgreSQL and an MQTT broker, on this machine only.

They stand in for what DATABASE_URL and MQTT__HOST would name. Without DEBUG they are refused
(`iotplatform/checks.py`), and their wheels are not in the production image.
"""

from iotplatform.embedded.broker import Broker
from iotplatform.embedded.errors import EmbeddedServerError
from iotplatform.embedded.postgres import Postgres, database_for_this_process, database_settings

__all__ = [
    "Broker",
    "EmbeddedServerError",
    "Postgres",
    "database_for_this_process",
    "database_settings",
]
