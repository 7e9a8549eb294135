"""The reactions of one process: a thread follows the store and offers each what has changed.

There is no thread, and nothing is read, as long as no reaction is registered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from statecast.errors import BadSetting, StatecastError
from statecast.reactions.chain import SentMessages
from statecast.reactions.reaction import Reaction
from statecast.stores.contract import Store

if TYPE_CHECKING:
    from statecast.reactions.runner import ReactionRunner

IDLE_WAIT = 1.0
TICK = 0.02
"""Seconds between two reads under load: changes of a device between them are one."""
RETRY_SECONDS = 0.5
PAGE = 1_000
"""Devices per read."""

log = logging.getLogger(__name__)

MakeRunner = Callable[..., "ReactionRunner"]


def new_runner(
    reaction: Reaction,
    store: Store,
    threads: int,
    clock: Callable[[], int],
    sent: SentMessages,
) -> ReactionRunner:
    """A runner of a reaction. Its code is imported here: most servers have no reactions."""
    from statecast.reactions.runner import ReactionRunner

    return ReactionRunner(reaction, store, threads, clock, sent)


class Reactions:
    """Runs reactions from ``start`` to ``stop``. ``clock`` gives the time in ms."""

    def __init__(
        self,
        store: Callable[[], Store],
        threads: Callable[[], int],
        clock: Callable[[], int],
        make_runner: MakeRunner = new_runner,
        *,
        follow: bool = True,
    ) -> None:
        """``store`` opens the store; ``threads`` are those of each reaction.

        Without ``follow``, for tests, there is no thread, and ``step`` is called instead.
        """
        self.sent = SentMessages()
        self._store = store
        self._threads = threads
        self._clock = clock
        self._make_runner = make_runner
        self._has_thread = follow
        self._registered: dict[str, Reaction] = {}
        self._runners: list[ReactionRunner] = []
        self._offset: int | None = None
        """Up to where the changes were read; None: no reaction is active."""
        self._failure = ""
        """Why the store cannot be read; logged once."""
        self._stop = threading.Event()
        self._started = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        """For what is registered and started."""

    @property
    def names(self) -> list[str]:
        return list(self._registered)

    @property
    def registered(self) -> list[Reaction]:
        return list(self._registered.values())

    def add(self, reaction: Reaction) -> None:
        """Register a reaction; it runs at once if the others run. Raises BadSetting."""
        with self._lock:
            if reaction.name in self._registered:
                raise BadSetting(
                    f"There are two reactions called {reaction.name!r}; give one of them another "
                    'name: @live.on_change(..., name="mail").'
                )
            self._registered[reaction.name] = reaction
            if self._started:
                self._begin(reaction)

    def start(self) -> None:
        """Begin all reactions before this returns: what is committed later is a change."""
        with self._lock:
            self._started = True
            for reaction in self._registered.values():
                self._prepare(reaction)
            if self._runners:
                with suppress(StatecastError):  # the thread tries again, and says why
                    self._take_over(self._store(), self._runners)
                self._follow()

    def _begin(self, reaction: Reaction) -> None:
        self._prepare(reaction)
        self._follow()

    def _prepare(self, reaction: Reaction) -> None:
        runner = self._make_runner(reaction, self._store(), self._threads(), self._clock, self.sent)
        self._runners = [*self._runners, runner]

    def _follow(self) -> None:
        """Follow the store in the thread."""
        store = self._store()
        if self._thread is None and self._has_thread:
            self._thread = threading.Thread(target=self._run, name="reactions", daemon=True)
            self._thread.start()
        store.wake()

    def drain(self) -> None:
        """Begin no further call."""
        with self._lock:
            self._started = False
        self._stop.set()
        for runner in self._runners:
            runner.close()
        if self._thread is not None:
            self._store().wake()

    def stop(self, timeout: float) -> None:
        """Wait for the calls that run; those that take longer are repeated later."""
        self.drain()
        deadline = time.monotonic() + timeout
        if self._thread is not None:
            self._thread.join(max(0.5, timeout))
        late = [
            runner.reaction.name
            for runner in self._runners
            if not runner.join(max(0.0, deadline - time.monotonic()))
        ]
        if late:
            log.warning(
                "reactions did not end in time (%s); their calls are repeated at the next start",
                ", ".join(late),
            )

    def _run(self) -> None:
        store = self._store()
        while not self._stop.is_set():
            try:
                pause = self.step()
                self._log_failure("")
                if pause:
                    store.wait(pause)
                else:
                    self._stop.wait(TICK)
            except StatecastError as error:
                self._log_failure(str(error))
                self._stop.wait(RETRY_SECONDS)
            except Exception:  # a defect of ours; if this thread ended, nothing would be called
                log.exception("reactions could not follow the store; trying again")
                self._stop.wait(RETRY_SECONDS)

    def _log_failure(self, failure: str) -> None:
        if failure != self._failure and not self._stop.is_set():
            log.warning("reactions wait: %s" if failure else "reactions go on%s", failure)
        self._failure = failure

    def step(self) -> float:
        """Take leases, read what has changed, begin calls.

        Returns the seconds until the next step, unless something is committed before; 0: at once.
        """
        runners = self._runners
        store = self._store()
        self._take_over(store, runners)
        more = self._offer_changes(store, runners)
        for runner in runners:
            runner.start_calls()
        if more:
            return 0.0
        waits = [due for runner in runners if (due := runner.due_in()) is not None]
        return max(0.001, min([IDLE_WAIT, *waits]))

    def _take_over(self, store: Store, runners: list[ReactionRunner]) -> None:
        for runner in runners:
            if runner.wants_lease:
                runner.take_over(partial(self._begin_to_read, store))

    def _begin_to_read(self, store: Store) -> None:
        """Before a reaction compares: what is committed from here on is read."""
        if self._offset is None:
            self._offset = store.read_position().offset

    def _offer_changes(self, store: Store, runners: list[ReactionRunner]) -> bool:
        """Offer the reactions what was read; whether there may be more."""
        if self._offset is None or not any(runner.active for runner in runners):
            self._offset = None
            return False
        devices, self._offset = store.read_names(self._offset, PAGE)
        for runner in runners:
            if runner.active:
                runner.offer(devices)
        return bool(devices)
