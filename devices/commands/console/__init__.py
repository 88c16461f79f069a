"""The console's pages of commands and of batches, and the one to send a command from."""

from devices.commands.console import batches, commands
from devices.commands.console.sending import pages

__all__ = ["batches", "commands", "pages"]
