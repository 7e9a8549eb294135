"""Step 1, receive: where messages come from. Receive hides, acknowledge deletes.

A source is as small as the weakest queue can keep. ``statecast.testing.SourceContract`` guards it. What only some
queues can do are contracts of their own, asked for with ``isinstance``: ``Costly``, ``KeepsRefused``, ``Outbox``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from statecast.errors import BadSetting
from statecast.model import Delivery
from statecast.settings import Settings

if TYPE_CHECKING:
    from statecast.stores.contract import Store

BACKENDS = {
    "azure-queue": "statecast.sources.azure_queue",
    "embedded": "statecast.sources.embedded_queue",
}


class Source(Protocol):
    """A queue, seen by one watcher. Calls come from one thread at a time."""

    name: str
    """Short and stable: the lease, the health mark and every cause carry it."""
    resolution: int
    """Of the clock that sets ``sent_at``, in ms: how far an event time may lie after it."""

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Hand out up to ``limit`` messages and hide them; wait up to ``wait`` seconds for the first.

        Raises SourceUnavailable when the queue cannot be reached: an empty list is a good answer of the queue.
        """

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[str]:
        """Delete what was handled; return the ids whose deletion is confirmed, now or since the last call.

        A lost or stale receipt is a success: the message is redelivered and known.
        """

    def waiting(self) -> int | None:
        """How many messages wait, hidden ones included; None where the queue cannot tell."""

    def close(self) -> None:
        """Give back connections; what was handed out and not acknowledged appears again."""


@runtime_checkable
class Metered(Protocol):
    """A source whose questions cost money: it does not ask its queue in each ``receive``, so it says when it did."""

    heard_at: int | None
    """When the queue last gave a good answer, in ms by our clock."""

    def wake(self) -> None:
        """Somebody in this process has just sent a message: ask soon."""

    def requests_per_hour(self) -> int:
        """At the present pace."""


@runtime_checkable
class DeadLetterSource(Protocol):
    """A source that keeps a copy of refused messages where the operators of its queue expect it."""

    def refused(self, ids: Iterable[str]) -> None:
        """These are in quarantine now; they will be acknowledged next."""


@runtime_checkable
class Sender(Protocol):
    """A queue that this process can send to."""

    def send(self, body: bytes) -> str:
        """Put a message into the queue; its id. Raises TooLarge, Malformed, Unavailable."""

    def send_many(self, bodies: Sequence[bytes]) -> list[str]:
        """Put the messages into the queue, in this order; their ids."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a source may need of the process that opens it."""

    store: Callable[[], Store]
    """Opens the store, for the queue inside it; a command that sends to another queue needs none."""
    settings: Settings
    environ: Mapping[str, str]
    """Where secrets are: never in a URL, which `ps` shows."""
    clock: Callable[[], int]
    others: tuple[str, ...] = ()
    """Options of a source's URL that were taken before, to be named where one is misspelt."""


def open_source(url: str, context: Context) -> Source:
    """The queue that a URL names; its module is imported only now. Raises BadSetting with a sentence."""
    scheme, colon, rest = url.partition(":")
    backend = BACKENDS.get(scheme) if colon else None
    if backend is None:
        known = " or ".join(f"{name}:NAME" for name in sorted(BACKENDS))
        raise BadSetting(
            f"There is no source {url.partition('?')[0]!r}; a source is written {known}."
        )
    opened: Source = importlib.import_module(backend).open_url(rest, context)
    return opened
