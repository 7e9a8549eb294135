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
from statecast.errors import Malformed, SourceUnavailable
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
        self.due = monotonic()
        """When the function is called next, by ``monotonic``."""
        self._closed = threading.Event()
        self._logged = ""
        """The last failure, which is logged once."""

    def under_test(
        self, clock: Callable[[], int], monotonic: Callable[[], float]
    ) -> PolledFunction:
        """The same function, due now, and again as the clock of a test says."""
        return PolledFunction(
            self.name, self.function, every=self.every, clock=clock, monotonic=monotonic
        )

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Call the function if it is due within ``wait`` seconds.

        Raises SourceUnavailable when the function fails.
        """
        pause = self.due - self.monotonic()
        if pause > 0 and self._closed.wait(min(pause, wait)):
            return []
        if self.monotonic() < self.due:
            return []
        # After a delay the function is called once, and next after a full period.
        now = self.monotonic()
        self.due = self.due + self.every if now < self.due + self.every else now + self.every
        body = self._call()
        return [] if body is None else [Delivery(uuid.uuid4().hex, body, self.clock())]

    def _call(self) -> bytes | None:
        name = getattr(self.function, "__name__", "function")
        try:
            state = self.function()
        except Exception as error:
            self._log_once(f"{type(error).__name__}: {error}", error)
            kind = type(error).__name__
            raise SourceUnavailable(
                f"The polled function {name}() failed ({kind}); the log says why."
            ) from error
        try:
            body = None if state is None else self._message(state)
        except Malformed as error:  # its sentence names no value, so viewers may see it
            sentence = f"The polled function {name}() returned no state. {error}"
            self._log_once(sentence, None)
            raise SourceUnavailable(sentence) from None
        self._logged = ""
        return body

    def _message(self, state: Any) -> bytes:
        """The message with this state. Raises Malformed."""
        checked = strict_json.check(state)
        if not isinstance(checked, dict):
            raise Malformed("A state is a mapping of fields and values, like {'mood': 'happy'}.")
        return strict_json.encode({"device": self.name, "state": checked})

    def _log_once(self, failure: str, error: Exception | None) -> None:
        """Log each kind of failure once.

        The text of the error stays out of the sentence: every viewer sees that sentence, and the
        text may contain a secret.
        """
        if failure != self._logged:
            self._logged = failure
            if error is None:
                log.error("the polled function of %s failed: %s", self.name, failure)
            else:
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
