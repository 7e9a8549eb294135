"""The log of a serving process: one line per event on standard error, whatever a peer sent."""

from __future__ import annotations

import logging
import secrets
import time

from statecast.names import escaped

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"


class OneLine(logging.Formatter):
    """Escapes control characters and line ends: nothing in a record can start a second line."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(FORMAT, "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


def begin() -> None:
    """Log to standard error, unless the application or the command line has set up its own log."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    root.addHandler(handler)
    root.setLevel(logging.INFO)


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
