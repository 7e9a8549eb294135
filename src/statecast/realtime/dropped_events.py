"""Counts the application events that this process dropped, and names their namespaces in the log.

The total is in the report of the process: its health, the metrics, the operator's page.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from statecast.names import escaped

EVERY = 60.0
"""Seconds between two lines about one namespace."""
MAX_NAMESPACES = 100
"""That are counted apart. Policy when full: the others share one line."""
OTHERS = "other namespaces"

SLOW_VIEWER = "viewers read too slowly (settings viewer_buffer, polling_buffer)"
UNDECIDED = "a connect handler has not decided yet"
NO_LOOP = "the loop of the viewers does not answer"
BUSY_HANDLERS = "too many calls wait for handlers (setting handler_threads)"
TOO_MANY_ANSWERS = "a viewer owes too many answers, so the oldest callback is given up"
GONE = "their one viewer has left, or another process serves it"
"""The reasons."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Unsaid:
    """What the log does not say yet of one namespace."""

    number: int = 0
    next_line: float = 0.0
    """When it may have its next line."""


class DroppedEvents:
    """Any thread may add to it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds."""
        self.total = 0
        self._clock = clock
        self._unsaid: dict[str, Unsaid] = {}
        self._lock = threading.Lock()

    def add(self, namespace: str, number: int, reason: str) -> None:
        """Count ``number`` events of a namespace; there may be none."""
        if not number:
            return
        with self._lock:
            self.total += number
            if namespace not in self._unsaid and len(self._unsaid) >= MAX_NAMESPACES:
                namespace = OTHERS
            unsaid = self._unsaid.setdefault(namespace, Unsaid())
            unsaid.number += number
            now = self._clock()
            if now < unsaid.next_line:
                return
            number, unsaid.number, unsaid.next_line = unsaid.number, 0, now + EVERY
        log.warning(
            "events of %s were dropped, %d since the last such line: %s",
            escaped(namespace),
            number,
            reason,
        )
