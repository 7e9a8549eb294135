"""Event loops for tests: one whose time moves when the test says so, and one that never waits."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import queue
import selectors
from collections.abc import Callable
from typing import Any


class FakeTimer:
    """A call that waits for its time."""

    def __init__(self, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.call = call
        self.arguments = arguments
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeWork:
    """A call for another thread, and the future of what it returns."""

    def __init__(
        self, loop: FakeLoop, call: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        self._loop = loop
        self._call = call
        self._arguments = arguments
        self._error: Exception | None = None
        self._cancelled = False
        self._on_done: list[Callable[[Any], None]] = []

    def run(self) -> None:
        """The thread makes the call, also if nobody wants to know of it any more."""
        try:
            self._call(*self._arguments)
        except Exception as error:
            self._error = error
        if not self._cancelled:
            self._tell()

    def cancel(self) -> None:
        self._cancelled = True
        self._tell()

    def cancelled(self) -> bool:
        return self._cancelled

    def exception(self) -> Exception | None:
        return self._error

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        self._on_done.append(call)

    def _tell(self) -> None:
        for call in self._on_done:
            self._loop.call_soon(call, self)


class FakeLoop:
    """Calls wait in a list until ``settle``, timers for the time that the test lets pass.

    While the gate is shut, calls for another thread wait before it until ``let_pass``.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.soon: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.timers: list[tuple[float, int, FakeTimer]] = []
        self.work: list[FakeWork] = []
        """Calls for another thread."""
        self.gate_is_shut = False
        self._numbers = itertools.count()
        self._calls: queue.Queue[tuple[Callable[..., None], tuple[Any, ...]]] = queue.Queue()

    def time(self) -> float:
        return self.now

    def call_soon(self, call: Callable[..., None], *arguments: Any) -> None:
        self.soon.append((call, arguments))

    def call_at(self, when: float, call: Callable[..., None], *arguments: Any) -> FakeTimer:
        timer = FakeTimer(call, arguments)
        heapq.heappush(self.timers, (when, next(self._numbers), timer))
        return timer

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: Any) -> FakeTimer:
        return self.call_at(self.now + seconds, call, *arguments)

    def call_soon_threadsafe(self, call: Callable[..., None], *arguments: Any) -> None:
        self._calls.put((call, arguments))

    def take_call(self) -> None:
        """Run the next call that another thread makes."""
        call, arguments = self._calls.get(timeout=10)
        call(*arguments)

    def run_in_executor(
        self, _executor: None, call: Callable[..., None], *arguments: Any
    ) -> FakeWork:
        self.work.append(FakeWork(self, call, arguments))
        return self.work[-1]

    def let_pass(self) -> None:
        """The other thread makes the calls that wait at the gate; the loop does not know yet."""
        for work in self.work[:]:
            self.work.remove(work)
            work.run()

    def settle(self) -> None:
        """Make the calls that wait, and those that they add."""
        while self.soon or (self.work and not self.gate_is_shut):
            if not self.soon:
                self.let_pass()
                continue
            call, arguments = self.soon.pop(0)
            call(*arguments)

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self.timers and self.timers[0][0] <= until:
            when, _, timer = heapq.heappop(self.timers)
            self.now = max(self.now, when)
            if not timer.cancelled:
                timer.call(*timer.arguments)
        self.now = until
        self.settle()


class _Selector(selectors.DefaultSelector):
    """Never waits: the time for which it should have waited has then passed."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            assert timeout is not None, "every task waits, and no timer is set"
            self.passed += timeout
        return events


class FastForwardLoop(asyncio.SelectorEventLoop):
    """A real loop whose time passes at once while no task has anything to do."""

    def __init__(self) -> None:
        self._fast_forward = _Selector()
        super().__init__(self._fast_forward)

    def time(self) -> float:
        return 1_000.0 + self._fast_forward.passed


async def settle() -> None:
    """Let every task do what it can do now."""
    for _ in range(10):
        await asyncio.sleep(0)
