"""Which models of this app the console has pages of."""

from django.contrib import admin

from devices.alerts.console import AlertAdmin, AlertRuleAdmin
from devices.console.devices import DeviceAdmin
from devices.console.types import DeviceTypeAdmin
from devices.enrolment.console import EnrolmentKeyAdmin
from devices.models import Alert, AlertRule, Device, DeviceType, EnrolmentKey

admin.site.register(Device, DeviceAdmin)
admin.site.register(DeviceType, DeviceTypeAdmin)
admin.site.register(EnrolmentKey, EnrolmentKeyAdmin)
admin.site.register(Alert, AlertAdmin)
admin.site.register(AlertRule, AlertRuleAdmin)
