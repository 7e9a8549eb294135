"""A function of the user's as a source: called every so many seconds, what it returns is a device's state.

It is the background thread of a hundred small apps, done once: only the process that holds the source's
lease calls it, so that ten processes do not poll ten times.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from statecast import strict_json
from statecast.errors import SourceUnavailable
from statecast.model import Delivery

log = logging.getLogger(__name__)


class PollSource:
    """Calls ``function`` every ``every`` seconds; None means that there is nothing new."""

    resolution = 1

    def __init__(
        self,
        name: str,
        function: Callable[[], Mapping[str, Any] | None],
        *,
        every: float,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.function = function
        self.every = every
        self.clock = clock
        self.monotonic = monotonic
        self._due = monotonic()
        self._closed = threading.Event()
        self._told = ""

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Call the function if it is due within ``wait`` seconds. A function that fails is a source that is away."""
        pause = self._due - self.monotonic()
        if pause > 0 and self._closed.wait(min(pause, wait)):
            return []
        if self.monotonic() < self._due:
            return []
        # A late call is made once, not made up for: the next one is a full period away.
        now = self.monotonic()
        self._due = self._due + self.every if now < self._due + self.every else now + self.every
        body = self._ask()
        return [] if body is None else [Delivery(uuid.uuid4().hex, body, self.clock())]

    def _ask(self) -> bytes | None:
        try:
            state = self.function()
            body = (
                None
                if state is None
                else strict_json.encode({"device": self.name, "state": dict(state)})
            )
        except Exception as error:
            self._tell(error)
            name = getattr(self.function, "__name__", "function")
            kind = type(error).__name__
            raise SourceUnavailable(
                f"The polled function {name}() failed ({kind}); the log says why."
            ) from error
        self._told = ""
        return body

    def _tell(self, error: Exception) -> None:
        """In the log, once per kind of failure: the sentence reaches every viewer, and an error may hold a secret."""
        told = f"{type(error).__name__}: {error}"
        if told != self._told:
            self._told = told
            log.error("the polled function of %s failed", self.name, exc_info=error)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[str]:
        return [delivery.id for delivery in deliveries]

    def waiting(self) -> int | None:
        return None

    def close(self) -> None:
        self._closed.set()
