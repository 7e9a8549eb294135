"""Whether the process can serve. Asked on a thread: a store that hangs must not hang the loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from statecast.threads import ThreadPool

FRESH = 0.5
"""Seconds for which an answer is reused: many requests cost the store one read."""
TIMEOUT = 2.0
"""Seconds for which the store may take."""

NO_ANSWER = "The store does not answer."

Verdict = tuple[bool, dict[str, Any]]


class Readiness:
    """Asks the store one question at a time, however many requests wait for the answer."""

    def __init__(self, ready: Callable[[], Verdict]) -> None:
        self._ready = ready
        self._pool = ThreadPool(1, name="readiness", backlog=1)
        self._asking: asyncio.Future[Verdict] | None = None
        """The newest question; done when it is answered."""
        self._asked_at = 0.0

    def close(self) -> None:
        """Let its thread end."""
        self._pool.close()

    async def ask(self) -> Verdict:
        try:
            return await self._verdict()
        except TimeoutError:
            return False, {"store": NO_ANSWER}

    async def answers(self) -> bool:
        """Whether the store answers in time.

        A full disk is an answer; a disk that hangs is none.
        """
        try:
            await self._verdict()
        except TimeoutError:
            return False
        return True

    async def _verdict(self) -> Verdict:
        """Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        stale = loop.time() - self._asked_at >= FRESH
        if self._asking is None or (self._asking.done() and stale):
            self._asked_at = loop.time()
            self._asking = loop.create_future()
            self._pool.try_submit(functools.partial(self._run, loop, self._asking))
        async with asyncio.timeout(TIMEOUT):
            return await asyncio.shield(self._asking)

    def _run(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Verdict]) -> None:
        try:
            verdict = self._ready()
        except Exception as error:
            verdict = False, {"store": f"The store cannot be asked: {type(error).__name__}."}
        try:
            loop.call_soon_threadsafe(future.set_result, verdict)
        except RuntimeError:  # the loop is closed: the server has stopped
            return
