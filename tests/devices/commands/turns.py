"""Turns of the outbox, and time that passes for what is put off."""

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from devices.commands import outbox
from devices.commands.outbox import Outcome, Result
from devices.models import Command

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


def wait_for(seconds, **which):
    """As if so many seconds had passed for what is put off."""
    for each in Command.objects.filter(**which).exclude(publish_at=None):
        publish_at = each.publish_at - timedelta(seconds=seconds)
        Command.objects.filter(pk=each.pk).update(publish_at=publish_at)


def expire(command):
    now = timezone.now()
    Command.objects.filter(pk=command.pk).update(
        created_at=now - timedelta(days=1), expires_at=now - SOON
    )


def delay_of(command):
    """For how many seconds it is put off."""
    command.refresh_from_db()
    return (command.publish_at - timezone.now()).total_seconds()


def fresh(command):
    command.refresh_from_db()
    return command


def steps(command):
    return [(step.status, step.detail) for step in command.transitions.all()]
