"""`python -m benchmarks`: all of them, one after the other. Each also runs alone, with options."""

import argparse

from benchmarks import (
    api,
    authentication,
    commands,
    console,
    growth,
    history,
    http,
    ingest,
    latency,
    live,
    memory,
)

ALL = (
    ingest, memory, latency, live, growth, api, http, history, commands, authentication, console
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small figures, to see that it works")
    parser.add_argument("--baseline", help="directory of the service before")
    parser.add_argument("--baseline-python", help="a Python with that service's requirements")
    options = parser.parse_args()
    for benchmark in ALL:
        arguments = [*benchmark.QUICK] if options.quick else []
        if benchmark in (ingest, api, commands) and options.baseline and options.baseline_python:
            arguments += ["--baseline", options.baseline]
            arguments += ["--baseline-python", options.baseline_python]
        print(f"\n{benchmark.__doc__}")
        benchmark.run(benchmark.parse(arguments))


if __name__ == "__main__":
    main()
