"""``python -m benchmarks``: measures, and reports which floors and aims are reached."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    azure,
    bloat,
    connects,
    devices,
    edits,
    emits,
    fanout,
    feed,
    ingest,
    latency,
    own_device,
    patches,
    plots,
    postgres,
    report,
    rights,
    servers,
    small,
    storm,
    tls,
    traffic,
    transports,
    updates,
)
from benchmarks.processes import ROOT, BenchmarkError, raise_file_limit
from benchmarks.report import Row

BENCHMARKS: dict[str, Callable[[bool], list[Row]]] = {
    "ingest": ingest.rows,
    "edits": edits.rows,
    "latency": latency.rows,
    "azure": azure.rows,
    "fanout": fanout.rows,
    "emits": emits.rows,
    "connects": connects.rows,
    "updates": updates.rows,
    "small": small.rows,
    "transports": transports.rows,
    "devices": devices.rows,
    "rights": rights.rows,
    "patches": patches.rows,
    "postgres": postgres.rows,
    "own-device": own_device.rows,
    "storm": storm.rows,
    "traffic": traffic.rows,
    "tls": tls.rows,
}
ON_DEMAND: dict[str, Callable[[bool], list[Row]]] = {"feed": feed.rows, "bloat": bloat.rows}
"""Run only where they are named: what the product does not have, and what takes an hour."""
PARTS = ", ".join([*BENCHMARKS, *ON_DEMAND])


def main(arguments: list[str]) -> int:
    """Return the exit code: 1 if something could not be measured.

    A number below its floor is a result, not a failure.
    """
    wishes = parse(arguments)
    raise_file_limit()
    found: list[Row] = []
    broken: dict[str, str] = {}
    for name in [*wishes.parts, *wishes.only] or BENCHMARKS:
        began = time.monotonic()
        try:
            found += (BENCHMARKS | ON_DEMAND)[name](wishes.quick)
        except BenchmarkError as reason:
            broken[name] = str(reason)
        except Exception:
            broken[name] = traceback.format_exc()
        load = servers.generator_load(name)  # taken from a part that broke, too
        found += [] if name in broken else load
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(machine() + (" A quick look: the numbers are rough." if wishes.quick else "") + "\n")
    print(report.markdown(found) if wishes.markdown else report.table(found))
    for name, sentence in broken.items():
        print(f"\n{name} could not be measured: {sentence}")
    if wishes.write:
        report.write(ROOT, found, machine())
    if wishes.write or is_whole(wishes, broken):
        plots.draw(found, ROOT / plots.FOLDER, machine())
    if wishes.json:
        results = {
            "machine": machine(),
            "quick": wishes.quick,
            "rows": [row.json() for row in found],
            "broken": broken,
        }
        wishes.json.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    return 1 if broken else 0


def is_whole(wishes: argparse.Namespace, broken: dict[str, str]) -> bool:
    """Whether a run has the rows of all plots."""
    return not (wishes.quick or wishes.parts or wishes.only or broken)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", type=part, metavar="PART", help=f"only these: {PARTS}")
    parser.add_argument("--quick", action="store_true", help="a look, in under a minute")
    parser.add_argument(
        "--only",
        action="append",
        type=part,
        default=[],
        metavar="PART",
        help="the same for one part; may be repeated",
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument(
        "--write",
        action="store_true",
        help="put the table into docs/benchmarks.md and README.md, and draw the plots again",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the numbers to a file"
    )
    return parser.parse_intermixed_args(arguments)


def part(name: str) -> str:
    """Raises ArgumentTypeError unless there is such a part."""
    if name not in BENCHMARKS | ON_DEMAND:
        raise argparse.ArgumentTypeError(f"there is no part {name!r}; the parts are {PARTS}.")
    return name


def machine() -> str:
    load = os.getloadavg()[0]
    return (
        f"Python {platform.python_version()}, {platform.system()} on {platform.machine()}, "
        f"{os.cpu_count()} cores, load {load:.1f} at the end."
    )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
