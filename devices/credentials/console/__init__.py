"""The console's pages of credentials: below those of devices, and what the broker does not know."""

from devices.credentials.console import changes
from devices.credentials.console.many import begin
from devices.credentials.console.pages import pages
from devices.credentials.console.section import section

__all__ = ["begin", "changes", "pages", "section"]
