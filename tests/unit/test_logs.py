"""One line per event."""

from __future__ import annotations

import logging
import sys

import pytest

from statecast import logs


def test_a_record_is_one_line_whatever_is_in_it() -> None:
    record = logging.LogRecord(
        "x", logging.WARNING, "", 1, "said %s", ("a\nb\x1b[31m\u2028c\0",), None
    )
    record.created = 0.25
    record.msecs = 250.0
    line = logs.OneLine().format(record)
    assert line == "1970-01-01T00:00:00.250Z WARNING x: said a\\nb\\x1b[31m\\u2028c\\x00"


def test_a_traceback_is_on_the_same_line() -> None:
    try:
        raise ValueError("sad")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "failed", (), sys.exc_info())
    line = logs.OneLine().format(record)
    assert "\n" not in line
    assert line.endswith("ValueError: sad")


def test_an_application_keeps_its_own_log(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    before = list(root.handlers)
    assert before, "pytest has its own"
    logs.begin()
    assert root.handlers == before

    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    logs.begin()
    assert [type(handler.formatter) for handler in root.handlers] == [logs.OneLine]
    root.setLevel(level)
