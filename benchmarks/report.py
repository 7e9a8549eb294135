"""The results: rows with a floor and an aim, as a table for the terminal and the documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADS = ("what", "measured", "floor", "aim", "verdict")
BLOCK = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)
"""What a run replaces in a document."""
IN_README = {
    "ingest: queue to durable commit, burst": "from the queue to a durable commit",
    "latency, send to 1000 viewers' sockets, paced, p99": "from `send` to 1,000 browsers, p99",
    "fan-out, paced, of Socket.IO on Node, by CPU": (
        "CPU of one delivery, against Socket.IO on Node"
    ),
}
"""The three rows that README.md shows, and what they are called there."""


@dataclass(frozen=True)
class Bound:
    """The limits of a number. Below the floor it is a defect; the aim is the goal."""

    floor: float | None = None
    aim: float | None = None
    less: bool = False
    """Smaller numbers are better."""

    def meets(self, value: float, limit: float) -> bool:
        return value <= limit if self.less else value >= limit

    def verdict(self, value: float) -> str:
        if self.aim is not None and self.meets(value, self.aim):
            return "aim held"
        if self.floor is not None:
            return "floor held" if self.meets(value, self.floor) else "BELOW THE FLOOR"
        return "" if self.aim is None else "AIM MISSED"


NO_BOUND = Bound()


@dataclass(frozen=True)
class Row:
    """One number, the median of its turns. ``note`` says what else was measured."""

    what: str
    value: float | None
    """None if it was not measured."""
    unit: str
    bound: Bound = NO_BOUND
    note: str = ""
    spread: tuple[float, float] | None = None
    """The lowest and the highest of the turns, where there are several."""

    @classmethod
    def of(
        cls, what: str, turns: Sequence[float], unit: str, bound: Bound = NO_BOUND, note: str = ""
    ) -> Row:
        """The median of several turns, with their spread."""
        spread = (min(turns), max(turns)) if len(turns) > 1 else None
        return cls(what, median(turns), unit, bound, note, spread)

    @property
    def verdict(self) -> str:
        return "" if self.value is None else self.bound.verdict(self.value)

    def cells(self) -> tuple[str, ...]:
        limits = (
            "" if limit is None else shown(limit, self.unit)
            for limit in (self.bound.floor, self.bound.aim)
        )
        if self.value is None:
            return (self.what, self.note, *limits, "")
        notes = [self.note] if self.note else []
        if self.spread is not None:
            notes.insert(0, " to ".join(shown(one, "") for one in self.spread))
        measured = shown(self.value, self.unit) + (f" ({'; '.join(notes)})" if notes else "")
        return (self.what, measured, *limits, self.verdict)

    def json(self) -> dict[str, Any]:
        bound = {"floor": self.bound.floor, "aim": self.bound.aim, "verdict": self.verdict}
        return {
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            **bound,
            "note": self.note,
            "spread": self.spread,
        }


def unmeasured(what: str, reason: object) -> Row:
    return Row(what, None, "", note=f"not measured: {reason}")


def shown(value: float, unit: str) -> str:
    """Three significant digits, grouped: 12 300 messages/s, 4.12 ms, 9.1 x."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    rounded = round(value, -2) if abs(value) >= 10_000 else value
    return f"{rounded:,.{digits}f}".replace(",", " ") + (f" {unit}" if unit else "")


def table(rows: Iterable[Row]) -> str:
    """Columns for a terminal."""
    lines = [HEADS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )


def markdown(rows: Sequence[Row]) -> str:
    """The table of docs/benchmarks.md."""
    lines = ["| " + " | ".join(HEADS) + " |", "| --- | ---: | ---: | ---: | --- |"]
    return "\n".join([*lines, *("| " + " | ".join(row.cells()) + " |" for row in rows)])


def write(root: Path, rows: Sequence[Row], machine: str) -> None:
    """Put the results into docs/benchmarks.md, and three of them into README.md."""
    three = summary(rows)  # first: a run that lacks one of them changes neither document
    replace_block(root / "docs" / "benchmarks.md", f"{markdown(rows)}\n\n{machine}")
    replace_block(root / "README.md", three)


def summary(rows: Iterable[Row]) -> str:
    found = {row.what: row for row in rows}
    missing = [what for what in IN_README if what not in found or found[what].value is None]
    if missing:
        raise ValueError(f"README.md shows {', '.join(missing)}, which was not measured")
    lines = [
        f"| {name} | {shown(found[what].value or 0.0, found[what].unit)} |"
        for what, name in IN_README.items()
    ]
    return "\n".join(["| what | measured |", "| --- | ---: |", *lines])


def replace_block(document: Path, text: str) -> None:
    old = document.read_text("utf-8")
    new, count = BLOCK.subn(lambda found: f"{found[1]}{text}\n{found[2]}", old)
    if count != 1:
        raise ValueError(f"{document.name} has {count} blocks for benchmarks, not one")
    document.write_text(new, "utf-8")


def median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def percentile(ordered: Sequence[float], share: float) -> float:
    """The percentile of sorted values; ``share`` is between 0 and 1."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
