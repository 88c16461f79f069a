"""That no table grows for ever: what takes rows away from each, or why there are never many."""

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from telemetry.upkeep.jobs import jobs

REMOVED = {
    "accounts.Concern": "changes",
    "accounts.LoginAttempt": "login_attempts",
    "admin.LogEntry": "changes",
    "devices.Alert": "alerts",
    "devices.AlertNotice": "alert_notices",
    "devices.BrokerChange": "broker_changes",
    "devices.Command": "commands_ended",
    "devices.CommandBatch": "command_batches",
    "devices.CommandTransition": "commands_ended",
    "devices.Credential": "credentials_ended",
    "devices.Credential_gateway_for": "credentials_ended",
    "devices.Device": "deleted_devices",
    "devices.DeviceQueue": "deleted_devices",
    "devices.DeviceState": "deleted_devices",
    "devices.Enrolment": "deleted_devices",
    "devices.Heartbeat": "heartbeats",
    "sessions.Session": "sessions",
    "telemetry.MessageCount": "message_counts",
    "telemetry.Receipt": "receipts",
    "telemetry.RejectedMessage": "rejected_excess",
    "telemetry.Telemetry": "old_weeks",
    "token_blacklist.BlacklistedToken": "refresh_tokens",
    "token_blacklist.OutstandingToken": "refresh_tokens",
}
"""Model → the job that takes its rows away. Those of devices are as many as these at most."""

STAYS = {
    "accounts.Tenant": "Platform staff make and delete them.",
    "accounts.User": "An admin makes them, and the history needs them.",
    "accounts.User_groups": "Nobody is in a group: rights come from roles.",
    "accounts.User_user_permissions": "Nobody has any of their own: rights come from roles.",
    "auth.Group": "There is none: rights come from roles.",
    "auth.Group_permissions": "There is no group.",
    "auth.Permission": "As many as models, by the code.",
    "contenttypes.ContentType": "As many as models, by the code.",
    "devices.AlertRule": "An admin makes them, 50 of a tenant at most.",
    "devices.AlertWatch": "One row.",
    "devices.DeviceType": "An admin makes them.",
    "devices.EnrolmentKey": "An admin makes them; their devices refer to them.",
    "telemetry.BrokerSession": "One a client id of ours, by the settings.",
    "telemetry.RejectedOverflow": "One for each tenant there ever was: a counter never goes back.",
    "telemetry.Upkeep": "One a job, by the code; `maintain` forgets others.",
}
"""Model → why nothing has to be taken away, as long as the tenant exists."""


def models():
    every = apps.get_models(include_auto_created=True)
    return {model._meta.label for model in every if not model._meta.proxy}


def test_of_every_model_it_is_known_what_bounds_it():
    assert models() == {*REMOVED} | {*STAYS}
    assert not {*REMOVED} & {*STAYS}


def test_what_takes_rows_away_are_jobs_of_maintain():
    assert {*REMOVED.values()} <= {job.name for job in jobs(timezone.now())}


@pytest.mark.django_db
def test_every_table_is_that_of_a_model_or_a_week():
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    others = {*connection.introspection.table_names()} - tables - {"django_migrations"}
    assert not {name for name in others if not name.startswith("telemetry_telemetry_2")}
