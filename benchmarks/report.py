"""What a benchmark says: rows with an aim, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

HEADS = ("what", "measured", "floor", "aim", "verdict")


@dataclass(frozen=True)
class Bound:
    """What DESIGN 6 asks of a number: the floor must hold, the aim is what we want."""

    floor: float | None = None
    aim: float | None = None
    less: bool = False
    """Whether small numbers are the good ones."""

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
    """One number. ``note`` says what stands behind it."""

    what: str
    value: float | None
    """None: it was not measured."""
    unit: str
    bound: Bound = NO_BOUND
    note: str = ""

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
        measured = shown(self.value, self.unit) + (f" ({self.note})" if self.note else "")
        return (self.what, measured, *limits, self.verdict)

    def json(self) -> dict[str, Any]:
        bound = {"floor": self.bound.floor, "aim": self.bound.aim, "verdict": self.verdict}
        return {
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            **bound,
            "note": self.note,
        }


def unmeasured(what: str, reason: object) -> Row:
    return Row(what, None, "", note=f"not measured: {reason}")


def shown(value: float, unit: str) -> str:
    """Three digits that count, thousands apart: 12 300 messages/s, 4.12 ms, 9.1 x."""
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
    """The table of the README."""
    lines = ["| " + " | ".join(HEADS) + " |", "| --- | ---: | ---: | ---: | --- |"]
    return "\n".join([*lines, *("| " + " | ".join(row.cells()) + " |" for row in rows)])


def median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of values in ascending order, the one that ``share`` of them do not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
