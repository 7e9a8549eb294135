"""The open commands of all devices, and who waits for the next ones. On the loop.

Rule: a wait that ends too early costs one question, one that never begins to end would cost a
command. So what is not known here counts as a reason to ask.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

from statecast.access.records import AccessRecord
from statecast.commands.life import Command

LATENESS = 10.0
"""Seconds after its deadline within which a command is said to have passed it."""
MAX_REMEMBERED = 100_000
"""Commands whose place in the order is remembered here."""


class CommandArrivals:
    """What is known of the open commands without asking the store."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds."""
        self._clock = clock
        self._open: defaultdict[str, dict[str, tuple[int, float]]] = defaultdict(dict)
        """Numbers of the open commands by id, for each device, and until when they may be open.

        Of a store that was set back it is not said what became of them.
        """
        self._known: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """Number and newest change of all that were seen here, at most ``MAX_REMEMBERED``."""
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.closed = False
        """The server stops: every wait ends."""
        self.rights = 0
        """Rises whenever somebody may have lost the right to take commands."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def note(self, command: Command) -> None:
        """Take over what became of a command, unless something newer is known."""
        if self._known.get(command.id, (0, 0))[1] >= command.change:
            return
        self._remember(command.id, command.number, command.change)
        if command.is_open:
            until = self._clock() + (command.expires_at - command.created_at) / 1000 + LATENESS
            self._open[command.device][command.id] = command.number, until
            for wake in self._waiting.get(command.device, ()):
                wake.set()
        elif command.device in self._open:
            self._open[command.device].pop(command.id, None)
            if not self._open[command.device]:
                del self._open[command.device]

    def _remember(self, id_: str, number: int, change: int) -> None:
        self._known[id_] = number, change
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    def close(self) -> None:
        """End every wait."""
        self.closed = True
        self._wake_all()

    def on_access(self, records: Sequence[AccessRecord], reset: bool) -> None:
        """Let those ask again who wait, unless people have only signed in."""
        if reset or any(one.kind != "session" or one.body is None for one in records):
            self.note_rights()

    def note_rights(self) -> None:
        """Somebody may have lost a right: let those ask again who wait."""
        self.rights += 1
        self._wake_all()

    def _wake_all(self) -> None:
        for waiting in self._waiting.values():
            for wake in waiting:
                wake.set()

    async def wait(
        self,
        device: str,
        after: str,
        rights: int,
        seconds: float | None = None,
        leaving: asyncio.Future[None] | None = None,
    ) -> None:
        """Return when there is a reason to ask, the client has left, or the time is over.

        ``rights`` is the number that was read before the last question.
        """
        wake = asyncio.Event()
        if leaving is not None:
            leaving.add_done_callback(lambda _: wake.set())
        self._waiting[device].add(wake)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not (
                        self.closed
                        or (leaving is not None and leaving.done())
                        or self.must_ask(device, after, rights)
                    ):
                        wake.clear()
                        await wake.wait()
        finally:
            self._waiting[device].discard(wake)
            if not self._waiting[device]:
                del self._waiting[device]

    def learn_place(self, device: str, after: str) -> None:
        """The store answers now what it has after a place that is not known here.

        A device that asks from there again got nothing: what is open was before it.
        """
        if after and after not in self._known and device in self._open:
            newest = max(number for number, _ in self._open[device].values())
            self._remember(after, newest, 0)

    def must_ask(self, device: str, after: str, rights: int) -> bool:
        """Whether there may be an open command after this one, or less rights than before."""
        return rights != self.rights or self.may_have(device, after)

    def may_have(self, device: str, after: str) -> bool:
        """Whether there may be an open command after this one."""
        place, now = self._known.get(after, (0, 0))[0], self._clock()
        opened = self._open.get(device, {}).values()
        return any(number > place and now < until for number, until in opened)
