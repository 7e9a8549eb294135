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
from statecast.model import Place
from statecast.stores.contract import Cursor, Lineage, News, Store

TICK = 0.02
"""Seconds between two readings under load: changes between them share a frame."""

LINEAGE_EVERY = 600.0
"""Seconds after which it asks anew what was forgotten; what is removed is remembered for days."""

log = logging.getLogger(__name__)


class Teller(Protocol):
    """Who is told, on the loop: the broadcaster."""

    def arrive(
        self, news: News, lineage: Lineage | None, report: dict[str, Any], anew: bool
    ) -> None:
        """Take what is new; ``lineage`` comes with the first news and whenever an epoch began.

        ``anew``: the store was set back (a restored backup); forget what you know, this is all there is.
        """


class Follower:
    """Asks the store the one question, over and over, for one loop."""

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[], dict[str, Any]],
        teller: Teller,
    ) -> None:
        self.store = store
        self.loop = loop
        self.report = report
        self.teller = teller
        self._cursor = Cursor()
        self._place = Place("", 0)
        self._epoch = ""
        self._trouble = ""
        self._lost = False
        self._lineage_at = 0.0
        self._stop = threading.Event()
        self._taken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Hand over every state at once, then follow from the thread. Raises StoreUnavailable."""
        self.look()
        self._thread.start()

    def look(self) -> None:
        """Read once and hand over what is new, on the thread of the loop."""
        news, lineage, anew = self._ask()
        self._cursor, self._place = news.cursor, news.place
        self._take(news, lineage, self.report(), anew)

    def stop(self) -> None:
        self._stop.set()
        self._taken.set()
        self.store.wake()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.store.wait(1.0)
                news, lineage, anew = self._ask()
                self._complain("")
                report = self.report()
            except (
                StatecastError
            ) as error:  # nothing is new but what is known of the sources: they are away, too
                self._complain(str(error))
                self._stop.wait(0.5)
                news, lineage, anew = News(self._place, self._cursor, [], {}, []), None, False
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
                self.loop.call_soon_threadsafe(self._take, news, lineage, report, anew)
            except RuntimeError:  # the loop closed while we read
                return
            self._cursor, self._place = news.cursor, news.place
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

    def _ask(self) -> tuple[News, Lineage | None, bool]:
        if self._lost:
            self._cursor, self._epoch = Cursor(event=self._cursor.event), ""
        news = self.store.read(self._cursor)
        fresh = time.monotonic() - self._lineage_at < LINEAGE_EVERY
        if fresh and news.place.epoch == self._epoch and news.place.offset >= self._cursor.offset:
            return news, None, False
        lineage, self._lineage_at = self.store.lineage(), time.monotonic()
        anew = self._lost or (
            bool(self._epoch) and not lineage.is_good(Place(self._epoch, self._cursor.offset))
        )
        if anew and not self._lost:
            news = self.store.read(Cursor())
        self._lost = False
        self._epoch = news.place.epoch
        return news, lineage, anew

    def _take(
        self, news: News, lineage: Lineage | None, report: dict[str, Any], anew: bool
    ) -> None:
        try:
            self.teller.arrive(news, lineage, report, anew)
        except Exception:  # a defect of ours; what was told to whom is not known any more
            log.exception("what changed could not be told; everything is told anew")
            self._lost = True
        finally:
            self._taken.set()
