"""The way of a message, on one screen.

Rule 1: receive hides, acknowledge deletes; between them lies the commit. A crash anywhere repeats the page,
and a repetition is a no-op.
Rule 2: one bad message never stops its neighbours. Decode and apply refuse with a reason; past them only
machines fail, and then the page is held, not dropped.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence

from statecast.errors import StatecastError
from statecast.ingest.clock_skew import Clocks
from statecast.model import Delivery, Message, Refusal
from statecast.sources import KeepsRefused, Source
from statecast.stores.contract import Committed, Store

Decoder = Callable[[Delivery], Message]

TRUSTED = 3
"""Hand-outs after which a message is tried alone."""

log = logging.getLogger(__name__)


def nowhere(point: str) -> None:
    """Where a test would crash, production passes by."""


class Pipeline:
    """Moves messages of one source into the store, a page at a time."""

    def __init__(
        self,
        source: Source,
        decode: Decoder,
        store: Store,
        *,
        page: int,
        reach: Callable[[str], None] = nowhere,
    ) -> None:
        self.source = source
        self.decode = decode
        self.store = store
        self.page = page
        self.reach = reach
        self.held: list[Delivery] = []
        self.confirmed: list[str] = []
        self.clocks = Clocks()

    def step(self, term: int, wait: float) -> tuple[Sequence[Delivery], Committed]:
        """Move one page; wait up to ``wait`` seconds for its first message.

        Raises Unavailable when a machine failed: the page is held, and the next step tries it again.
        """
        self.held = self.held or self.source.receive(self.page, wait)  # 1 receive: it is hidden now
        reach = self.reach if self.held else nowhere
        reach("received")
        committed = Committed()
        for part in parts(self.held):
            messages = [self.read(delivery) for delivery in part]  # 2 decode
            committed += self.commit(messages, term)  # 3 apply, 4 store: it is durable now
            self.clocks.note(messages)
        reach("committed")
        if committed.refused and isinstance(self.source, KeepsRefused):
            self.source.refused(committed.refused)
        done, self.held = self.held, []
        self.confirmed = self.source.acknowledge(done)  # it is gone from the queue now
        reach("acknowledged")
        return done, committed

    def read(self, delivery: Delivery) -> Message:
        try:
            return self.decode(delivery)
        except Exception as error:  # a decoder that somebody wrote; it shall not stop the queue
            return self.defect(delivery, error)

    def commit(self, messages: Sequence[Message], term: int) -> Committed:
        if not messages and not self.confirmed:
            return Committed()
        try:
            return self.write(messages, term)
        except StatecastError:
            raise
        except (
            Exception
        ) as error:  # a defect of ours: find the message that meets it, spare the others
            return self.isolate(messages, term, error)

    def write(self, messages: Sequence[Message], term: int) -> Committed:
        source = self.source
        committed = self.store.commit(
            source.name, source.resolution, messages, term=term, confirmed=self.confirmed
        )
        self.confirmed = []
        return committed

    def isolate(self, messages: Sequence[Message], term: int, error: Exception) -> Committed:
        if len(messages) == 1:
            return self.write([self.defect(messages[0].delivery, error)], term)
        return sum((self.commit([message], term) for message in messages), Committed())

    def defect(self, delivery: Delivery, error: Exception) -> Message:
        number = uuid.uuid4().hex[:8]
        log.error("error %s in a message of %s", number, self.source.name, exc_info=error)
        reason = f"Statecast failed on this message; its log says why, under error {number}."
        return Message(delivery, refusals=(Refusal(reason, delivery.body),))


def parts(page: Sequence[Delivery]) -> list[Sequence[Delivery]]:
    """All at once; but what was handed out again and again comes last, alone, and every other time from the end.

    One that ends the process whenever it is tried would else take those beside it with it every time.
    """
    suspects = [one for one in page if one.attempt > TRUSTED]
    if suspects and suspects[0].attempt % 2:
        suspects.reverse()
    return [[one for one in page if one.attempt <= TRUSTED], *([one] for one in suspects)]


def replay(store: Store, decode: Decoder, number: int, resolution: int = 1) -> Committed:
    """Take a message out of quarantine and down the same way again, with its original id and stamp.

    If it is refused again it stays, with the new reason. Raises NotFound.
    """
    row = store.quarantine_row(number)
    delivery = Delivery(row.id, row.body, row.sent_at, row.attempts, order=row.order)
    return store.replay(number, decode(delivery), resolution)
