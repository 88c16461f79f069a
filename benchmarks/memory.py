"""The most memory that the ingestor holds: with a long backlog, and with large messages."""

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence

from benchmarks.bench import Bench, print_table
from benchmarks.drain import Drainer, ours
from benchmarks.publisher import DEVICES, Message, readings

QUICK = ("--messages=50000", "--large=100")

LARGE = 256 * 1024


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="small ones (1000000)")
    parser.add_argument("--large", type=int, default=1_000, help="messages of 256 KiB (1000)")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    with Bench() as bench:
        print(bench.describe())
        drainer = Drainer(bench, ours(bench, "platform"))
        lines = []
        for name, backlog in (
            (f"{options.messages:,} of 110 bytes", readings(options.messages, drainer.side.tenant)),
            (f"{options.large:,} of 256 KiB, numbers", large(options.large, numbers)),
            (f"{options.large:,} of 256 KiB, keys", large(options.large, keys)),
            (f"{options.large:,} of 256 KiB, text", large(options.large, text)),
        ):
            drained = drainer.drain(drainer.queue(backlog))
            lines.append([name, f"{drained.peak / 1e6:.0f}", f"{drained.rate:,.0f}"])
    print_table("Peak memory of the ingestor", ("backlog", "peak MB", "messages/s"), lines)


def large(count: int, filling: Callable[[], dict[str, object]]) -> Iterator[Message]:
    """Readings just below the limit, each different from the others."""
    body = json.dumps(filling())
    for number in range(count):
        payload = f'{{"msg_id":"{random.getrandbits(128):032x}","n":{number},{body[1:]}'
        if not LARGE * 0.9 < len(payload) <= LARGE:
            raise ValueError(f"{len(payload)} bytes are not just below the limit.")
        yield f"platform/devices/dev-{number % DEVICES:05}/telemetry", payload.encode()


def numbers() -> dict[str, object]:
    """What a vibration sensor sends; many small objects once it is parsed."""
    return {"acceleration": [round(random.uniform(-9, 9), 4) for _ in range(30_000)]}


def keys() -> dict[str, object]:
    """Many values under names of their own, which all could be a device's latest values."""
    return {f"channel-{number}": number for number in range(11_600)}


def text() -> dict[str, object]:
    return {"image": "".join(random.choices("abcdefghijklmnop", k=LARGE - 400))}


if __name__ == "__main__":
    run(parse())
