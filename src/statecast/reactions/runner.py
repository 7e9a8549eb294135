"""Runs one reaction: the lease, the calls on threads of its own, the attempts after failures.

Rule 1: only the process that holds the lease calls, and every note compares the lease's term.
Rule 2: a call that has succeeded is noted before the next one for its device. If the store cannot
note it, the note is tried again, not the call.
Rule 3: no failure of a function ends a thread, and none holds up another device.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Protocol

from statecast import logs, names, strict_json
from statecast.errors import STORE_ERRORS, LeaseLost, RowDamaged, StatecastError
from statecast.logs import LineLimit
from statecast.model import Update
from statecast.reactions import chain
from statecast.reactions.agenda import Agenda
from statecast.reactions.chain import MAX_LINKS, Link, SentMessages
from statecast.reactions.reaction import Reaction, State
from statecast.stores.contract import Store
from statecast.stores.holder_watch import HolderWatch
from statecast.stores.lease_standby import LeaseStandby
from statecast.stores.leases import Lease, reaction_lease
from statecast.threads import ThreadPool

FAILED, LOOP, STALLED = "reaction-failed", "reaction-loop", "lease-stalled"
MAX_TEXT = 200
"""Characters of an exception that are shown."""

log = logging.getLogger(__name__)


class Pool(Protocol):
    """Threads for calls."""

    def try_submit(self, call: Callable[[], object]) -> bool: ...

    def close(self) -> None: ...


class RunnerState(IntEnum):
    """What this process does for a reaction."""

    STANDBY = 1
    """Another process has the lease, or none has tried yet."""
    ACTIVE = 2
    """This process has the lease and calls."""
    LOOPING = 3
    """It called itself and was stopped. The lease is kept, so that no other process begins."""
    CLOSED = 4
    """No further call begins."""


NEXT = {
    RunnerState.STANDBY: {RunnerState.ACTIVE, RunnerState.CLOSED},
    RunnerState.ACTIVE: {RunnerState.STANDBY, RunnerState.LOOPING, RunnerState.CLOSED},
    RunnerState.LOOPING: {RunnerState.STANDBY, RunnerState.CLOSED},
    RunnerState.CLOSED: {RunnerState.CLOSED},
}


class ReactionRunner:
    """One reaction in one process. ``clock`` gives the time in ms."""

    def __init__(
        self,
        reaction: Reaction,
        store: Store,
        threads: int,
        clock: Callable[[], int],
        sent: SentMessages,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pool: Pool | None = None,
    ) -> None:
        self.reaction = reaction
        self.state = RunnerState.STANDBY
        self._store = store
        self._kept = store.reaction(reaction.name, reaction.patterns)
        self._threads = threads
        self._clock = clock
        self._sent = sent
        self._monotonic = monotonic
        self._pool = pool or ThreadPool(threads, name=f"reaction-{reaction.name}")
        self._lease: Lease | None = None
        self._term = 0
        self._agenda = Agenda()
        self._unnoted: dict[str, Update | None] = {}
        """What the last successful call had, of devices for which the store could not note it."""
        self._busy = 0
        """Threads that call."""
        self._idle = threading.Condition()
        """Notified when a thread ends; its lock is for all of the above."""
        self._lines = LineLimit()
        self._logged: tuple[str, str] | None = None
        """The newest failure whose traceback was logged; None: none since all calls succeeded."""
        self._subject = f"reaction {reaction.name}"
        self._holder = HolderWatch(
            store,
            reaction_lease(reaction.name),
            "reaction",
            "no process calls it",
            monotonic=monotonic,
        )
        self._standby = LeaseStandby(
            store, reaction_lease(reaction.name), on_free=store.wake, monotonic=monotonic
        )

    # What the follower of the store does

    @property
    def active(self) -> bool:
        return self.state is RunnerState.ACTIVE

    @property
    def wants_lease(self) -> bool:
        """Whether it is time to ask for the lease."""
        stands_by = self.state is RunnerState.STANDBY and not self._busy
        return stands_by and not self._standby.due_in()

    def take_over(self, begin_to_read: Callable[[], None]) -> bool:
        """Take the lease, if no other process has it; whether the reaction is active now.

        ``begin_to_read`` is called with the lease, before the states are compared.
        """
        lease = self._store.lease(reaction_lease(self.reaction.name))
        if lease is None:
            self._look_at_holder()
            self._standby.begin_pause()
            return False
        try:
            begin_to_read()
            begun = self._kept.begin(lease.term)
            unhandled = self._kept.unhandled()
        except BaseException:
            lease.release()
            raise
        if begun:
            log.info("the reaction %s begins with the present states", self.reaction.name)
        self._holder.forget()
        self._store.problems.clear(STALLED, self._subject)
        with self._idle:
            if self.state is not RunnerState.STANDBY:  # closed meanwhile
                lease.release()
                return False
            self._lease, self._term, self._agenda = lease, lease.term, Agenda()
            self._unnoted.clear()
            self._become(RunnerState.ACTIVE)
        self.offer(unhandled)
        return True

    def offer(self, devices: Iterable[str]) -> None:
        """Take note of devices that may have changed."""
        with self._idle:
            for device in devices:
                if self.watches(device):
                    self._agenda.change(device)

    def watches(self, device: str) -> bool:
        return names.match_any(self.reaction.patterns, device)

    def start_calls(self) -> None:
        """Let threads begin what is due."""
        with self._idle:
            if self._lease is not None:
                self._lease.note_progress()
            free = self._threads - self._busy
            wanted = min(free, self._agenda.ready(self._monotonic())) if self.active else 0
            self._busy += wanted
            for _ in range(wanted):  # under the lock: a pool that was closed runs nothing more
                self._pool.try_submit(self._run)

    def due_in(self) -> float | None:
        """Seconds until the next attempt: to call after a failure, or to get the lease."""
        with self._idle:
            if self.state is RunnerState.STANDBY and not self._busy:
                return self._standby.due_in()
            return self._agenda.due_in(self._monotonic()) if self.active else None

    # The end

    def close(self) -> None:
        """Begin no further call."""
        with self._idle:
            self._become(RunnerState.CLOSED)
        self._pool.close()

    def join(self, timeout: float) -> bool:
        """Wait for the calls that run; whether all have ended. Then the lease is free."""
        with self._idle:
            ended = self._idle.wait_for(lambda: not self._busy, timeout)
            if ended:
                self._release()
            return ended

    def _release(self) -> None:
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def _become(self, state: RunnerState) -> None:
        if state is not self.state:
            assert state in NEXT[self.state], (self.state, state)
            self.state = state

    def _stand_by(self) -> None:
        """Another process has taken over."""
        with self._idle:
            if self.state is not RunnerState.CLOSED:
                self._become(RunnerState.STANDBY)
            self._release()
        for kind in (FAILED, LOOP):
            self._store.problems.clear(kind, self._subject)

    # What the threads of the calls do

    def _run(self) -> None:
        """Call for one device after the other, until nothing is due."""
        while (device := self._take()) is not None:
            try:
                self._end(device, self._handle(device))
            except LeaseLost:
                self._stand_by()

    def _take(self) -> str | None:
        with self._idle:
            device = self._agenda.take(self._monotonic()) if self.active else None
            if device is None:
                self._busy -= 1
                if not self._busy and self.state is RunnerState.CLOSED:
                    self._release()
                self._idle.notify_all()
            return device

    def _end(self, device: str, succeeded: bool) -> None:
        with self._idle:
            before = self._agenda.failing
            if succeeded:
                self._agenda.succeed(device)
            else:
                self._agenda.fail(device, self._monotonic())
            over = before and not self._agenda.failing
            if over:
                self._logged = None
        if over:
            self._store.problems.clear(FAILED, self._subject)

    def _handle(self, device: str) -> bool:
        """Call for a device if its state is another one; whether that is done."""
        try:
            if device in self._unnoted:
                self._note(device, self._unnoted[device])
            before, update = self._kept.last(device), self._store.get(device)
            after = None if update is None else update.state
            if is_same(before, after):
                return True
            link = self._link(update)
        except LeaseLost:
            raise
        except RowDamaged:  # it is named already, and its next message makes it whole
            return True
        except StatecastError as error:
            self._store_failed(error)
            return False
        if link.number >= MAX_LINKS:
            self._stop_loop(device)
            return False
        return self._call(device, before, after, link) and self._try_note(device, update)

    def _link(self, update: Update | None) -> Link:
        cause = None if update is None else self._sent.link_of(update.cause)
        now = self._clock()
        return Link(0, now) if cause is None else cause.following(now)

    def _call(self, device: str, before: bytes | None, after: bytes | None, link: Link) -> bool:
        try:
            with chain.calling(link):
                self.reaction.function(device, decoded(before), decoded(after))
            return True
        except BaseException as error:  # SystemExit too: it ends no thread, and no device's turn
            self._function_failed(device, error)
            return False

    def _try_note(self, device: str, update: Update | None) -> bool:
        try:
            self._note(device, update)
        except LeaseLost:
            raise
        except StatecastError as error:
            self._store_failed(error)
            return False
        return True

    def _note(self, device: str, update: Update | None) -> None:
        self._unnoted[device] = update
        self._kept.note(device, update, self._term)
        del self._unnoted[device]

    # What people are told

    def _function_failed(self, device: str, error: BaseException) -> None:
        kind, text = type(error).__name__, names.escaped(str(error))[:MAX_TEXT]
        with self._idle:
            first = next(iter(self._agenda.failing), device)
            is_new, self._logged = self._logged != (kind, text), (kind, text)
            omitted = self._lines.take(kind) if is_new else None
        if omitted is not None:
            what = f"the reaction {self.reaction.name} failed for the device {device}"
            logs.log_error(log, what + LineLimit.remark(omitted), error)
        self._store.problems.report(
            FAILED,
            self._subject,
            f"This reaction fails for the device {first}, and is tried again; the log says why.",
            detail=f"{kind}: {text}",
        )

    def _store_failed(self, error: StatecastError) -> None:
        if isinstance(error, STORE_ERRORS):
            self._store.problems.store_failed(error)

    def _stop_loop(self, device: str) -> None:
        with self._idle:
            if self.state is RunnerState.ACTIVE:
                self._become(RunnerState.LOOPING)
        self._store.problems.report(
            LOOP,
            self._subject,
            f"This reaction changes what it watches ({device}): it called itself {MAX_LINKS} times "
            "in a row and was stopped. Let it leave a state that is right as it is, and start the "
            "server again.",
        )

    def _look_at_holder(self) -> None:
        """Say if the process that holds the lease has stopped: the reaction is not called then."""
        if not self._holder.look():
            return
        problems = self._store.problems
        if self._holder.sentence is not None:
            problems.report(STALLED, self._subject, self._holder.sentence)
        else:
            problems.clear(STALLED, self._subject)


def decoded(state: bytes | None) -> State:
    found: State = None if state is None else strict_json.decode(state)
    return found


def is_same(before: bytes | None, after: bytes | None) -> bool:
    """Whether two encoded states are equal, whatever the order of their fields."""
    if before == after or before is None or after is None:
        return before == after
    return json.dumps(decoded(before), sort_keys=True) == json.dumps(decoded(after), sort_keys=True)
