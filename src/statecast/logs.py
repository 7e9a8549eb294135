"""The log of a process that serves: one line per event on standard error, whatever a peer put into it."""

from __future__ import annotations

import logging
import time

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"


class OneLine(logging.Formatter):
    """Control characters are escaped, line ends too: nobody writes a second line or talks to the terminal."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(FORMAT, "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


def escaped(text: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def begin() -> None:
    """Log to standard error, unless the application or the command line has set up its own log."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def quiet_uvicorn() -> None:
    """What it says of its course and of answers that broke off is told by us, in one line each."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
