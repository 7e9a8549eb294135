"""A queue in dicts that behaves as the one in SQLite does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from statecast.model import Delivery
from statecast.stores.errors import check_queue_bounds
from statecast.stores.limits import Limits
from statecast.stores.notifier import CommitNotifier


@dataclass(slots=True)
class InFlight:
    """The messages of one receive that are not acknowledged yet."""

    hidden_at: int
    visible_at: int
    attempts: dict[int, int]
    """Message id -> attempt."""


class MemoryQueue:
    """A queue inside a ``MemoryStore``, under the store's lock."""

    def __init__(
        self,
        name: str,
        limits: Limits,
        clock: Callable[[], int],
        next_id: Callable[[], int],
        notifier: CommitNotifier,
        lock: threading.RLock,
    ) -> None:
        self.name = name
        self.limits = limits
        self.clock = clock
        self._next_id = next_id
        self._notifier = notifier
        self._lock = lock
        self._messages: dict[int, tuple[int, bytes, str]] = {}
        """Id -> when it was sent, its body and its sender."""
        self._bytes = 0
        self._fresh: dict[int, None] = {}
        """Ids of messages that were never received, oldest first."""
        self._in_flight: dict[str, InFlight] = {}
        """Receipt -> its messages."""
        self._receipts = 0
        self._thread = threading.local()

    def append(self, bodies: Sequence[bytes], sender: str = "") -> list[int]:
        """Add all messages or none; their ids. Raises QueueFull."""
        with self._lock:
            size = sum(map(len, bodies))
            messages = len(self._messages) + len(bodies)
            check_queue_bounds(self.name, self.limits, messages, self._bytes + size)
            now = self.clock()
            ids = [self._next_id() for _ in bodies]
            for id_, body in zip(ids, bodies, strict=True):
                self._messages[id_] = (now, body, sender)
                self._fresh[id_] = None
            self._bytes += size
        self._notifier.notify()
        return ids

    def acknowledge_and_receive(
        self, acknowledged: Mapping[str, Sequence[str]], limit: int, visibility_timeout: int
    ) -> list[Delivery]:
        """Delete messages (ids by receipt), and receive up to ``limit`` others.

        Received messages stay hidden for ``visibility_timeout`` ms.
        """
        with self._lock:
            self._thread.commits = self._notifier.commits
            for receipt, ids in acknowledged.items():
                self._acknowledge(receipt, ids)
            return self._receive(limit, visibility_timeout) if limit else []

    def release(self, receipts: Collection[str] | None = None) -> None:
        """Make what was received under these receipts visible at once; None: under all."""
        with self._lock:
            for receipt in self._in_flight if receipts is None else receipts:
                if received := self._in_flight.get(receipt):
                    received.visible_at = received.hidden_at
        self._notifier.notify()

    def remove(self, wanted: Callable[[Delivery], bool]) -> int:
        """Delete each message that ``wanted`` says, hidden messages included; how many."""
        with self._lock:
            found = [id_ for id_ in self._messages if wanted(self._delivery(id_, 1, ""))]
            for id_ in found:
                self._bytes -= len(self._messages.pop(id_)[1])
                self._fresh.pop(id_, None)
                for received in self._in_flight.values():
                    received.attempts.pop(id_, None)
        return len(found)

    def size(self) -> tuple[int, int]:
        """The number of messages and their bytes, hidden messages included."""
        with self._lock:
            return len(self._messages), self._bytes

    def oldest(self) -> int | None:
        """When the oldest message was sent, in ms."""
        with self._lock:
            return self._messages[min(self._messages)][0] if self._messages else None

    def next_visible(self) -> int | None:
        """When the next hidden message appears again, in ms."""
        with self._lock:
            return min((received.visible_at for received in self._in_flight.values()), default=None)

    def wait(self, timeout: float) -> None:
        """Return when anything was committed since this thread's last receive, or time is over."""
        notifier = self._notifier
        notifier.wait(getattr(self._thread, "commits", notifier.commits), timeout)
        self._thread.commits = notifier.commits

    def _acknowledge(self, receipt: str, ids: Sequence[str]) -> None:
        received = self._in_flight.get(receipt)
        if received is None:
            return
        for id_ in ids:
            if id_.isdecimal() and received.attempts.pop(int(id_), None) is not None:
                self._bytes -= len(self._messages.pop(int(id_))[1])
        if not received.attempts:
            del self._in_flight[receipt]

    def _receive(self, limit: int, visibility_timeout: int) -> list[Delivery]:
        now = self.clock()
        attempts: dict[int, int] = {}
        for receipt, received in list(self._in_flight.items()):
            # A clock that was set back must not hide messages forever.
            if received.visible_at <= now or received.hidden_at > now:
                for id_ in list(received.attempts)[: limit - len(attempts)]:
                    attempts[id_] = received.attempts.pop(id_) + 1
                if not received.attempts:
                    del self._in_flight[receipt]
        for id_ in list(self._fresh)[: limit - len(attempts)]:
            del self._fresh[id_]
            attempts[id_] = 1
        if not attempts:
            return []
        self._receipts += 1
        receipt = str(self._receipts)
        self._in_flight[receipt] = InFlight(now, now + visibility_timeout, attempts)
        return [self._delivery(id_, attempts[id_], receipt) for id_ in sorted(attempts)]

    def _delivery(self, id_: int, attempt: int, receipt: str) -> Delivery:
        sent_at, body, sender = self._messages[id_]
        return Delivery(str(id_), body, sent_at, attempt, receipt, id_, sender)
