"""Follows the store in a thread, and passes what has changed to the event loop.

Rule: the thread never reads ahead of the loop. What a busy loop cannot take yet stays in the store,
where ten thousand changes of ten devices are ten rows.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from statecast.broadcast.health import urgent
from statecast.broadcast.long_tick import may_be_long
from statecast.broadcast.tick import Tick
from statecast.errors import StatecastError
from statecast.model import Position
from statecast.problems import STORE
from statecast.stores.changes import Changes, ReadCursor
from statecast.stores.contract import SetBackMemory, Store
from statecast.stores.epoch_history import EpochHistory

RETRY_SECONDS = 0.5
PAGE = 2_000
"""Devices of one read at the start."""
LONGEST_WAIT = 5.0
"""Seconds of one wait for a commit. It matters only where a commit wakes no thread."""
EPOCH_HISTORY_INTERVAL = 600.0
"""Seconds after which the epoch history is read again. Removals are kept for days, so a listener
that learns of a forgotten one ten minutes late is in time."""
CONFIRM_INTERVAL = 0.1
"""Seconds between two reads of the epoch history for viewers whose position is not known here. They
say which position they have, so there may be as many as they like."""
SET_BACK = "store-set-back"
SET_BACK_SHOWN = 86_400.0
"""For how many seconds it is shown that the store lacks what it had."""

log = logging.getLogger(__name__)


class ChangeListener(Protocol):
    """Receives the changes on the event loop: the broadcaster."""

    def on_changes(
        self,
        changes: Changes,
        epoch_history: EpochHistory | None,
        report: dict[str, Any],
        reset: bool,
    ) -> None:
        """Take over changes.

        ``epoch_history`` comes with the first changes, and again when an epoch has begun. With
        ``reset`` the changes are all states there are, and what was known before is void: the store
        was set back (a restored backup), or this method failed before.
        """

    def prepare(self, changes: Changes) -> Callable[[], None] | None:
        """What the thread shall do with changes before ``on_changes`` gets them.

        It is asked only of many bytes, and takes over nothing.
        """

    def on_confirmed(self, asked: int) -> None:
        """What is known now was read after ``ChangeFeed.confirm`` had returned this number."""


class ReadResult(NamedTuple):
    """What one read of the store found; the arguments of ``on_changes`` without the report."""

    changes: Changes
    epoch_history: EpochHistory | None = None
    reset: bool = False
    confirms: int = 0
    """Up to which question; 0: none."""


class ChangeFeed:
    """Reads the changes of a store for one loop."""

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[], dict[str, Any]],
        listener: ChangeListener,
    ) -> None:
        self.store = store
        self.loop = loop
        self.report = report
        self.listener = listener
        self._cursor = ReadCursor(watch=0, access=0)
        self._position = Position("", 0)
        self._epoch = ""
        self._has_all = True
        """The last read left nothing for the next one."""
        self._failure = ""
        """Why the store cannot be read; logged once."""
        self._reset_needed = False
        """The listener failed, so it is not known which viewer has received what."""
        self._epoch_history_at = self._confirmed_at = 0.0
        """When the listener got the epoch history last, and when it was read last to answer."""
        self._forgotten = 0
        """Up to where the listener knows that removals were forgotten."""
        self._asked = self._confirmed = 0
        """Questions of ``confirm``, and how many of them were answered."""
        self._set_back_at = float("-inf")
        self._said_to_lack: int | None = None
        """How many changes, by the sentence that is shown."""
        self._tick = Tick()
        self._read_at: float | None = None
        """When the changes were read that the loop has; None: it has none that the tick is for."""
        self._said: Any = None
        """What was urgent in the last report that was delivered. The rest of a report waits for the
        listener's own interval. Most commits are none of the viewers' business, like a message that
        comes into the queue or is received from there."""
        self._stop = threading.Event()
        self._prepared = threading.Event()
        """The listener has said what this thread can do for the next delivery."""
        self._delivered = threading.Event()
        self._delivered.set()
        self._delivered_at = 0.0
        self._thread = threading.Thread(target=self._run, name="change-feed", daemon=True)

    def start(self) -> None:
        """Deliver every state now, then follow in the thread. Raises StoreUnavailable."""
        self.store.take_events()
        self.read_once()
        self._thread.start()

    def read_once(self) -> None:
        """Read and deliver everything, on the thread of the loop.

        In pages: the rows of a hundred thousand devices need several times the memory of what is
        kept of them.
        """
        whole = False
        while not whole:
            result = self._read(self._asked, PAGE)
            self._advance(result)
            self._deliver(result, self.report())
            whole = len(result.changes.updates) < PAGE or self._reset_needed

    def confirm(self) -> int:
        """Read the store and its epochs soon, even if nothing changes; on the thread of the loop.

        The number comes back to ``on_confirmed``, once the store could be read.
        """
        is_first = self._asked == self._confirmed
        self._asked += 1
        if is_first and self._thread.ident is None:
            self.loop.call_soon(self.read_once)
        elif is_first:
            self.store.wake()
        return self._asked

    def stop(self) -> None:
        self._stop.set()
        self._prepared.set()
        self._delivered.set()
        self.store.wake()
        if self._thread.ident is not None:
            self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                result, report = self._wait_and_read()
            except Exception:  # a defect of ours; if this thread ended, every page would freeze
                log.exception("the store could not be followed; trying again")
                self._stop.wait(RETRY_SECONDS)
                continue
            if not self._is_news(result, report):
                self._advance(result)
                continue
            if any_of(result.changes):
                self._read_at = time.monotonic()
            self._delivered.clear()
            if self._stop.is_set():  # checked after the clear: stop() sets both, and waits for us
                return
            try:
                if may_be_long(result.changes) and not result.reset:
                    self._prepare(result.changes)
                self.loop.call_soon_threadsafe(self._deliver, result, report)
            except RuntimeError:  # the loop was closed meanwhile
                return
            self._advance(result)

    def _prepare(self, changes: Changes) -> None:
        """Do here what the listener wants done before it gets the changes."""
        answers: list[Callable[[], None]] = []

        def ask() -> None:
            try:
                work = self.listener.prepare(changes)
                if work is not None:
                    answers.append(work)
            except Exception:
                log.exception("changes could not be prepared; they are sent all the same")
            finally:
                self._prepared.set()

        self._prepared.clear()
        self.loop.call_soon_threadsafe(ask)
        while not self._prepared.wait(0.2) and not self._stop.is_set():
            pass  # the loop is busy, or has ended
        try:
            for work in answers:
                work()
        except Exception:
            log.exception("changes could not be prepared; they are sent all the same")

    def _wait_and_read(self) -> tuple[ReadResult, dict[str, Any]]:
        """Wait for a commit, and read it. A store that is away is no change, but a new report.

        The loop delivers what was read last while this thread waits for the next commit: a thread
        that sleeps once costs less than one that sleeps twice.
        """
        try:
            if self._has_all:
                self.store.wait(self._longest_wait(), self._cursor)
            self._let_loop_deliver()
            result = self._read(self._confirmed if self._longest_wait() else self._asked)
            self._has_all = result.changes.has_all_commands
            self._log_failure("")
        except StatecastError as error:
            self._log_failure(str(error))
            self._said = None
            self._stop.wait(RETRY_SECONDS)
            result = ReadResult(Changes(self._position, self._cursor))
        return result, self.report()

    def _let_loop_deliver(self) -> None:
        """Wait until the last delivery is over, and the pause after it."""
        while not self._delivered.wait(0.2) and not self._stop.is_set():
            pass  # the loop is busy, or has ended
        if self._read_at is None:
            return
        pause = self._tick.delivered(self._read_at, self._delivered_at)
        self._read_at = None
        if pause:
            self._stop.wait(max(0.0, self._delivered_at + pause - time.monotonic()))

    def _longest_wait(self) -> float:
        """Seconds; not long while viewers wait for an answer about their position."""
        if self._asked == self._confirmed:
            return LONGEST_WAIT
        return max(0.0, self._confirmed_at + CONFIRM_INTERVAL - time.monotonic())

    def _is_news(self, result: ReadResult, report: dict[str, Any]) -> bool:
        """Whether the loop is to know of it now."""
        changes, said = result.changes, urgent(report)
        nothing = (
            not any_of(changes)
            and not changes.seen
            and changes.position == self._position
            and result.epoch_history is None
            and not result.reset
        )
        if nothing and said == self._said:
            return False
        self._said = said
        return True

    def _log_failure(self, failure: str) -> None:
        """Log when a failure begins, changes or ends."""
        if failure != self._failure:
            log.warning(
                "the store cannot be read: %s" if failure else "the store can be read again%s",
                failure,
            )
            self._failure = failure

    def _read(self, confirms: int, limit: int | None = None) -> ReadResult:
        if self._reset_needed:
            self._cursor = ReadCursor(
                event=self._cursor.event, command=self._cursor.command, watch=0, access=0
            )
            self._epoch = ""
        changes = self.store.read(self._cursor, limit)
        holds = self._epoch_history_holds(changes)
        if confirms == self._confirmed and holds:
            return ReadResult(changes)
        epoch_history, self._confirmed_at = self.store.epoch_history(), time.monotonic()
        set_back = bool(self._epoch) and not epoch_history.is_valid(
            Position(self._epoch, self._cursor.offset)
        )
        if set_back:
            self._note_set_back(self._lacks(epoch_history))
            changes = self.store.read(ReadCursor(watch=0, access=0))
        elif epoch_history.lacks is not None:
            self._report_set_back(epoch_history.lacks)
        elif time.monotonic() - self._set_back_at > SET_BACK_SHOWN:
            self.store.problems.clear(SET_BACK, STORE)
            self._said_to_lack = None
        reset, self._reset_needed = self._reset_needed or set_back, False
        self._epoch = changes.position.epoch
        if holds and not set_back:
            # The listener has each removal that was forgotten meanwhile. Dropping them starts
            # viewers over that lag, so it must not happen as often as viewers like.
            epoch_history = epoch_history._replace(forgotten=self._forgotten)
        else:
            self._epoch_history_at, self._forgotten = self._confirmed_at, epoch_history.forgotten
        return ReadResult(changes, epoch_history, reset, confirms)

    def _lacks(self, epoch_history: EpochHistory) -> int:
        """How many changes are gone; 0: it cannot be counted."""
        last = epoch_history.last_of(self._epoch)
        if last is None or last >= self._cursor.offset:
            return 0  # before the epoch that this process knows, or forgotten ones
        return self._cursor.offset - last

    def _note_set_back(self, lacks: int) -> None:
        """Say it, and let processes say it that start later."""
        self._set_back_at, self._said_to_lack = time.monotonic(), None
        if isinstance(self.store, SetBackMemory):
            with suppress(StatecastError):  # it cannot be written: this process knows it
                self.store.note_set_back(lacks)
        self._report_set_back(lacks)

    def _report_set_back(self, lacks: int) -> None:
        if lacks == self._said_to_lack:
            return
        self._said_to_lack = lacks
        gone = f"the last {lacks} changes" if lacks else "changes"
        self.store.problems.clear(SET_BACK, STORE)  # that of the time before
        self.store.problems.report(
            SET_BACK,
            STORE,
            f"The store was set back: it lacks {gone} that it had. A backup was restored, or a "
            "replica took over that did not have them. All viewers receive all states again.",
            severity="notice",
        )

    def _epoch_history_holds(self, changes: Changes) -> bool:
        """Whether the epoch history that the listener has is still good enough."""
        return (
            time.monotonic() - self._epoch_history_at < EPOCH_HISTORY_INTERVAL
            and changes.position.epoch == self._epoch
            and changes.position.offset >= self._cursor.offset
        )

    def _advance(self, result: ReadResult) -> None:
        self._cursor, self._position = result.changes.cursor, result.changes.position
        self._confirmed = max(self._confirmed, result.confirms)

    def _deliver(self, result: ReadResult, report: dict[str, Any]) -> None:
        """On the loop: call the listener. A failure is a defect of ours; then everything is sent
        again."""
        try:
            changes, epoch_history, reset, confirms = result
            self.listener.on_changes(changes, epoch_history, report, reset)
            if confirms:
                self.listener.on_confirmed(confirms)
        except Exception:
            log.exception("changes could not be sent to the viewers; everything is sent again")
            self._reset_needed = True
        finally:
            # After the writes to the viewers, which follow in this turn of the loop: what is
            # committed until then is in the next delivery.
            self.loop.call_soon(self._end_delivery)

    def _end_delivery(self) -> None:
        self._delivered_at = time.monotonic()
        self._delivered.set()


def any_of(changes: Changes) -> bool:
    """Whether there is anything to send by these changes."""
    return bool(
        changes.updates or changes.events or changes.commands or changes.watch or changes.access
    )
