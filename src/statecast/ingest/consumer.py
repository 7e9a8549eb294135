"""Runs the pipeline of one source: the lease, the pauses after failures, the health, the stop.

Rule 1: at most one process holds the lease of a source. The consumers of the others stand by and
take over.
Rule 2: no failure ends the consumer's thread; only ``stop`` does.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from statecast import timestamps
from statecast.errors import LeaseLost, StatecastError, Unavailable
from statecast.ingest.pipeline import Pipeline
from statecast.sources.contract import Metered
from statecast.stores.contract import Committed, Store

RECEIVE_WAIT = 0.5
"""Seconds of one receive: an idle source delays a stop for at most that long."""
STANDBY_WAIT = 0.1
"""Seconds between two attempts to get a lease that another process holds."""
MAX_PAUSE = 5.0
"""Seconds between two attempts after failures."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Health:
    """The health of one source, as its consumer measures it."""

    status: str
    """``connected`` or ``away``; ``standby`` while another process holds the lease."""
    since: int
    """When the status began, in ms."""
    received_at: int | None = None
    """When the queue last answered, in ms; an empty answer counts."""
    lag: float = 0.0
    """Age in seconds of the newest message when it was committed; 0 when nothing waits."""
    waiting: int | None = None
    """Messages in the queue; None: not known."""
    sentence: str | None = None
    """Why the source is away, for people."""
    requests_per_hour: int | None = None
    """At the present poll interval, where each request costs."""

    def report(self) -> dict[str, Any]:
        """The health as in the ``health`` event."""
        received_at = self.received_at
        report = {
            "status": self.status,
            "since": timestamps.iso(self.since),
            "received_at": None if received_at is None else timestamps.iso(received_at),
            "lag": round(self.lag, 3),
            "waiting": self.waiting,
            "sentence": self.sentence,
        }
        if self.requests_per_hour is not None:
            report["requests_per_hour"] = self.requests_per_hour
        return report


class Consumer:
    """Consumes one source in a daemon thread from ``start`` to ``stop``.

    ``clock`` gives the time in ms; ``changed`` is called in that thread when the status changes.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        clock: Callable[[], int],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.pipeline = pipeline
        self.name = pipeline.source.name
        self.store = store
        self.clock = clock
        self.changed = changed
        self.health = Health("standby", clock())
        self.total = Committed()
        self._stop = threading.Event()
        source = pipeline.source
        self._metered = source if isinstance(source, Metered) else None
        self._counted_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"consumer-{self.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let the consumer finish its batch and end; ``join`` waits for that."""
        self._stop.set()
        self.store.wake()

    def join(self, timeout: float | None = None) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._consume()
                failures = 0
            except LeaseLost:
                self._set_status("standby")
            except Exception as error:
                if not isinstance(error, StatecastError):
                    log.exception("the consumer of %s failed and starts again", self.name)
                failures += 1
                self._set_status("away", error)
                self._stop.wait(pause_after(failures))
        # What was acknowledged but not deleted is delivered again, and its ids are known.
        with suppress(Unavailable):
            self.pipeline.source.close()

    def _consume(self) -> None:
        """Consume with the lease until the stop; without the lease, return after a short wait."""
        lease = self.store.lease(self.name)
        if lease is None:
            self._set_status("standby")
            self._stop.wait(STANDBY_WAIT)
            return
        try:
            while not self._stop.is_set():
                self._step(lease.term)
        finally:
            lease.release()

    def _step(self, term: int) -> None:
        failures = 0
        while True:
            try:
                done, committed = self.pipeline.step(term, RECEIVE_WAIT)
                break
            except Unavailable as error:
                failures += 1
                self._set_status("away", error)
                if self._stop.wait(pause_after(failures)):
                    return
        self.total = replace(self.total + committed, set_aside=())
        if self._answered(bool(done)):
            self.health.lag = max(0, self.clock() - done[-1].sent_at) / 1000 if done else 0.0
            self._measure()
            self._set_status("connected")

    def _answered(self, got_some: bool) -> bool:
        """Note when the queue last answered; False if this step sent no request to it.

        A source whose requests cost does not send one in each step.
        """
        if self._metered is None:
            self.health.received_at = self.clock()
            return True
        before, self.health.received_at = self.health.received_at, self._metered.heard_at
        return got_some or before != self.health.received_at

    def _measure(self) -> None:
        """Note how many messages wait in the queue, at most once a second."""
        if time.monotonic() - self._counted_at >= 1.0:
            self._counted_at = time.monotonic()
            try:
                self.health.waiting = self.pipeline.source.waiting()
            except Unavailable:
                self.health.waiting = None
            if self._metered is not None:
                self.health.requests_per_hour = self._metered.requests_per_hour()

    def _set_status(self, status: str, error: Exception | None = None) -> None:
        health = self.health
        sentence = None if error is None else _public(error)
        if (health.status, health.sentence) != (status, sentence):
            since = health.since if health.status == status else self.clock()
            self.health = replace(health, status=status, since=since, sentence=sentence)
            if status == "away":
                log.warning("source %s is away: %s", self.name, _sentence(error))
            elif health.status == "away" and status == "connected":
                log.warning(
                    "source %s is back after %d s",
                    self.name,
                    (self.health.since - health.since) // 1000,
                )
            self.changed()


def pause_after(failures: int) -> float:
    """Seconds; random, so that many consumers do not try again at the same moment."""
    return random.uniform(0.05, min(MAX_PAUSE, 0.1 * 2 ** min(failures, 10)))  # noqa: S311


def _public(error: Exception) -> str:
    """Why the source is away, for the viewers."""
    if isinstance(error, StatecastError):
        return error.public
    return "Statecast failed here; its log says why."


def _sentence(error: Exception | None) -> str:
    """The same for the log: it may name files and accounts."""
    return str(error) if isinstance(error, StatecastError) else "an error, logged before"
