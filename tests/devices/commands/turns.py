"""Turns of the outbox, and time that passes for what is put off."""

from datetime import timedelta

from django.db import connection
from django.db.models import F
from django.utils import timezone

from devices.commands import outbox
from devices.commands.outbox import Outcome, Result
from devices.models import Command, DeviceQueue

SOON = timedelta(seconds=1)


def claims(limit=10, outcomes=()):
    return outbox.turn(outcomes, limit).claims


def record(claim, result=Result.TAKEN, reason=""):
    outbox.turn([Outcome(claim, result, reason)], 0)


def claim_one():
    (claim,) = claims()
    return claim


def resume(device):
    with connection.cursor() as cursor:
        outbox.resume(cursor, [device.pk])


def wait_for(seconds):
    """As if so many seconds had passed for all queues."""
    time = timedelta(seconds=seconds)
    DeviceQueue.objects.update(look_at=F("look_at") - time, leased_until=F("leased_until") - time)


def expire(command):
    now = timezone.now()
    Command.objects.filter(pk=command.pk).update(
        created_at=now - timedelta(days=1), expires_at=now - SOON
    )


def queue_of(device):
    return DeviceQueue.objects.get(device=device)


def delay_of(device):
    """For how many seconds its commands are put off."""
    return (queue_of(device).look_at - timezone.now()).total_seconds()


def fresh(command):
    command.refresh_from_db()
    return command


def steps(command):
    return [(step.status, step.detail) for step in command.transitions.all()]
