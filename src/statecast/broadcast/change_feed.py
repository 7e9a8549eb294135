"""Follows the store from a thread and hands what is new to the event loop.

Rule: it never reads ahead of the loop. What a busy loop cannot tell yet stays in the store, where ten thousand changes
of ten devices are ten rows.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from statecast.errors import StatecastError
from statecast.model import Position
from statecast.stores.contract import Changes, EpochHistory, ReadCursor, Store

TICK = 0.02
"""Seconds between two readings under load: changes between them share a frame."""

EPOCH_HISTORY_EVERY = 600.0
"""Seconds after which it asks anew what was forgotten; what is removed is remembered for days."""

log = logging.getLogger(__name__)


class ChangeListener(Protocol):
    """Who is told, on the loop: the broadcaster."""

    def arrive(
        self, news: Changes, epoch_history: EpochHistory | None, report: dict[str, Any], anew: bool
    ) -> None:
        """Take what is new; ``lineage`` comes with the first news and whenever an epoch began.

        ``anew``: the store was set back (a restored backup); forget what you know, this is all there is.
        """


class ChangeFeed:
    """Asks the store the one question, over and over, for one loop."""

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
        self._cursor = ReadCursor()
        self._position = Position("", 0)
        self._epoch = ""
        self._trouble = ""
        self._lost = False
        self._epoch_history_at = 0.0
        self._stop = threading.Event()
        self._taken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Hand over every state at once, then follow from the thread. Raises StoreUnavailable."""
        self.read_once()
        self._thread.start()

    def read_once(self) -> None:
        """Read once and hand over what is new, on the thread of the loop."""
        news, epoch_history, anew = self._ask()
        self._cursor, self._position = news.cursor, news.position
        self._take(news, epoch_history, self.report(), anew)

    def stop(self) -> None:
        self._stop.set()
        self._taken.set()
        self.store.wake()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.store.wait(1.0)
                news, epoch_history, anew = self._ask()
                self._complain("")
                report = self.report()
            except (
                StatecastError
            ) as error:  # nothing is new but what is known of the sources: they are away, too
                self._complain(str(error))
                self._stop.wait(0.5)
                news, epoch_history, anew = (
                    Changes(self._position, self._cursor, [], {}, []),
                    None,
                    False,
                )
                report = self.report()
            except (
                Exception
            ):  # a defect of ours, but a thread that dies in silence would freeze every page
                log.exception("the store could not be followed; trying again")
                self._stop.wait(0.5)
                continue
            self._taken.clear()
            if (
                self._stop.is_set()
            ):  # after the clear: stop() sets both, and its loop waits for us, not we for it
                return
            try:
                self.loop.call_soon_threadsafe(self._take, news, epoch_history, report, anew)
            except RuntimeError:  # the loop closed while we read
                return
            self._cursor, self._position = news.cursor, news.position
            while not self._taken.wait(0.2) and not self._stop.is_set():
                pass  # the loop is busy, or ended without taking it
            if news.updates or news.events:
                self._stop.wait(TICK)

    def _complain(self, trouble: str) -> None:
        """In the log when it begins, changes and ends, not twice a second."""
        if trouble != self._trouble:
            log.warning(
                "the store cannot be read: %s" if trouble else "the store can be read again%s",
                trouble,
            )
            self._trouble = trouble

    def _ask(self) -> tuple[Changes, EpochHistory | None, bool]:
        if self._lost:
            self._cursor, self._epoch = ReadCursor(event=self._cursor.event), ""
        news = self.store.read(self._cursor)
        fresh = time.monotonic() - self._epoch_history_at < EPOCH_HISTORY_EVERY
        if (
            fresh
            and news.position.epoch == self._epoch
            and news.position.offset >= self._cursor.offset
        ):
            return news, None, False
        epoch_history, self._epoch_history_at = self.store.epoch_history(), time.monotonic()
        anew = self._lost or (
            bool(self._epoch)
            and not epoch_history.is_valid(Position(self._epoch, self._cursor.offset))
        )
        if anew and not self._lost:
            news = self.store.read(ReadCursor())
        self._lost = False
        self._epoch = news.position.epoch
        return news, epoch_history, anew

    def _take(
        self, news: Changes, epoch_history: EpochHistory | None, report: dict[str, Any], anew: bool
    ) -> None:
        try:
            self.listener.arrive(news, epoch_history, report, anew)
        except Exception:  # a defect of ours; what was told to whom is not known any more
            log.exception("what changed could not be told; everything is told anew")
            self._lost = True
        finally:
            self._taken.set()
