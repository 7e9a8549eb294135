"""The rows of a run as plots for docs/benchmarks.md: the median as a bar, its spread as a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Row, shown

FOLDER = Path("docs") / "benchmarks"
OURS, OTHERS, SPREAD = "#1f6f8b", "#b8c4c9", "#4a4a4a"
PEERS = ("a loop of send", "Socket.IO on Node", "python-socketio", "Flask-SocketIO", "kombu")
PEERS += ("a plain loop", "nchan", "nats-server")


@dataclass(frozen=True)
class Plot:
    """One picture, and which rows stand in it."""

    name: str
    title: str
    has: Callable[[Row], bool]
    limits: str
    """What the numbers do not say."""
    logarithmic: bool = False
    """Its rows have units of their own, and a scale for all of them."""


PLOTS = (
    Plot(
        "rates",
        "A second, more is better",
        lambda row: row.unit.endswith("/s"),
        "The clients share the cores with the servers, so these rates are those of both.",
        True,
    ),
    Plot(
        "cpu",
        "Microseconds of CPU per delivery, less is better",
        lambda row: row.unit.startswith("µs of CPU per") and not row.what.startswith("storm"),
        "Over loopback: no network, no proxy. Different cases are not to be compared.",
    ),
    Plot(
        "memory",
        "KB per idle viewer, less is better",
        lambda row: row.unit == "KB",
        "Of the process alone: the buffers of the kernel come on top, for every server.",
    ),
    Plot(
        "storm",
        "A storm, less is better",
        lambda row: row.what.startswith("storm") and row.unit in ("s", "ms"),
        "Real clients come back spread over some seconds, over networks of their own.",
        True,
    ),
)


def draw(rows: Sequence[Row], folder: Path, machine: str) -> list[Path]:
    """Write a plot for each kind of rows that there is. ``machine`` is one sentence about it."""
    folder.mkdir(parents=True, exist_ok=True)
    measured = [row for row in rows if row.value]
    found = [(plot, [row for row in measured if plot.has(row)]) for plot in PLOTS]
    return [bars(plot, chosen, folder, machine) for plot, chosen in found if chosen]


def bars(plot: Plot, rows: Sequence[Row], folder: Path, machine: str) -> Path:
    """One picture, with the first row at its top, and below what the numbers are of."""
    import matplotlib as mpl  # a part of `make bench` only, and slow to import

    # The same numbers give the same file; letters stay letters.
    mpl.rcParams.update({"svg.hashsalt": "statecast", "svg.fonttype": "none", "font.size": 9})
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.6 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    values = [row.value or 0.0 for row in rows]
    spreads = [row.spread or (value, value) for row, value in zip(rows, values)]
    lows = [value - low for (low, _), value in zip(spreads, values)]
    highs = [high - value for (_, high), value in zip(spreads, values)]
    colors = [OTHERS if is_peer(row) else OURS for row in rows]
    drawn = axes.barh(range(len(rows)), values, xerr=(lows, highs), ecolor=SPREAD, color=colors)
    units = [row.unit if plot.logarithmic else "" for row in rows]
    axes.bar_label(drawn, [shown(one, unit) for one, unit in zip(values, units)], padding=4)
    axes.set_yticks(range(len(rows)), [row.what for row in rows])
    axes.invert_yaxis()
    if plot.logarithmic:
        axes.set_xscale("log")
    axes.set_xlim(right=max(high for _, high in spreads) * (30 if plot.logarithmic else 1.15))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(plot.title, loc="left")
    axes.set_xlabel(caption(plot, machine), loc="right", color=SPREAD)
    file = folder / f"{plot.name}.svg"
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None, "Creator": "make bench"})
    return file


def caption(plot: Plot, machine: str) -> str:
    """By which command, on which machine, and what the numbers do not say."""
    return f"make bench. {machine}\n{plot.limits}"


def is_peer(row: Row) -> bool:
    return any(peer in row.what for peer in PEERS)
