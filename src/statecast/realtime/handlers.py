"""Calls the application's handlers: plain functions on threads, coroutine functions on the loop.

An error in a handler reaches the log with an id; the viewer gets a generic sentence with
the same id; nobody else notices.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from statecast import logs
from statecast.errors import Refused
from statecast.threads import ThreadPool

Handler = Callable[..., Any]

BACKLOG = 1_000
"""Calls that may wait for a thread or be under way as coroutines; beyond it the newest is refused."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a handler returned, or the sentence its viewer gets instead."""

    value: Any = None
    error: str | None = None

    def arguments(self) -> Sequence[Any]:
        """What the acknowledgement carries: a tuple is several arguments, None is none."""
        if self.error is not None:
            return ({"error": self.error},)
        if self.value is None:
            return ()
        return self.value if isinstance(self.value, tuple) else (self.value,)


class Application:
    """Runs handlers; ``done`` is always called on the loop, exactly once."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPool(threads, name="handler", backlog=BACKLOG)
        self._tasks: set[asyncio.Task[None]] = set()

    def call(
        self,
        loop: asyncio.AbstractEventLoop,
        handler: Handler,
        arguments: Sequence[Any],
        done: Callable[[Outcome], None],
    ) -> None:
        if inspect.iscoroutinefunction(handler):
            self._call_coroutine(loop, handler, arguments, done)
            return

        def run() -> None:
            outcome = attempt(handler, arguments)
            try:
                loop.call_soon_threadsafe(done, outcome)
            except RuntimeError:  # the loop closed meanwhile, so the viewer is gone too
                return

        if not self._pool.try_submit(run):
            done(busy())

    def _call_coroutine(
        self,
        loop: asyncio.AbstractEventLoop,
        handler: Callable[..., Coroutine[Any, Any, Any]],
        arguments: Sequence[Any],
        done: Callable[[Outcome], None],
    ) -> None:
        async def run() -> None:
            try:
                outcome = Outcome(await handler(*arguments))
            except Exception as error:
                outcome = failed(handler, error)
            done(outcome)

        if len(self._tasks) >= BACKLOG:
            done(busy())
            return
        task = loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def attempt(handler: Handler, arguments: Sequence[Any]) -> Outcome:
    try:
        return Outcome(handler(*arguments))
    except Exception as error:
        return failed(handler, error)


def failed(handler: Handler, error: Exception) -> Outcome:
    """A refusal is a sentence meant for the viewer; anything else is not the viewer's business."""
    if isinstance(error, Refused):
        return Outcome(error=str(error))
    name = getattr(handler, "__qualname__", handler)
    number = logs.log_error(log, f"handler {name} failed", error)
    return Outcome(error=f"The server could not handle this (error {number}).")


def busy() -> Outcome:
    return Outcome(error="The server is too busy to handle this now; try again later.")
