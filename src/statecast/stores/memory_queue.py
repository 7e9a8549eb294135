"""A queue in dicts that behaves as the one in SQLite does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from statecast.model import Delivery
from statecast.stores.contract import Limits
from statecast.stores.notifier import CommitNotifier
from statecast.stores.queue_bounds import room


@dataclass(slots=True)
class InFlight:
    """A page in somebody's hands: attempt by id, and when it appears again."""

    hidden_at: int
    visible_at: int
    attempts: dict[int, int] = field(default_factory=dict)


class MemoryQueue:
    """Messages by id; ``number`` gives ids that are never given again."""

    def __init__(
        self,
        name: str,
        limits: Limits,
        clock: Callable[[], int],
        number: Callable[[], int],
        bell: CommitNotifier,
        lock: threading.RLock,
    ) -> None:
        self.name = name
        self.limits = limits
        self.clock = clock
        self._number = number
        self._bell = bell
        self._lock = lock
        self._messages: dict[int, tuple[int, bytes]] = {}
        self._bytes = 0
        self._fresh: dict[int, None] = {}
        self._handouts: dict[str, InFlight] = {}
        self._receipts = 0
        self._looked = threading.local()

    def append(self, bodies: Sequence[bytes]) -> list[int]:
        """Add messages, all or none. Raises QueueFull."""
        with self._lock:
            size = sum(map(len, bodies))
            room(self.name, self.limits, len(self._messages) + len(bodies), self._bytes + size)
            now = self.clock()
            ids = [self._number() for _ in bodies]
            for id_, body in zip(ids, bodies, strict=True):
                self._messages[id_] = (now, body)
                self._fresh[id_] = None
            self._bytes += size
        self._bell.notify()
        return ids

    def acknowledge_and_receive(
        self, settled: Mapping[str, Sequence[str]], limit: int, visibility_timeout: int
    ) -> list[Delivery]:
        """Delete what was handled (ids by receipt) and hand out the next page, hidden for ``visibility`` ms."""
        with self._lock:
            self._looked.rings = self._bell.rings
            for receipt, ids in settled.items():
                self._settle(receipt, ids)
            return self._hand_out(limit, visibility_timeout) if limit else []

    def size(self) -> tuple[int, int]:
        """(messages, bytes), hidden ones included."""
        with self._lock:
            return len(self._messages), self._bytes

    def oldest(self) -> int | None:
        """When the oldest message that waits was sent."""
        with self._lock:
            return self._messages[min(self._messages)][0] if self._messages else None

    def next_visible(self) -> int | None:
        """When the next hidden message appears again."""
        with self._lock:
            return min((handout.visible_at for handout in self._handouts.values()), default=None)

    def wait(self, timeout: float) -> None:
        """Return when the bell rang since this thread last looked, or after ``timeout`` seconds."""
        self._bell.wait(getattr(self._looked, "rings", self._bell.rings), timeout)
        self._looked.rings = self._bell.rings

    def _settle(self, receipt: str, ids: Sequence[str]) -> None:
        handout = self._handouts.get(receipt)
        for id_ in ids if handout else ():
            if (
                id_.isdecimal()
                and handout is not None
                and handout.attempts.pop(int(id_), None) is not None
            ):
                self._bytes -= len(self._messages.pop(int(id_))[1])
        if handout is not None and not handout.attempts:
            del self._handouts[receipt]

    def _hand_out(self, limit: int, visibility_timeout: int) -> list[Delivery]:
        now = self.clock()
        taken: dict[int, int] = {}
        for receipt, handout in list(self._handouts.items()):
            if handout.visible_at <= now or handout.hidden_at > now:
                for id_ in list(handout.attempts)[: limit - len(taken)]:
                    taken[id_] = handout.attempts.pop(id_) + 1
                if not handout.attempts:
                    del self._handouts[receipt]
        for id_ in list(self._fresh)[: limit - len(taken)]:
            del self._fresh[id_]
            taken[id_] = 1
        if not taken:
            return []
        self._receipts += 1
        receipt = str(self._receipts)
        self._handouts[receipt] = InFlight(now, now + visibility_timeout, taken)
        return [
            Delivery(
                str(id_), self._messages[id_][1], self._messages[id_][0], taken[id_], receipt, id_
            )
            for id_ in sorted(taken)
        ]
