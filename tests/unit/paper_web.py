"""An ASGI app and its client without a network, on a loop whose time passes when nobody has anything to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Never waits: the time for which it should have waited has then passed."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            assert timeout is not None, "everybody waits for ever"
            self.passed += timeout
        return events


class HastyLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._hasty = _Selector()
        super().__init__(self._hasty)

    def time(self) -> float:
        return 1_000.0 + self._hasty.passed


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` on a loop of its own, in no time."""
    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        return runner.run(main)


async def settle() -> None:
    """Let everybody do what can be done now."""
    for _ in range(10):
        await asyncio.sleep(0)


@dataclass
class Answer:
    """What came back so far."""

    status: int = 0
    headers: dict[str, str] | None = None
    body: bytes = b""
    complete: bool = False

    @property
    def text(self) -> str:
        return self.body.decode()


class Ask:
    """One request under way; ``more``: its body does not end with ``pieces``."""

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        method: str,
        path: str,
        query: str = "",
        pieces: Sequence[bytes] = (b"",),
        headers: dict[str, str] | None = None,
        more: bool = False,
        **scope: Any,
    ) -> None:
        self.answer = Answer()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.written: list[int] = []
        self._gone = asyncio.Event()
        self._heard: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
        for number, piece in enumerate(pieces, 1):
            self._heard.put_nowait((piece, more or number < len(pieces)))
        given = {"host": "example.test", **(headers or {})}
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
            "client": ("192.0.2.1", 5),
            "scheme": "http",
            **scope,
        }
        self.task = asyncio.get_running_loop().create_task(self._run(app))

    async def _run(self, app: Callable[..., Awaitable[None]]) -> Answer:
        await app(self.scope, self._receive, self._send)
        return self.answer

    def say(self, piece: bytes) -> None:
        """The rest of the body, after ``more``."""
        self._heard.put_nowait((piece, False))

    async def _receive(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        heard, leaving = loop.create_task(self._heard.get()), loop.create_task(self._gone.wait())
        try:
            await asyncio.wait({heard, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not heard.done():
                return {"type": "http.disconnect"}
            piece, more = heard.result()
            return {"type": "http.request", "body": piece, "more_body": more}
        finally:
            heard.cancel()
            leaving.cancel()

    async def _send(self, message: Any) -> None:
        if not self._gone.is_set():
            await self.flowing.wait()
        if message["type"] == "http.response.start":
            self.answer.status = message["status"]
            self.answer.headers = {
                name.decode(): value.decode("latin-1") for name, value in message["headers"]
            }
        else:
            self.written.append(len(message["body"]))
            self.answer.body += message["body"]
            self.answer.complete = not message.get("more_body")

    def leave(self) -> None:
        """The client goes away."""
        self._gone.set()
        self.flowing.set()

    def fill(self) -> None:
        """The client stops reading, and its transport is full: whoever writes must wait."""
        self.flowing.clear()

    def flow(self) -> None:
        """It reads again."""
        self.flowing.set()
