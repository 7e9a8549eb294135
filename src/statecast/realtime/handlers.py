"""Calls the application's handlers: plain functions on threads, coroutine functions on the loop.

An error in a handler is logged under an id. The viewer that sent the event gets a general sentence
with the same id; other viewers are not affected.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from statecast import logs
from statecast.errors import Refused
from statecast.logs import LimitedLog
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


@dataclass(frozen=True, slots=True)
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

    def begin(self, handler: Handler, waited: float) -> None:
        """``waited``: seconds for which the call waited for its thread."""
        with self._lock:
            holding = self._running.most_common(MAX_NAMED)
            self._running[_name_of(handler)] += 1
        if waited > SLOW:
            names = ", ".join(f"{name} ({number})" for name, number in holding)
            limited.warning(
                "handlers",
                f"a call of {_name_of(handler)} waited {waited:.1f} s for a thread; "
                f"these hold the threads: {names}",
            )

    def end(self, handler: Handler) -> None:
        name = _name_of(handler)
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

    def call(
        self,
        handler: Handler,
        arguments: Sequence[Any],
        done: Callable[[HandlerResult], None],
    ) -> None:
        if inspect.iscoroutinefunction(handler):
            self._call_coroutine(handler, arguments, done)
            return

        if self._inline:
            done(attempt(handler, arguments))
            return
        submitted = time.monotonic()

        def run() -> None:
            self._running.begin(handler, time.monotonic() - submitted)
            result = attempt(handler, arguments)
            self._running.end(handler)
            self._calls.post(done, result)

        if not self._pool.try_submit(run):
            done(busy())

    def _call_coroutine(
        self,
        handler: Callable[..., Coroutine[Any, Any, Any]],
        arguments: Sequence[Any],
        done: Callable[[HandlerResult], None],
    ) -> None:
        async def run() -> None:
            try:
                result = HandlerResult(await handler(*arguments))
            except Exception as error:
                result = failed(handler, error)
            self._calls.post(done, result)

        if len(self._tasks) >= BACKLOG:
            done(busy())
            return
        task = self._loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def attempt(handler: Handler, arguments: Sequence[Any]) -> HandlerResult:
    try:
        return HandlerResult(handler(*arguments))
    except BaseException as error:  # SystemExit too: it ends no thread, and no viewer's turn
        return failed(handler, error)


def failed(handler: Handler, error: BaseException) -> HandlerResult:
    """A refusal is a sentence meant for the viewer. Of other errors it gets only the id."""
    if isinstance(error, Refused):
        return HandlerResult(error=error.public, data=getattr(error, "data", None))
    number = logs.log_error(log, f"handler {_name_of(handler)} failed", error)
    return HandlerResult(error=f"The server could not handle this (error {number}).")


def _name_of(handler: Handler) -> str:
    return str(getattr(handler, "__qualname__", handler))


def busy() -> HandlerResult:
    return HandlerResult(error="The server is too busy to handle this now; try again later.")
