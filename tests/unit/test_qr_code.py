"""The QR code in a terminal: what a phone reads there, and where there is none."""

from __future__ import annotations

import io
import os
import re

import pytest

from statecast.program import qr_code as module
from statecast.program.qr_code import qr_code

ADDRESS = "http://192.168.7.5:8000"
MODULES = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}


class Terminal(io.StringIO):
    def __init__(self, *, tty: bool = True, encoding: str = "utf-8") -> None:
        super().__init__()
        self._tty = tty
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._tty


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.delenv("NO_COLOR", raising=False)


def modules(shown: str) -> list[list[int]]:
    """What a camera sees of the characters."""
    rows: list[list[int]] = []
    for line in shown.splitlines():
        text = re.sub(r"\x1b\[[0-9;]*m", "", line)
        rows += ([MODULES[one][half] for one in text] for half in (0, 1))
    return rows


def test_a_phone_reads_the_address() -> None:
    """The modules are those of the standard's encoder, inside of their quiet zone."""
    import segno

    seen = modules(qr_code(ADDRESS, Terminal()))
    expected = [list(map(int, row)) for row in segno.make_qr(ADDRESS, error="m").matrix]
    size, zone = len(expected), module.QUIET_ZONE
    assert [row[zone : zone + size] for row in seen[zone : zone + size]] == expected
    around = [*seen[:zone], *seen[zone + size :]]
    around += [row[:zone] + row[zone + size :] for row in seen]
    assert not any(map(any, around)), "the zone around it is light"
    assert len(seen[0]) == size + 2 * zone and len(seen) >= size + 2 * zone


def test_every_line_sets_its_colours_and_resets_them() -> None:
    """The colours are fixed ones, so a dark terminal shows dark on light as well."""
    for line in qr_code(ADDRESS, Terminal()).splitlines():
        assert line.startswith("\x1b[38;5;16;48;5;231m") and line.endswith("\x1b[0m")
        assert line.count("\x1b") == 2


NOWHERE: dict[str, tuple[Terminal, dict[str, str]]] = {
    "a file": (Terminal(tty=False), {}),
    "ASCII": (Terminal(encoding="ascii"), {}),
    "Latin-1": (Terminal(encoding="iso-8859-1"), {}),
    "an encoding that does not exist": (Terminal(encoding="no-such-encoding"), {}),
    "no colours are wanted": (Terminal(), {"NO_COLOR": "1"}),
    "a dumb terminal": (Terminal(), {"TERM": "dumb"}),
    "an unknown terminal": (Terminal(), {"TERM": ""}),
    "too narrow": (Terminal(), {"COLUMNS": "32"}),
    "too low": (Terminal(), {"LINES": "16"}),
}


@pytest.mark.parametrize("name", NOWHERE)
def test_there_is_none_where_it_cannot_be_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    stream, variables = NOWHERE[name]
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert qr_code(ADDRESS, stream) == ""


def test_there_is_none_in_a_stream_that_is_closed() -> None:
    closed = open(os.devnull, "w")  # noqa: SIM115
    closed.close()
    assert qr_code(ADDRESS, closed) == ""


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")  # https://no-color.org: only when it is not empty
    assert qr_code(ADDRESS, Terminal())


def test_the_longest_address_fits_a_usual_terminal() -> None:
    longest = "http://[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535"
    assert len(qr_code(longest, Terminal()).splitlines()) <= 22
