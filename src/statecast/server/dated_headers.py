"""The header ``Date``, made when a response needs it. uvicorn's own server wakes up each second to
make it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate

from statecast.server.uvicorn_names import ServerState

Headers = list[tuple[bytes, bytes]]


class DatedServerState(ServerState):
    """What the connections of a server share; ``default_headers`` are those of every response."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """``clock`` gives the time in seconds."""
        self._clock = clock
        self._second = -1
        """Of which ``_dated`` has the date."""
        super().__init__()

    @property
    def default_headers(self) -> Headers:
        second = int(self._clock())
        if second != self._second:
            date = formatdate(second, usegmt=True).encode()
            self._dated, self._second = [(b"date", date), *self._undated], second
        return self._dated

    @default_headers.setter
    def default_headers(self, headers: Headers) -> None:
        """Set the headers beside ``Date``."""
        self._undated, self._second = headers, -1
