"""Calls the application's handlers: plain functions on threads, coroutine functions on the loop.

An error in a handler is logged under an id. The viewer that sent the event gets a general sentence
with the same id; other viewers are not affected.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from statecast import logs
from statecast.errors import Refused
from statecast.logs import LimitedLog
from statecast.model import value_class
from statecast.realtime.loop_calls import LoopCalls
from statecast.threads import ThreadPool

Handler = Callable[..., Any]

BACKLOG = 1_000
"""Calls that may wait for a thread, and coroutines that may run. The newest is refused."""

SLOW = 1.0
"""Seconds that a call may wait for a thread before the log says who holds them."""
MAX_NAMED = 3
"""Handlers that the line names."""

log = logging.getLogger(__name__)
limited = LimitedLog(log)


@value_class
class HandlerResult:
    """What a handler returned, or the sentence that its viewer gets instead."""

    value: Any = None
    error: str | None = None
    data: Any = None
    """What a connect handler says of its refusal, beside the sentence."""

    def arguments(self) -> Sequence[Any]:
        """What the acknowledgement carries: a tuple is several arguments, None is none."""
        if self.error is not None:
            return ({"error": self.error},)
        if self.value is None:
            return ()
        return self.value if isinstance(self.value, tuple) else (self.value,)


class RunningHandlers:
    """The handlers that hold threads, for the log when others wait for one."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    def names(self) -> str:
        """Who holds most of the threads now."""
        with self._lock:
            holding = self._running.most_common(MAX_NAMED)
        return ", ".join(f"{name} ({number})" for name, number in holding)

    def begin(self, name: str) -> None:
        with self._lock:
            self._running[name] += 1

    def end(self, name: str) -> None:
        with self._lock:
            self._running[name] -= 1
            if not self._running[name]:
                del self._running[name]


class HandlerRunner:
    """Runs handlers; ``done`` is always called on the loop, exactly once."""

    def __init__(self, threads: int, calls: LoopCalls, *, inline: bool = False) -> None:
        """``calls``: what a handler did to viewers comes before its acknowledgement.

        ``inline``: for tests, plain functions run at once on the loop's thread.
        """
        self._inline = inline
        self._calls = calls
        self._pool = ThreadPool(threads, name="handler", backlog=BACKLOG)
        self._running = RunningHandlers()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Before the first call."""
        self._loop = loop

    def close(self) -> None:
        """Let the threads end after what they have to do."""
        self._pool.close()

    def is_busy(self, handler: Handler) -> bool:
        """Whether a call of this handler is refused now."""
        if inspect.iscoroutinefunction(handler):
            return len(self._tasks) >= BACKLOG
        return not self._inline and self._pool.is_full

    def call(
        self,
        handler: Handler,
        arguments: Sequence[Any],
        done: Callable[[HandlerResult], None],
        *,
        never_busy: bool = False,
    ) -> None:
        """The result is ``BUSY`` where too many calls wait, unless something else limits their
        number: ``never_busy``."""
        if inspect.iscoroutinefunction(handler):
            self._call_coroutine(handler, arguments, done, never_busy)
            return

        if self._inline:
            done(attempt(handler, arguments))
            return
        waits = True

        def run() -> None:
            nonlocal waits
            waits = False
            name = name_of(handler, arguments)
            self._running.begin(name)
            result = attempt(handler, arguments)
            self._running.end(name)
            self._calls.post(done, result)

        def warn() -> None:
            if waits:
                limited.warning("handlers", self._waiting(handler, arguments))

        if self._pool.is_busy:  # a timer, because handlers may hold the threads for ever
            self._loop.call_later(SLOW, warn)
        if not self._pool.try_submit(run, even_if_full=never_busy):
            waits = False
            done(BUSY)

    def _waiting(self, handler: Handler, arguments: Sequence[Any]) -> str:
        return (
            f"a call of {name_of(handler, arguments)} has waited {SLOW:g} s for a thread and goes "
            f"on waiting; these hold the threads: {self._running.names()}. A handler should "
            "return soon: what goes on belongs into a thread of its own, and handler_threads "
            f"({self._pool.max_threads}) limits how many run at once"
        )

    def _call_coroutine(
        self,
        handler: Callable[..., Coroutine[Any, Any, Any]],
        arguments: Sequence[Any],
        done: Callable[[HandlerResult], None],
        never_busy: bool,
    ) -> None:
        async def run() -> None:
            try:
                result = HandlerResult(await handler(*arguments))
            except BaseException as error:  # SystemExit too: asyncio would end the loop with it
                if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                    raise  # the loop ends
                result = failed(handler, arguments, error)
            self._calls.post(done, result)

        if self.is_busy(handler) and not never_busy:
            done(BUSY)
            return
        task = self._loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def is_being_cancelled() -> bool:
    """Whether the current task was cancelled; it may also raise CancelledError by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def attempt(handler: Handler, arguments: Sequence[Any]) -> HandlerResult:
    try:
        return HandlerResult(handler(*arguments))
    except BaseException as error:  # SystemExit too: it ends no thread, and no viewer's turn
        return failed(handler, arguments, error)


def failed(handler: Handler, arguments: Sequence[Any], error: BaseException) -> HandlerResult:
    """A refusal is a sentence meant for the viewer. Of other errors it gets only the id."""
    if isinstance(error, Refused):
        return HandlerResult(error=error.public, data=getattr(error, "data", None))
    number = logs.log_error(log, f"handler {name_of(handler, arguments)} failed", error)
    return HandlerResult(error=f"The server could not handle this (error {number}).")


def name_of(handler: Handler, arguments: Sequence[Any]) -> str:
    """The name of a function in the log. One that calls others has ``describe``, which names the
    other that it calls with these arguments."""
    describe = getattr(handler, "describe", None)
    if describe is not None:
        return str(describe(*arguments))
    function = getattr(handler, "func", handler)  # of functools.partial
    return str(getattr(function, "__qualname__", function))


BUSY = HandlerResult(error="The server is too busy to handle this now; try again later.")
"""Of a call that was not made. Compare by identity."""
