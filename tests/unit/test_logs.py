"""One line per event."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from statecast import logs
from statecast.http.throttled_log import ThrottledLog


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


def failed() -> logging.LogRecord:
    try:
        raise ValueError("sad\nand blue\x1b[31m")
    except ValueError:
        return logging.LogRecord("x", logging.ERROR, "", 1, "it\nfailed", (), sys.exc_info())


def test_a_terminal_shows_a_traceback_in_lines_of_its_own() -> None:
    # given a record whose message and error have line ends and an escape sequence
    first, *more = logs.ForTerminal().format(failed()).split("\n")

    # then the message is one line, and each line of the traceback is indented and harmless
    assert first.endswith("ERROR x: it\\nfailed")
    assert more[0] == "    Traceback (most recent call last):"
    assert more[-1] == "    and blue\\x1b[31m"
    assert all(line.startswith("    ") for line in more)


def test_a_record_as_json_is_one_object() -> None:
    record = failed()
    record.created = 0.25
    line = logs.AsJson().format(record)
    assert "\n" not in line
    content = json.loads(line)
    assert content.pop("traceback").startswith("Traceback (most recent call last):")
    assert content == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "error",
        "logger": "x",
        "message": "it\nfailed",
    }


@pytest.mark.parametrize(
    ("style", "terminal", "expected"),
    [
        ("text", True, logs.ForTerminal),
        ("text", False, logs.OneLine),
        ("json", True, logs.AsJson),
        ("json", False, logs.AsJson),
    ],
)
def test_the_form_of_the_log(style: str, terminal: bool, expected: type) -> None:
    assert type(logs.formatter(style, terminal)) is expected


@pytest.mark.parametrize(
    ("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)]
)
def test_the_level_of_the_log(monkeypatch: pytest.MonkeyPatch, level: str, shown: int) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    before, stream = root.level, io.StringIO()
    logs.begin(level, "text", stream)
    for one in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("x").log(one, "said")
    root.setLevel(before)
    assert stream.getvalue().count("\n") == shown


def test_an_application_keeps_its_own_log(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    before = list(root.handlers)
    assert before, "pytest has its own"
    logs.begin()
    assert root.handlers == before

    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    logs.begin(stream=io.StringIO())
    assert [type(handler.formatter) for handler in root.handlers] == [logs.OneLine]
    root.setLevel(level)


def test_many_addresses_together_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    # given a thousand addresses that are refused for the same reason, within a second
    throttled = ThrottledLog()
    for number in range(1_000):
        throttled.warning(f"10.0.{number // 256}.{number % 256}", "the Host header names evil", 0.0)

    # then the log has a bounded number of lines, and another reason still has its own
    assert len(caplog.records) == 100
    throttled.warning("10.1.0.1", "a page of another origin", 0.0)
    assert len(caplog.records) == 101
    assert throttled.counted == 1_001


def test_what_a_client_repeats_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    # given an old client that asks again every two seconds, and another sentence about it
    throttled = ThrottledLog()
    for second in range(0, 60, 2):
        throttled.warning("10.0.0.1", "This client speaks Engine.IO 3.", 1_000.0 + second)
    throttled.warning("10.0.0.1", "a page of another origin", 1_059.0)

    # then each sentence has its line, and the next minute has the next one
    assert len(caplog.records) == 2
    throttled.warning("10.0.0.1", "This client speaks Engine.IO 3.", 1_061.0)
    assert len(caplog.records) == 3
    assert throttled.counted == 32
