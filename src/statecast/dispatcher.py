"""Puts the waiting commands of devices into their command queue: the relay of an outbox.

Rule 1: the store notes the attempt, the command is put, the store notes that it was put. A crash
in between repeats the put; the device remembers ids. So no command is lost, and one that expires
was never in the queue.
Rule 2: at most one process holds the lease of a command queue. The dispatchers of the others stand
by and take over.
Rule 3: no failure ends the thread; only ``stop`` does. Commands wait in the store meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from statecast import strict_json
from statecast.commands import life
from statecast.commands.life import Command
from statecast.errors import STORE_ERRORS, LeaseLost, Refused, StatecastError, Unavailable
from statecast.problems import Problems
from statecast.sources.contract import ExpiringSender, Sender
from statecast.sources.retry_pause import pause_after
from statecast.stores.contract import Store
from statecast.stores.holder_watch import HolderWatch
from statecast.stores.lease_standby import LeaseStandby
from statecast.stores.leases import Lease, command_lease

BATCH = 32
"""Commands of one attempt: after a crash so many may be put twice."""
LOOK_INTERVAL = 2.0
"""Seconds between two looks for commands of which nothing was said here, as of a device that has
its queue only now."""
AWAY, STALLED = "commands-away", "lease-stalled"

log = logging.getLogger(__name__)


def no_hook(point: str) -> None:
    """The crash tests pass a hook that kills the process at a named point of the way."""


class CommandDispatcher:
    """Serves one command queue in a daemon thread from ``start`` to ``stop``."""

    def __init__(
        self,
        address: str,
        queue: Sender,
        store: Store,
        belongs: Callable[[str, str | None], bool],
        clock: Callable[[], int],
        problems: Problems,
        *,
        resumed_at: Callable[[], float] = lambda: float("-inf"),
        reach: Callable[[str], None] = no_hook,
    ) -> None:
        """``address`` is the URL of the queue without its options: the lease has that name.

        ``belongs(device, source)`` says which devices have this queue.
        ``resumed_at`` says when this process last went on after it did not run (monotonic).
        """
        self.address = address
        self.queue = queue
        self.store = store
        self.clock = clock
        self._belongs = belongs
        self._problems = problems
        self._reach = reach
        self._subject = f"commands {queue.name}"
        self._put: list[str] = []
        """Ids of commands that were put, which the store does not know yet."""
        self._not_put: list[str] = []
        """Ids of commands that certainly were not put, which the store does not know yet."""
        self._failures = 0
        """Attempts that failed since the last one that did not."""
        self._holder = HolderWatch(
            store,
            command_lease(address),
            "command queue",
            "no command is put into it",
            resumed_at=resumed_at,
        )
        self._standby = LeaseStandby(store, command_lease(address))
        self._stop = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"commands-{queue.name}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin no further attempt; one that runs comes to its end."""
        self._stop.set()
        self._standby.end()
        self._news.set()

    def join(self, timeout: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def wake(self) -> None:
        """There may be a command to put. Any thread."""
        self._news.set()

    # The thread

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._hold_lease()
            except LeaseLost as error:
                log.warning("%s: %s", self._subject, error)
            except StatecastError as error:
                self._note_failure(error)
                self._pause(error)
            except Exception as error:  # a defect of ours; without this thread commands would wait
                log.exception("%s: commands could not be put; trying again", self._subject)
                self._failures += 1
                self._pause(error)
        with suppress(StatecastError):
            self.queue.close()

    def _hold_lease(self) -> None:
        """Put commands until the stop; without the lease, return after a short wait."""
        lease = self.store.lease(command_lease(self.address))
        if lease is None:
            self._look_at_holder()
            self._standby.pause()
            return
        self._holder.forget()
        self._problems.clear(STALLED, self._subject)
        try:
            while not self._stop.is_set():
                self._serve(lease)
        finally:
            lease.release()

    def _serve(self, lease: Lease) -> None:
        """One attempt, and the wait for the next one."""
        self._news.clear()
        if self._stop.is_set():  # its news may be what was cleared
            return
        try:
            more = self.step(lease.term)
        except Unavailable as error:
            self._note_failure(error)
            lease.note_progress()
            self._pause(error)
            return
        lease.note_progress()
        if not more:
            self._news.wait(LOOK_INTERVAL)

    def step(self, term: int) -> bool:
        """Put a batch of waiting commands; whether there may be more. Raises Unavailable."""
        self._note_outcome(term)
        limit = 1 if self._failures else BATCH
        commands = self.store.begin_dispatch(self.address, term, self._belongs, limit)
        if not commands:
            self._succeeded()
            return False
        self._reach("attempted")
        failure = self._put_all(commands)
        self._reach("put")
        self._note_outcome(term)
        self._reach("noted")
        if failure is not None:
            raise failure
        self._succeeded()
        return len(commands) == limit

    def _note_outcome(self, term: int) -> None:
        """Let the store know what became of the last attempt, unless it does."""
        if self._put or self._not_put:
            self.store.end_dispatch(self.address, term, self._put, self._not_put)
            self._put, self._not_put = [], []

    # The queue

    def _put_all(self, commands: Sequence[Command]) -> Unavailable | None:
        """Put commands in their order, up to the first failure, which is returned.

        One that the queue refuses does not stop those after it.
        """
        if isinstance(self.queue, ExpiringSender):
            attempts = [([one], partial(self._put_one, self.queue, one)) for one in commands]
        else:
            attempts = [(list(commands), partial(self._put_together, self.queue, commands))]
        for place, (together, attempt) in enumerate(attempts):
            try:
                attempt()
            except Refused as error:
                self._cancel(together)
                log.error("%s: a command was refused: %s", self._subject, error)
            except Unavailable as error:
                rest = [one for later, _ in attempts[place + 1 :] for one in later]
                self._cancel(rest if error.may_have_arrived else [*together, *rest])
                return error
        return None

    def _put_one(self, queue: ExpiringSender, command: Command) -> None:
        seconds = command.seconds_left(self.clock())
        if seconds <= 0:
            self._cancel([command])
            return
        queue.send_expiring(self._body(command), seconds)
        self._put.append(command.id)

    def _put_together(self, queue: Sender, commands: Sequence[Command]) -> None:
        queue.send_many([self._body(one) for one in commands])
        self._put += [one.id for one in commands]

    def _body(self, command: Command) -> bytes:
        return strict_json.encode(life.to_device(command, self.clock()))

    def _cancel(self, commands: Sequence[Command]) -> None:
        """These were not put now. If an earlier attempt may have succeeded, that stays so."""
        self._not_put += [one.id for one in commands if one.attempted_at is None]

    # What others see

    def _succeeded(self) -> None:
        self._failures = 0
        self._problems.clear(AWAY, self._subject)

    def _note_failure(self, error: StatecastError) -> None:
        self._failures += 1
        if isinstance(error, STORE_ERRORS):
            self._problems.store_failed(error)
        else:
            sentence = f"Commands wait, because their queue takes none: {error.public}"
            self._problems.report(AWAY, self._subject, sentence, detail=error.detail)

    def _pause(self, error: Exception) -> None:
        self._stop.wait(pause_after(self._failures, error))

    def _look_at_holder(self) -> None:
        """Report the process that holds the lease if it has stopped: then commands wait."""
        if not self._holder.look():
            return
        if self._holder.sentence is not None:
            self._problems.report(STALLED, self._subject, self._holder.sentence)
        else:
            self._problems.clear(STALLED, self._subject)
