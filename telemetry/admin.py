"""The console's pages of what devices say."""

from django.contrib import admin

from telemetry.console.readings import TelemetryAdmin
from telemetry.console.rejected import RejectedMessageAdmin
from telemetry.models import RejectedMessage, Telemetry

admin.site.register(Telemetry, TelemetryAdmin)
admin.site.register(RejectedMessage, RejectedMessageAdmin)
