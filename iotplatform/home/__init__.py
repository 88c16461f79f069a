"""The console's home page: how the fleet and the platform are, and what wants attention."""

from iotplatform.home.page import dashboard

__all__ = ["dashboard"]
