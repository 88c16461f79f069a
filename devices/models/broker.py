"""What the broker still has to be told about who may connect."""

from collections.abc import Collection, Mapping

import psycopg
from django.conf import settings
from django.db import connection, models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User

CHANNEL = "broker_changes"

# With gateways: what a device may not any more, nobody may in its name. Sorted, so that two who
# do this at once cannot deadlock. A change that is in hand elsewhere is found changed afterwards.
# Optimization: device by device. Otherwise PostgreSQL, which believes of a table that is empty most
# of the time that it is, would compare each of thousands with each.
NOTE = """
INSERT INTO devices_brokerchange AS change (device_uid, tenant_id, token, version)
SELECT device_uid, tenant_id, token, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
FROM (
    SELECT id, max(token) AS token
    FROM (
        SELECT * FROM unnest(%(ids)s::bigint[], %(tokens)s::text[]) AS given (id, token)
        UNION ALL
        SELECT credential.device_id, ''
        FROM devices_credential AS credential
        JOIN devices_credential_gateway_for AS further ON further.credential_id = credential.id
        WHERE %(with_gateways)s
          AND further.device_id = ANY(%(ids)s) AND credential.revoked_at IS NULL
    ) AS each
    GROUP BY id
) AS concerned
CROSS JOIN LATERAL (
    SELECT device_uid, tenant_id FROM devices_device AS device WHERE device.id = concerned.id
    OFFSET 0
) AS device
ORDER BY device_uid
ON CONFLICT (device_uid) DO UPDATE
SET version = greatest(change.version + 1, excluded.version), tenant_id = excluded.tenant_id,
    due_at = excluded.due_at, attempts = 0, error = '',
    token = CASE WHEN excluded.token <> '' THEN excluded.token ELSE change.token END
"""


class BrokerChangeQuerySet(models.QuerySet["BrokerChange"]):
    def visible_to(self, user: User) -> "BrokerChangeQuerySet":
        """Platform staff see every change, others those of their tenant."""
        return self if user.sees_all_tenants else self.filter(tenant=user.works_in_id)

    def note(
        self,
        device_ids: Collection[int],
        tokens: Mapping[int, str] | None = None,
        *,
        with_gateways: bool = False,
    ) -> None:
        """What devices may has changed: have the broker told, in the caller's transaction.

        `tokens` are new ones by device, where the broker itself has to know them. `with_gateways`:
        also of those that speak for the devices, as these were enabled, disabled or deleted. With
        an open broker there is nobody to tell.
        """
        if settings.MQTT_ACCESS == "open" or not device_ids:
            return
        ids = list(device_ids)
        noted = {
            "ids": ids,
            "tokens": [(tokens or {}).get(each, "") for each in ids],
            "with_gateways": with_gateways,
        }
        connection.ensure_connection()
        # Bound by the server: Django's cursor would write the tokens into the statement, which the
        # server's log has if it fails.
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(NOTE, noted)
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])


class BrokerChange(models.Model):
    """A device about which the broker does not know what holds now; gone as soon as it does.

    What that is, is found out from the device and its credentials when the broker is told, so a
    change may be told twice, and of many the last one is enough. A new `token` is here in plain
    text until a broker that has to know it (Mosquitto) does. Without a key to the device: the
    broker has to forget it even if it is erased.
    """

    device_uid = models.CharField(_("UID"), max_length=128, primary_key=True)
    tenant = models.ForeignKey(
        Tenant, verbose_name=_("tenant"), on_delete=models.CASCADE, related_name="+"
    )
    token = models.CharField(_("token"), max_length=128, blank=True, db_default="")
    version = models.BigIntegerField(_("version"), db_default=1)
    noted_at = models.DateTimeField(_("noted at"), db_default=Now())
    due_at = models.DateTimeField(_("due at"), db_default=Now())
    leased_until = models.DateTimeField(_("leased until"), null=True)
    attempts = models.PositiveIntegerField(_("attempts"), db_default=0)
    error = models.TextField(_("error"), blank=True, db_default="")

    objects = BrokerChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("broker change")
        verbose_name_plural = _("broker changes")
        ordering = ["device_uid"]
        indexes = [
            # The next ones (devices/brokers/changes.py).
            models.Index(fields=["due_at"], name="broker_change_due"),
        ]

    def __str__(self) -> str:
        return self.device_uid
