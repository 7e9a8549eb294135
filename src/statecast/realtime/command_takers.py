"""Devices that take their commands as Socket.IO clients: the event ``take``.

From its acknowledgement on, the viewer gets an event ``command`` for each open command of the
device, until it leaves. It is the same as a stream of server-sent events: each page of commands is
handed out before it is written, several viewers that take the commands of one device all get them,
and one that comes back says which command it has.

Rule: rights are asked before each page, so a right that is taken away ends the taking.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from statecast import logs, names
from statecast.access.actions import Action
from statecast.access.identity import Identity
from statecast.commands import life
from statecast.commands.life import Command
from statecast.errors import Forbidden, Malformed, StatecastError, Unavailable
from statecast.realtime.command_arrivals import CommandArrivals
from statecast.realtime.protocol import socketio
from statecast.realtime.rooms import Socket
from statecast.threads import ThreadPool

TAKE, COMMAND = "take", "command"
THREADS = 4
"""Questions to the store that may be under way at the same time."""
MAX_TAKEN = 100
"""Devices whose commands one viewer may take."""
PAUSE = 1.0
"""Seconds before the next try, of a viewer that does not read or a store that does not answer."""

log = logging.getLogger(__name__)


class CommandTakers:
    """The viewers of one process that take commands. On the loop."""

    def __init__(
        self,
        arrivals: CommandArrivals,
        hand_out: Callable[[str, str | None], Sequence[Command]],
        clock: Callable[[], int],
        find: Callable[[str], Socket | None],
        refusal: Callable[[Identity, Action], str],
    ) -> None:
        """``hand_out`` asks the store, in a thread. ``find`` gives the socket with a sid.
        ``refusal`` is the sentence for who may not do something."""
        self._arrivals = arrivals
        self._hand_out = hand_out
        self._clock = clock
        self._find = find
        self._refusal = refusal
        self._pool = ThreadPool(THREADS, name="take")

    def close(self) -> None:
        """Let the threads end after what they have to do."""
        self._pool.close()

    async def take(self, sid: str, *arguments: Any) -> dict[str, Any]:
        """The handler of the event. Raises Refused."""
        device, after = read(arguments)
        socket = self._find(sid)
        if socket is None:
            return {}
        if device not in socket.tasks and len(socket.tasks) >= MAX_TAKEN:
            raise Malformed(f"A connection takes the commands of at most {MAX_TAKEN} devices.")
        rights = self._arrivals.rights
        try:
            found = await self._ask(socket, device, after)
        except Unavailable as error:
            return {"error": error.public}
        if socket.alive:
            serving = self._serve(socket, device, after, found, rights)
            socket.keep(device, asyncio.get_running_loop().create_task(serving))
        return {"device": device}

    async def _ask(self, socket: Socket, device: str, after: str) -> Sequence[Command]:
        """The open commands after a place, handed out. Raises Refused or Unavailable."""
        reader = socket.viewer.reader
        if not reader.grants.allows(Action.SEND, device):
            raise Forbidden(self._refusal(reader.identity, Action.SEND))
        self._arrivals.learn_place(device, after)
        asked = self._pool.submit(lambda: self._hand_out(device, after or None))
        return await asyncio.wrap_future(asked)

    async def _serve(
        self, socket: Socket, device: str, after: str, found: Sequence[Command], rights: int
    ) -> None:
        """Send what was found and all that comes after it. ``rights``: as of the question."""
        try:
            while not self._arrivals.closed:
                for command in found:
                    await self._send(socket, command)
                    after = command.id
                await self._arrivals.wait(device, after, rights)
                rights = self._arrivals.rights
                found = await self._ask_on(socket, device, after)
                if not found:
                    await asyncio.sleep(PAUSE)
        except StatecastError as error:
            self._end(socket, device, error.public)
        except Exception as error:  # a defect of ours; the viewer would wait for ever
            number = logs.log_error(log, f"the commands of {device} could not be sent", error)
            self._end(socket, device, f"The server could not handle this (error {number}).")

    async def _ask_on(self, socket: Socket, device: str, after: str) -> Sequence[Command]:
        """As ``_ask``; nothing, while the store does not answer."""
        try:
            return await self._ask(socket, device, after)
        except Unavailable:
            return ()

    async def _send(self, socket: Socket, command: Command) -> None:
        while socket.viewer.transport.paused:
            await asyncio.sleep(PAUSE)
        said = life.to_device(command, self._clock())
        socket.viewer.send(socketio.EVENT, socket.namespace.name, None, (COMMAND, said))

    def _end(self, socket: Socket, device: str, sentence: str) -> None:
        """Say that no further command of the device comes, and why."""
        said = {"device": device, "error": sentence}
        socket.viewer.send(socketio.EVENT, socket.namespace.name, None, (TAKE, said))


def read(arguments: Sequence[Any]) -> tuple[str, str]:
    """The device and the place of the event's argument. Raises Refused."""
    asked = arguments[0] if len(arguments) == 1 else None
    if not isinstance(asked, dict):
        raise Malformed('“take” takes one argument, an object like {"device": "pillow"}.')
    unknown = [one for one in asked if one not in ("device", "after")]
    if unknown:
        raise Malformed(f"{names.quoted(unknown[0])} is not a member of “take”.")
    after = asked.get("after")
    if not isinstance(after, str | None):
        raise Malformed("“after” is the id of the newest command that the device has.")
    return names.check(asked.get("device")), after or ""
