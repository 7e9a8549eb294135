"""The log of a serving process: one line per event on standard error, whatever a peer sent.

A terminal gets tracebacks in lines of their own. A file, a journal or a pipe gets one line for
each record, as text or, for programs that read logs, as a JSON object.
"""

from __future__ import annotations

import copy
import json
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TextIO

from statecast import timestamps
from statecast.names import escaped
from statecast.rate_limit import TokenBucket

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
LINES_PER_MINUTE = 6
LINES_BURST = 10
"""Lines of one kind that may be written at once, before their rate applies."""
MAX_KINDS = 1_000
"""Kinds remembered; beyond it the one that was quiet for longest is forgotten."""


class LineLimit:
    """How many lines of each kind a log takes: a full disk must not be filled by its warnings."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._bucket = TokenBucket(LINES_PER_MINUTE, LINES_BURST)
        self._kinds: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """By kind, the state of its bucket and the lines omitted; the last used is at the end."""

    def take(self, kind: str) -> int | None:
        """Whether a line of this kind may be written now.

        The number of lines omitted before it, or None if this line is omitted too.
        """
        full_at, omitted = self._kinds.pop(kind, (0.0, 0))
        taken = self._bucket.try_acquire(full_at, self._monotonic())
        self._kinds[kind] = (full_at, omitted + 1) if taken is None else (taken, 0)
        if len(self._kinds) > MAX_KINDS:
            self._kinds.popitem(last=False)
        return None if taken is None else omitted

    @staticmethod
    def remark(omitted: int) -> str:
        """What a line says about the lines that were omitted before it."""
        return f" ({omitted} more lines of this kind were omitted)" if omitted else ""


class LimitedLog:
    """Warnings of which at most ten of a kind are written at once, then six a minute."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._lines = LineLimit()
        self._lock = threading.Lock()

    def warning(self, kind: str, line: str) -> None:
        with self._lock:
            omitted = self._lines.take(kind)
        if omitted is not None:
            self._log.warning("%s%s", line, LineLimit.remark(omitted))


class OneLine(logging.Formatter):
    """Escapes control characters and line ends: nothing in a record can start a second line."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(FORMAT, "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


class ForTerminal(OneLine):
    """The same, but a traceback has lines of its own, indented: none looks like a record."""

    def format(self, record: logging.LogRecord) -> str:
        if not record.exc_info:
            return super().format(record)
        bare = copy.copy(record)
        bare.exc_info = bare.exc_text = None
        traceback = self.formatException(record.exc_info).split("\n")
        return "\n    ".join([super().format(bare), *map(escaped, traceback)])


class AsJson(logging.Formatter):
    """One JSON object per line: time, level, logger, message and, with an error, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        content = {
            "time": timestamps.iso(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content)


def begin(level: str = "info", style: str = "text", stream: TextIO | None = None) -> None:
    """Log to standard error, unless the application or the command line has set up its own log.

    ``level`` and ``style`` are the settings ``log_level`` and ``log_format``.
    """
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(style, handler.stream.isatty()))
    root.addHandler(handler)
    root.setLevel(level.upper())


def formatter(style: str, terminal: bool) -> logging.Formatter:
    if style == "json":
        return AsJson()
    return ForTerminal() if terminal else OneLine()


def log_error(log: logging.Logger, what: str, error: BaseException) -> str:
    """Log an error with its traceback under a new number; the number.

    The response to the client names the number only, and nothing of what happened inside.
    """
    number = secrets.token_hex(4)
    log.error("%s, error %s", what, number, exc_info=error)
    return number


def quiet_uvicorn() -> None:
    """Its start, its stop and its broken responses are logged by us, in one line each."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
