"""Prints text of devices safely: without characters that control a terminal or end a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from statecast import names, strict_json

Item = TypeVar("Item")

SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(text: str) -> str:
    """Escape unprintable characters like JSON, so that a JSON text keeps its meaning."""
    return names.escaped(text, _json_escape)


def _json_escape(character: str) -> str:
    if (short := SHORT.get(character)) is not None:
        return short
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def print_line(text: str) -> None:
    """Print one line for people."""
    click.echo(escaped(text))


def print_json(line: bytes) -> None:
    """Print one JSON value on one line, always in UTF-8, because a program reads it."""
    click.echo(escaped(line.decode()).encode())


def value_text(value: Any) -> str:
    """A value for people: text unchanged, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cut(text: str, width: int) -> str:
    """The text, shortened to ``width`` characters."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def columns(rows: list[list[str]], width: int | None) -> list[str]:
    """Lines with aligned columns, cut to ``width`` characters."""
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in list(zip(*rows))[:-1]]
    lines = [
        "  ".join([*(cell.ljust(wide) for cell, wide in zip(row, widths)), row[-1]]).rstrip()
        for row in rows
    ]
    return lines if width is None else [cut(line, width) for line in lines]


def print_list(
    found: Sequence[Item],
    *,
    as_json: bool,
    described: Callable[[Item], object],
    cells: Callable[[Item], list[str]],
    nothing: str,
) -> None:
    """Print a list: for programs a line of JSON each, for people aligned columns.

    ``nothing`` is the sentence for people where the list is empty.
    """
    if as_json:
        for one in found:
            print_json(strict_json.encode(described(one)))
    elif found:
        for line in columns([cells(one) for one in found], width()):
            click.echo(line)
    else:
        click.echo(nothing, err=True)


def width() -> int | None:
    """The width of the terminal in characters; None for a pipe, where nothing is cut."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
