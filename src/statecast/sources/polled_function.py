"""A function of the application as a source: called at an interval, it returns a device's state.

It replaces the background thread that small applications write for this. Only the process that
holds the source's lease calls the function, so that ten processes do not poll ten times.
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


class PolledFunction:
    """Calls ``function`` every ``every`` seconds. The function returns None if nothing changed."""

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
        self._logged = ""
        """The last failure, which is logged once."""

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Call the function if it is due within ``wait`` seconds.

        Raises SourceUnavailable when the function fails.
        """
        pause = self._due - self.monotonic()
        if pause > 0 and self._closed.wait(min(pause, wait)):
            return []
        if self.monotonic() < self._due:
            return []
        # After a delay the function is called once, and next after a full period.
        now = self.monotonic()
        self._due = self._due + self.every if now < self._due + self.every else now + self.every
        body = self._call()
        return [] if body is None else [Delivery(uuid.uuid4().hex, body, self.clock())]

    def _call(self) -> bytes | None:
        try:
            state = self.function()
            message = None if state is None else {"device": self.name, "state": dict(state)}
            body = None if message is None else strict_json.encode(message)
        except Exception as error:
            self._log_once(error)
            name = getattr(self.function, "__name__", "function")
            kind = type(error).__name__
            raise SourceUnavailable(
                f"The polled function {name}() failed ({kind}); the log says why."
            ) from error
        self._logged = ""
        return body

    def _log_once(self, error: Exception) -> None:
        """Log each kind of failure once.

        The text of the error stays out of the sentence: every viewer sees that sentence, and the
        text may contain a secret.
        """
        failure = f"{type(error).__name__}: {error}"
        if failure != self._logged:
            self._logged = failure
            log.error("the polled function of %s failed", self.name, exc_info=error)

    @property
    def pause(self) -> float:
        """Seconds between two calls."""
        return self.every

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[str]:
        return [delivery.id for delivery in deliveries]

    def waiting(self) -> int | None:
        return None

    def close(self) -> None:
        self._closed.set()
