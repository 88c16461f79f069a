"""`python -m benchmarks.soak`: ends with 1 if anything of what is to hold does not."""

import argparse
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from benchmarks.soak import __doc__ as what
from benchmarks.soak.course import run

# The access token of who follows the streams lives for an hour.
LONGEST_MINUTES = 50


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.soak", description=what)
    parser.add_argument("--minutes", type=float, default=30, help="up to 50 (30)")
    parser.add_argument("--rate", type=int, default=1_000, help="messages a second (1000)")
    parser.add_argument("--devices", type=int, default=1_000, help="with a connection each (1000)")
    parser.add_argument("--streams", type=int, default=20, help="up to 30, open all the time (20)")
    parser.add_argument("--commands", type=float, default=5, help="a second (5)")
    options = parser.parse_args(arguments)
    if not 0 < options.minutes <= LONGEST_MINUTES:
        parser.error(f"--minutes: up to {LONGEST_MINUTES}, as a stream's token lives for an hour")
    return options


def interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    signal.signal(signal.SIGTERM, interrupt)
    try:
        return 0 if run(parse()) else 1
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started is stopped.")
        return 130
    except RuntimeError as error:
        print(f"\nBROKEN: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
