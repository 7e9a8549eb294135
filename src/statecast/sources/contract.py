"""Step 1, receive: the contract of a queue. Receiving hides a message, acknowledging deletes it.

``Source`` demands no more than the least capable queue offers; the test suite
``statecast.testing.SourceContract`` checks it. Capabilities that only some queues have are
protocols of their own, checked with ``isinstance``: ``Paced``, ``Metered``, ``DeadLetterSource``,
``LateAcknowledged``, ``Releasing``, ``Sender`` and ``Diagnosable``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

from statecast.model import Delivery, value_class
from statecast.settings import Settings

if TYPE_CHECKING:
    from statecast.stores.contract import Store

Verdict = Literal["good", "notice", "wrong"]


class Source(Protocol):
    """One queue, as one consumer uses it. At most one thread calls it at a time."""

    name: str
    """Short and stable. Lease, health and the cause of changes carry this name."""
    resolution: int
    """Of the clock that sets ``sent_at``, in ms. An event time may be this much later."""

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Receive and hide up to ``limit`` messages; wait up to ``wait`` seconds for the first one.

        An empty list means that the queue answered and had no message. Raises SourceUnavailable
        when the queue cannot be reached.
        """

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[str]:
        """Delete handled messages; return the ids deleted for certain since the last call.

        A lost or stale receipt is not an error: the message is delivered again and recognised as
        a duplicate.
        """

    def waiting(self) -> int | None:
        """The number of messages in the queue, hidden ones included; None if it is unknown."""

    def close(self) -> None:
        """Release connections. Messages that were not acknowledged become visible again."""


@runtime_checkable
class Paced(Protocol):
    """A source that is not asked in each ``receive``, but after a pause."""

    @property
    def pause(self) -> float:
        """Seconds between two questions, at the present pace."""


@runtime_checkable
class Metered(Paced, Protocol):
    """A source whose requests cost money, so that not every ``receive`` sends one."""

    heard_at: int | None
    """When the queue last answered without an error, in ms by our clock."""

    @property
    def asked_at(self) -> float | None:
        """When the request that has no answer yet was sent, by ``time.monotonic``; None: none."""

    def wake(self) -> None:
        """Send the next request soon: a message is in the queue, or is expected there."""

    def requests_per_hour(self) -> int:
        """The rate of requests at the current poll interval."""


@runtime_checkable
class DeadLetterSource(Protocol):
    """A source that copies refused messages to the dead-letter queue of its own platform."""

    def refused(self, ids: Iterable[str]) -> None:
        """Called with the ids of messages now in quarantine, before they are acknowledged."""


@runtime_checkable
class LateAcknowledged(Protocol):
    """A source whose messages may stay in it for a while after their commit."""

    acknowledge_after: float
    """For how many seconds: longer than a replica of the store lags behind; 0: not at all."""


@runtime_checkable
class Releasing(Protocol):
    """A source that can return what was received."""

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Make these visible at once, and what was received ahead, for the next consumer.

        None of them was committed. Raises Unavailable; then they become visible in time.
        """


@runtime_checkable
class Sender(Protocol):
    """A queue that this process can send to."""

    name: str
    """That of the source."""

    def send(self, body: bytes) -> str:
        """Send one message and return its id. Raises TooLarge, Malformed or Unavailable."""

    def send_many(self, bodies: Sequence[bytes]) -> list[str]:
        """Send the messages in this order and return their ids."""

    def close(self) -> None: ...


class Finding(NamedTuple):
    """One sentence of a diagnosis."""

    verdict: Verdict
    sentence: str


@runtime_checkable
class ExpiringSender(Sender, Protocol):
    """A queue that drops a message that was not received in time."""

    def send_expiring(self, body: bytes, seconds: float) -> str:
        """Send one message that is of no use after ``seconds``; its id. Raises as ``send``.

        ``may_have_arrived`` of an error says whether the queue may have the message.
        """


@runtime_checkable
class Diagnosable(Protocol):
    """A source that ``statecast doctor`` can examine."""

    def examine(self) -> Iterator[Finding]:
        """Check what can be checked without receiving a message. Never raises."""


@runtime_checkable
class DiagnosableSender(Protocol):
    """A queue to send to that ``statecast doctor`` can examine."""

    def examine_sending(self) -> Iterator[Finding]:
        """Check what can be checked without leaving a message. Never raises."""


@value_class
class SourceContext:
    """What a source may need from the process that opens it."""

    store: Callable[[], Store]
    """Opens the store, for the queue inside it. No other source calls this."""
    settings: Settings
    environ: Mapping[str, str]
    """Holds the secrets. They never stand in a URL, which `ps` shows to every user."""
    clock: Callable[[], int]
    other_options: tuple[str, ...] = ()
    """Options of the URL that are handled elsewhere, for the sentence about an unknown option."""
