"""The console's pages of alerts and of the rules that raise them."""

from devices.alerts.console.alerts import AlertAdmin
from devices.alerts.console.rules import AlertRuleAdmin
from devices.alerts.console.section import section

__all__ = ["AlertAdmin", "AlertRuleAdmin", "section"]
