"""Runs the pipeline of one source: the lease, the pauses after failures, the health, the stop.

Rule 1: at most one process holds the lease of a source. The consumers of the others stand by and
take over.
Rule 2: no failure ends the consumer's thread; only ``stop`` does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from statecast import timestamps
from statecast.errors import STORE_ERRORS, LeaseLost, StatecastError, Unavailable
from statecast.ingest.overdue import Overdue, Waiting, overdue
from statecast.ingest.pipeline import Pipeline, PipelineStep
from statecast.model import Delivery
from statecast.sources.contract import Metered, Paced
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.sources.retry_pause import pause_after
from statecast.stores.contract import Store
from statecast.stores.holder_watch import HolderWatch
from statecast.stores.lease_standby import LeaseStandby
from statecast.stores.leases import Lease
from statecast.stores.totals import Committed

RECEIVE_WAIT = 0.5
"""Seconds of one receive: an idle source delays a stop for at most that long."""
RECEIVE_WAIT_IN_STORE = 2.0
"""The same for the queue inside the store, whose wait a stop ends."""

NO_ANSWER = "The queue does not answer."
STORE_NO_ANSWER = "The store does not answer; messages wait in their queue."

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Health:
    """The health of one source, as its consumer measures it."""

    status: str
    """``connected``, or ``away``: the queue cannot be read; ``blocked``: the queue can be read, but
    the store takes nothing; ``standby`` while another process holds the lease."""
    since: int
    """When the status began, in ms."""
    received_at: int | None = None
    """When the queue last answered, in ms; an empty answer counts."""
    lag: float | None = None
    """Age in seconds of the newest message when it was committed; None: the queue was empty when
    it last answered, and nothing is behind."""
    waiting: int | None = None
    """Messages in the queue; None: not known."""
    sentence: str | None = None
    """Why the source is not connected, for every viewer."""
    requests_per_hour: int | None = None
    """At the present poll interval, where each request costs."""

    def report(self) -> dict[str, Any]:
        """The health as in the ``health`` event."""
        received_at = self.received_at
        report = {
            "status": self.status,
            "since": timestamps.iso(self.since),
            "received_at": None if received_at is None else timestamps.iso(received_at),
            "lag": None if self.lag is None else round(self.lag, 3),
            "waiting": self.waiting,
            "sentence": self.sentence,
        }
        if self.requests_per_hour is not None:
            report["requests_per_hour"] = self.requests_per_hour
        return report


class Consumer:
    """Consumes one source in a daemon thread from ``start`` to ``stop``.

    ``clock`` gives the time in ms; ``changed`` is called in that thread when the status changes.
    ``resumed_at`` says when this process last went on after it did not run (monotonic): no answer
    is overdue for that time.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        clock: Callable[[], int],
        changed: Callable[[], None] = lambda: None,
        resumed_at: Callable[[], float] = lambda: float("-inf"),
    ) -> None:
        self._resumed_at = resumed_at
        self.pipeline = pipeline
        self.name = pipeline.source.name
        self.store = store
        self.clock = clock
        self.changed = changed
        self.health = Health("standby", clock())
        self.total = Committed()
        self._stop = threading.Event()
        self._standby = LeaseStandby(store, self.name)
        source = pipeline.source
        self._metered = source if isinstance(source, Metered) else None
        self._paced = source if isinstance(source, Paced) else None
        self._in_store = isinstance(source, EmbeddedQueue) and source.store is store
        self._receive_wait = RECEIVE_WAIT_IN_STORE if self._in_store else RECEIVE_WAIT
        self._subject = f"source {self.name}"
        self._shown = self.health
        """What was last passed to ``changed``."""
        self._detail = ""
        """What the operator may know of why the source is away."""
        self._answered_at = time.monotonic()
        """When the queue last answered, by ``time.monotonic``."""
        self._holder = HolderWatch(
            store,
            self.name,
            "queue",
            "no process receives from it",
            resumed_at=lambda: self._resumed_at(),
        )
        self._noting = threading.Lock()
        """For the problems of this source, which two threads note."""
        self._counted_at = 0.0
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name=f"consumer-{self.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let the consumer finish its batch and end; ``join`` waits for that."""
        self._stop.set()
        self._standby.end()
        if isinstance(self.pipeline.source, EmbeddedQueue):
            self.pipeline.source.wake()

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
                self._failed(error)
                self._pause(pause_after(failures, error))
        # What was acknowledged but not deleted is delivered again, and its ids are known.
        with suppress(StatecastError):
            self.pipeline.source.close()
        self._has_ended = True

    def _consume(self) -> None:
        """Consume with the lease until the stop; without the lease, return after a short wait."""
        lease = self.store.lease(self.name)
        if lease is None:
            self._set_status("standby", self._look_at_holder())
            self.pipeline.begin(PipelineStep.PAUSE)
            self._standby.pause()
            return
        self._holder.forget()
        self._answered_at = time.monotonic()
        try:
            while not self._stop.is_set():
                self._step(lease)
        finally:
            with suppress(StatecastError):  # then it becomes visible in time
                self.pipeline.release()
            lease.release()

    def _look_at_holder(self) -> str | None:
        """A sentence if the process that holds the lease has stopped: no process receives then."""
        self._holder.look()
        return self._holder.sentence

    def _step(self, lease: Lease) -> None:
        failures = 0
        while True:
            try:
                done, committed = self.pipeline.step(lease.term, self._receive_wait)
                break
            except Unavailable as error:
                failures += 1
                self._failed(error)
                lease.note_progress()
                if self._pause(pause_after(failures, error)):
                    return
        lease.note_progress()
        if failures and done:
            self.store.problems.store_works()
        self._note_step(done, committed)

    def step_now(self, lease: Lease) -> int:
        """Move one batch without waiting, for tests; how many messages it had.

        A queue or a store that is away is shown as such, and the next step tries again.
        """
        try:
            done, committed = self.pipeline.step(lease.term, 0)
        except Unavailable as error:
            self._failed(error)
            return 0
        self._note_step(done, committed)
        return len(done)

    def _note_step(self, done: Sequence[Delivery], committed: Committed) -> None:
        self.total = replace(self.total + committed, set_aside=())
        if self._answered(bool(done)):
            self.health.lag = max(0, self.clock() - done[-1].sent_at) / 1000 if done else None
            self._measure()
            self._set_status("connected")
        self._show()

    def _answered(self, got_some: bool) -> bool:
        """Note when the queue last answered; False if this step sent no request to it.

        A source whose requests cost does not send one in each step.
        """
        if self._metered is None:
            self.health.received_at = self.clock()
            self._answered_at = time.monotonic()
            return True
        before, self.health.received_at = self.health.received_at, self._metered.heard_at
        answered = got_some or before != self.health.received_at
        if answered:
            self._answered_at = time.monotonic()
        return answered

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

    def _pause(self, seconds: float) -> bool:
        """Wait; whether the consumer shall stop."""
        self.pipeline.begin(PipelineStep.PAUSE)
        return self._stop.wait(seconds)

    def _failed(self, error: Exception) -> None:
        """Show the part that failed: a full disk is not the queue's fault."""
        if isinstance(error, STORE_ERRORS):
            self.store.problems.store_failed(error)
            self._set_status("blocked", error.public)
        elif isinstance(error, StatecastError):
            self._set_status("away", error.public, error.detail)
        else:
            self._set_status("away", "Statecast failed here; its log says why.")

    def _set_status(self, status: str, sentence: str | None = None, detail: str = "") -> None:
        health = self.health
        if (health.status, health.sentence) != (status, sentence):
            since = self._shown.since if self._shown.status == status else self.clock()
            self._detail = detail
            self.health = replace(health, status=status, since=since, sentence=sentence)
            self._show()

    def _show(self) -> None:
        """Call ``changed`` if what others see of the health has changed."""
        before, self._shown = self._shown, self.current()
        if (before.status, before.sentence) != (self._shown.status, self._shown.sentence):
            self.changed()

    # What other threads ask

    def current(self) -> Health:
        """The health now: an answer that is overdue counts while its thread still waits for it.

        It also reports the source to the problems of the process, or clears it. Any thread.
        """
        with self._noting:
            health = self._with_overdue(self.health)
            problems = self.store.problems
            kinds = {"away": "source-away", "standby": "lease-stalled"}
            for status, kind in kinds.items():
                if health.status == status and health.sentence is not None:
                    problems.report(kind, self._subject, health.sentence, detail=self._detail)
                else:
                    problems.clear(kind, self._subject)
            return health

    @property
    def store_waits(self) -> float:
        """For how many seconds the store has not answered this consumer; 0 if it does."""
        late = self._overdue()
        return late.waited if late is not None and late.part == "store" else 0.0

    def _with_overdue(self, health: Health) -> Health:
        late = self._overdue() if health.status == "connected" else None
        if late is None:
            return health
        asked = self.clock() - int(late.waited * 1000)
        since = asked if health.received_at is None else min(asked, health.received_at)
        if late.part == "store":
            return replace(health, status="blocked", since=since, sentence=STORE_NO_ANSWER)
        return replace(health, status="away", since=since, sentence=NO_ANSWER)

    def _overdue(self) -> Overdue | None:
        if self._has_ended:  # it asks nothing more, while requests under way still end
            return None
        now, resumed_at = time.monotonic(), self._resumed_at()
        step, since = self.pipeline.doing
        asked_at = None if self._metered is None else self._metered.asked_at
        return overdue(
            Waiting(
                step,
                now - max(since, resumed_at),
                self._receive_wait,
                in_store=self._in_store,
                pause=None if self._paced is None else self._paced.pause,
                metered=self._metered is not None,
                asked_for=None if asked_at is None else now - max(asked_at, resumed_at),
                answered_before=now - max(self._answered_at, resumed_at),
            )
        )
