"""What all doors of a process share: the limits, the counts, and who must do what until when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from statecast.http.hosts import Hosts
from statecast.server.connection_limits import ConnectionLimiter
from statecast.server.timeouts import Patience
from statecast.settings import Settings

if TYPE_CHECKING:
    from statecast.realtime.websocket_connection import WebSocketEndpoint
    from statecast.server.http_protocol import Door

LINGER = 2.0
"""Seconds for which a refused client's words are still read, so that it can read the answer."""
MOMENT = 0.5
"""Seconds for which a stopping server waits for the first request of a connection."""
MOST_LINGERING = 50
"""Connections above the bound of all that are heard before they are told so, and that linger; others end at once."""


class Porter:
    """What all doors of a process share."""

    def __init__(
        self, settings: Settings, limiter: ConnectionLimiter, complain: Callable[[str, str], None]
    ) -> None:
        self.settings = settings
        self.limiter = limiter
        self.complain = complain
        self.hosts = Hosts(settings)
        self.websockets: WebSocketEndpoint
        """Takes the connections that become WebSockets. The server sets it."""
        self._loop: asyncio.AbstractEventLoop | None = None

    def websocket_lost(self, key: str | None) -> None:
        """A connection that became a WebSocket stays counted until here."""
        self.limiter.release_address(key)
        self.limiter.release()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """The first connection does it."""
        if self._loop is loop:
            return
        self._loop = loop
        self.heads: Patience[Door] = Patience(
            loop, self.settings.header_timeout, lambda one: one.head_is_due()
        )
        self.stalls: Patience[Door] = Patience(
            loop, self.settings.write_timeout / 2, lambda one: one.look_for_stall()
        )
        self.lingering: Patience[Door] = Patience(loop, LINGER, lambda one: one.abort())
        self.leaving: Patience[Door] = Patience(loop, LINGER, lambda one: one.close())
        self.fresh: Patience[Door] = Patience(loop, MOMENT, lambda one: one.close_unless_busy())
        self.unheard: Patience[Door] = Patience(loop, LINGER, lambda one: one.tell_unheard())

    def forget(self, door: Door) -> None:
        for waiting in (
            self.heads,
            self.stalls,
            self.lingering,
            self.leaving,
            self.fresh,
            self.unheard,
        ):
            waiting.drop(door)
