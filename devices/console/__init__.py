"""The console's pages of devices and of their types."""
