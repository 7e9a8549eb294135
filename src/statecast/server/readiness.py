"""Asks whether the process can serve, from a thread of its own: a store that hangs must not hang the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from statecast.threads import ThreadPool

FRESH = 0.5
"""Seconds for which an answer holds: many who ask cost the store one read."""
PATIENCE = 2.0

Verdict = tuple[bool, dict[str, Any]]


class Readiness:
    """One question at a time, however many ask."""

    def __init__(self, ready: Callable[[], Verdict]) -> None:
        self._ready = ready
        self._pool = ThreadPool(1, name="readiness", backlog=1)
        self._asking: asyncio.Future[Verdict] | None = None
        self._asked_at = 0.0

    async def ask(self) -> Verdict:
        try:
            return await self._verdict()
        except TimeoutError:
            return False, {"store": "The store does not answer."}

    async def answers(self) -> bool:
        """Whether the store says anything in time: a full disk is an answer, a disk that hangs is none."""
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
            self._pool.try_submit(lambda future=self._asking: self._run(loop, future))  # type: ignore[misc]
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(self._asking)

    def _run(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Verdict]) -> None:
        try:
            verdict = self._ready()
        except Exception as error:
            verdict = False, {"store": f"The store cannot be asked: {type(error).__name__}."}
        try:
            loop.call_soon_threadsafe(future.set_result, verdict)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return
