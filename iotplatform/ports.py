"""Ports of this machine: is something there, and could we be there?"""

import socket


class PortTakenError(Exception):
    """Nothing can be served on the port; the message names the variable that chooses another."""


def answers(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def require_free(host: str, port: int, variable: str) -> None:
    """Raises PortTakenError unless we could listen there; `variable` chooses the number."""
    try:
        # As servers do it: connections of one that has just ended do not count.
        with socket.create_server((host, port), family=family(host)):
            pass
    except (OSError, OverflowError) as error:
        raise PortTakenError(
            f"Cannot listen on {host}, port {port}: {error}. If another program holds the port, "
            f"stop it or choose another one by the variable {variable}, for example "
            f"“{variable}={port + 10} make demo”."
        ) from error


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
