"""Compresses long messages for viewers that lag, in a thread: zlib lets the loop run meanwhile.

Rule 1: one message at a time. A viewer that needs another one waits in line without a message; it
is made when it is its turn. So what waits are references to viewers, and no viewer has a queue.
Rule 2: a viewer receives the message for which it has waited only if it stands where it stood when
the message was made, with the same audience. Then it is as if its connection had been slow
meanwhile: what is newer follows. In all other cases the viewer is looked at again.
Rule 3: no tick reaches a viewer that waits, because it is not up to date. So nothing overtakes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from typing import NamedTuple

from statecast import logs
from statecast.broadcast.outgoing_message import Compression, OutgoingMessage
from statecast.broadcast.subscriber import Subscriber
from statecast.broadcast.subscriptions import Audience

log = logging.getLogger(__name__)


class CatchUp(NamedTuple):
    """A message for a viewer that lags, and where the viewer stood when it was made."""

    message: OutgoingMessage
    head: int
    """The store's offset at that moment."""
    audience: Audience
    standing: Hashable

    @classmethod
    def of(cls, subscriber: Subscriber, message: OutgoingMessage, head: int) -> CatchUp:
        return cls(message, head, subscriber.audience, subscriber.standing)

    def fits(self, subscriber: Subscriber) -> bool:
        """Whether it is still what the viewer lacks next."""
        return self.audience is subscriber.audience and self.standing == subscriber.standing


class Compressor:
    """The thread of one broadcaster, and the viewers that wait for it."""

    def __init__(self, on_done: Callable[[dict[Subscriber, CatchUp | None]], None]) -> None:
        """``on_done`` gets the viewers that waited for a message, each with what it may receive
        now; after it the next ones in line can be served."""
        self._on_done = on_done
        self._message: OutgoingMessage | None = None
        """That is being compressed."""
        self._compression: Compression | None = None
        """For which kind of viewers."""
        self._work: asyncio.Future[None] | None = None
        """Of the thread."""
        self._sharing: dict[Subscriber, CatchUp | None] = {}
        """Viewers that wait for this message; None: it is out of date for them."""
        self._line: dict[Subscriber, None] = {}
        """Viewers that wait until the thread is free."""

    @property
    def is_busy(self) -> bool:
        return self._work is not None

    @property
    def has_next(self) -> bool:
        """Whether the thread is free, and somebody waits for that."""
        return self._work is None and bool(self._line)

    def wait_in_line(self, subscriber: Subscriber) -> None:
        """Call a viewer back when the thread is free."""
        self._line[subscriber] = None

    def next_in_line(self) -> Subscriber:
        """Take out who has waited longest."""
        subscriber = next(iter(self._line))
        del self._line[subscriber]
        return subscriber

    def delays(
        self,
        loop: asyncio.AbstractEventLoop,
        subscriber: Subscriber,
        message: OutgoingMessage,
        head: int,
    ) -> bool:
        """Whether a viewer has to wait for its next message; it is called back."""
        compression = subscriber.viewer.compression
        if compression is None or not compression.is_due(message):
            return False
        if self._work is None:
            self._message, self._compression = message, compression
            self._work = loop.run_in_executor(None, compression.compress, message)
            self._work.add_done_callback(self._finish)
        if message is self._message and compression is self._compression:
            self._sharing[subscriber] = CatchUp.of(subscriber, message, head)
        else:
            self.wait_in_line(subscriber)
        return True

    def forget_messages(self) -> None:
        """What is being made is out of date: those who wait for it are looked at again."""
        self._sharing = dict.fromkeys(self._sharing)

    def stop(self) -> None:
        """Call no viewer back any more."""
        self._sharing.clear()
        self._line.clear()
        if self._work is not None:
            self._work.cancel()

    def _finish(self, work: asyncio.Future[None]) -> None:
        assert self._message is not None
        if not work.cancelled() and (error := work.exception()) is not None:
            logs.log_error(log, "a message could not be compressed", error)
            self._message.compressible = False  # it goes as it is
        sharing, self._sharing = self._sharing, {}
        self._work = self._message = self._compression = None
        self._on_done(sharing)
