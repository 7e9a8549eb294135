"""Keeps one source's pipeline running: the lease, the back-off, the health, the stop.

At most one process holds a source's lease; the watchers of the others stand by and take over.
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

from statecast import strict_json
from statecast.errors import LeaseLost, StatecastError, Unavailable
from statecast.ingest.pipeline import Pipeline
from statecast.sources.contract import Metered
from statecast.stores.contract import Committed, Store

RECEIVE_WAIT = 0.5
"""Seconds of one receive: how long a stop may have to wait for an idle source."""
STANDBY_WAIT = 0.1
"""Seconds between two looks at a lease that another process holds."""
LONGEST_PAUSE = 5.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Health:
    """What is known about one source; only the holder of its lease knows it at first hand."""

    status: str
    """``connected`` or ``away``; ``standby`` while another process holds the lease."""
    since: int
    received_at: int | None = None
    """Last good receive, in ms; an empty answer is a good one."""
    lag: float = 0.0
    """Age in seconds of the newest message when it was committed; 0 when nothing waits."""
    waiting: int | None = None
    sentence: str | None = None
    requests_per_hour: int | None = None
    """What asking the queue takes at the present pace, where that costs."""

    def report(self) -> dict[str, Any]:
        costs = (
            {} if self.requests_per_hour is None else {"requests_per_hour": self.requests_per_hour}
        )
        return {
            "status": self.status,
            "since": strict_json.iso(self.since),
            "received_at": strict_json.iso(self.received_at)
            if self.received_at is not None
            else None,
            "lag": round(self.lag, 3),
            "waiting": self.waiting,
            "sentence": self.sentence,
            **costs,
        }


class Consumer:
    """Watches one source in a daemon thread from ``start`` to ``stop``."""

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
        self._costly = source if isinstance(source, Metered) else None
        self._counted_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"watcher-{self.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to finish its page and stop; ``join`` waits for that."""
        self._stop.set()
        self.store.wake()

    def join(self, timeout: float | None = None) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._hold()
                failures = 0
            except LeaseLost:
                self._become("standby")
            except Exception as error:
                if not isinstance(error, StatecastError):
                    log.exception("the watcher of %s failed and starts again", self.name)
                failures += 1
                self._become("away", _sentence(error))
                self._stop.wait(pause_after(failures))
        with suppress(
            Unavailable
        ):  # what was acknowledged and not deleted comes again, and is known
            self.pipeline.source.close()

    def _hold(self) -> None:
        """Consume while the lease is ours; return when there is none to have or the watcher stops."""
        lease = self.store.lease(self.name)
        if lease is None:
            self._become("standby")
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
                self._become("away", str(error))
                if self._stop.wait(pause_after(failures)):
                    return
        self.total = replace(self.total + committed, refused=())
        if self._heard(bool(done)):
            self.health.lag = max(0, self.clock() - done[-1].sent_at) / 1000 if done else 0.0
            self._count()
            self._become("connected")

    def _heard(self, got_some: bool) -> bool:
        """Note when the queue last answered; False if it was not even asked, as a costly one is not in each step."""
        if self._costly is None:
            self.health.received_at = self.clock()
            return True
        before, self.health.received_at = self.health.received_at, self._costly.heard_at
        return got_some or before != self.health.received_at

    def _count(self) -> None:
        """Ask how many wait, at most once a second."""
        if time.monotonic() - self._counted_at >= 1.0:
            self._counted_at = time.monotonic()
            try:
                self.health.waiting = self.pipeline.source.waiting()
            except Unavailable:
                self.health.waiting = None
            if self._costly is not None:
                self.health.requests_per_hour = self._costly.requests_per_hour()

    def _become(self, status: str, sentence: str | None = None) -> None:
        health = self.health
        if (health.status, health.sentence) != (status, sentence):
            since = health.since if health.status == status else self.clock()
            self.health = replace(health, status=status, since=since, sentence=sentence)
            if status == "away":
                log.warning("source %s is away: %s", self.name, sentence)
            elif health.status == "away" and status == "connected":
                log.warning(
                    "source %s is back after %d s",
                    self.name,
                    (self.health.since - health.since) // 1000,
                )
            self.changed()


def pause_after(failures: int) -> float:
    """Seconds; jitter, lest many come back in the same moment."""
    return random.uniform(0.05, min(LONGEST_PAUSE, 0.1 * 2 ** min(failures, 10)))  # noqa: S311


def _sentence(error: Exception) -> str:
    return (
        str(error)
        if isinstance(error, StatecastError)
        else "Statecast failed here; its log says why."
    )
