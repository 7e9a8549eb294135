"""The path of a message from its queue into the store, on one screen.

Rule 1: receive hides, acknowledge deletes, and the commit lies between them. After a crash the
queue delivers the batch again, and a repeated message changes nothing. See acknowledgement.py for a
store that may lose its last commits, and for a queue that the commit itself empties.
Rule 2: one bad message does not stop its neighbours. Decode and apply refuse it with a reason.
Only a machine can fail after them; then the batch is kept and tried again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from enum import StrEnum

from statecast import logs
from statecast.access.records import AuditEntry
from statecast.errors import StatecastError
from statecast.ingest.acknowledgement import Acknowledgement
from statecast.ingest.left_out import LeftOut
from statecast.ingest.sender_check import GrantsOfSender, SenderCheck, no_sender
from statecast.logs import LineLimit
from statecast.model import Delivery, Message, Quarantined, Refusal
from statecast.problems import Problems
from statecast.sources.contract import DeadLetterSource, Releasing, Source
from statecast.stores.contract import Store
from statecast.stores.totals import Committed

Decoder = Callable[[Delivery], Message]

SUSPECT_AFTER = 3
"""A message that was delivered more often than this is committed alone."""
FULL_PAUSE = 0.05
"""Seconds without a receive, where too many committed messages are not deleted yet."""

log = logging.getLogger(__name__)


class PipelineStep(StrEnum):
    """What the pipeline does. A step that takes long says which part does not answer."""

    PAUSE = "pause"
    RECEIVE = "receive"
    COMMIT = "commit"
    ACKNOWLEDGE = "acknowledge"


def no_hook(point: str) -> None:
    """The crash tests pass a hook that kills the process at a named point of the path."""


class Pipeline:
    """Moves messages of one source into the store, one batch per step."""

    def __init__(
        self,
        source: Source,
        decode: Decoder,
        store: Store,
        *,
        batch_size: int,
        listed_by: str = "`statecast quarantine list`",
        complete: Callable[[str], str] = str,
        problems: Problems | None = None,
        grants_of: GrantsOfSender = no_sender,
        reach: Callable[[str], None] = no_hook,
    ) -> None:
        """``listed_by`` is where a person finds the quarantine of this store, for the log.

        ``complete`` puts what a shell needs into the commands of its lines.
        """
        self.source = source
        self.decode = decode
        self.store = store
        self.batch_size = batch_size
        self.reach = reach
        self.grants_of = grants_of
        self.pending: list[Delivery] = []
        """Received and not yet committed: the next step starts with them."""
        self.confirmed: list[str] = []
        """Ids that the queue has deleted; the next commit forgets them an hour later."""
        self.acknowledgement = Acknowledgement(source, store)
        self.left_out = LeftOut(problems)
        self._listed_by = listed_by
        self._complete = complete
        self._lines = LineLimit()
        self.doing: tuple[PipelineStep, float] = (PipelineStep.PAUSE, time.monotonic())
        """The step that runs, and since when by ``time.monotonic``. Other threads read it."""

    def begin(self, step: PipelineStep) -> None:
        self.doing = (step, time.monotonic())

    def step(self, term: int, wait: float) -> tuple[Sequence[Delivery], Committed]:
        """Move one batch; wait up to ``wait`` seconds for its first message.

        Raises Unavailable when a machine failed: the next step tries the same batch again.
        """
        self.begin(PipelineStep.RECEIVE)
        self.pending = self.pending or self.receive(wait)  # 1 receive
        self.begin(PipelineStep.COMMIT)
        reach = self.reach if self.pending else no_hook
        reach("received")
        committed = Committed()
        for part in parts(self.pending):
            messages = [self.read(delivery) for delivery in part]  # 2 decode
            messages = list(map(SenderCheck(self.grants_of), messages))
            committed += self.commit(messages, term)  # 3 apply, 4 store: durable from here on
            self.left_out.note(messages)
        reach("committed")
        self.log_set_aside(committed.set_aside)
        if committed.refused and isinstance(self.source, DeadLetterSource):
            self.source.refused(committed.refused)
        self.begin(PipelineStep.ACKNOWLEDGE)
        done, self.pending = self.pending, []
        self.confirmed = self.acknowledgement.acknowledge(done)  # the queue deletes it
        reach("acknowledged")
        return done, committed

    def receive(self, wait: float) -> list[Delivery]:
        if self.acknowledgement.is_full:
            time.sleep(min(wait, FULL_PAUSE))
            return []
        return self.source.receive(self.batch_size, wait)

    def release(self) -> None:
        """Return to the queue what was received and not committed, so that it is received at once.

        A source that cannot do that keeps it for the next step. Raises Unavailable.
        """
        if isinstance(self.source, Releasing):
            held, self.pending = self.pending, []
            self.source.release(held)

    def read(self, delivery: Delivery) -> Message:
        try:
            return self.decode(delivery)
        except Exception as error:  # a user's decoder may raise; the queue must go on
            return self.defect(delivery, error)

    def commit(self, messages: Sequence[Message], term: int) -> Committed:
        if not messages and not self.confirmed:
            return Committed()
        try:
            return self.write(messages, term)
        except StatecastError:
            raise
        except Exception as error:  # a defect of ours: quarantine the one message that triggers it
            return self.isolate(messages, term, error)

    def write(self, messages: Sequence[Message], term: int) -> Committed:
        source = self.source
        if (store := self.acknowledgement.committing) is not None:
            return store.commit_received(source.name, messages, term=term)
        committed = self.store.commit(
            source.name, source.resolution, messages, term=term, confirmed=self.confirmed
        )
        self.confirmed = []
        return committed

    def isolate(self, messages: Sequence[Message], term: int, error: Exception) -> Committed:
        if len(messages) == 1:
            return self.write([self.defect(messages[0].delivery, error)], term)
        return sum((self.commit([message], term) for message in messages), Committed())

    def log_set_aside(self, rows: Sequence[Quarantined]) -> None:
        """One line for each message that went into quarantine, up to a rate.

        A maker's first message often lands there, and nothing else shows on the page.
        """
        for row in rows:
            omitted = self._lines.take("quarantine")
            if omitted is not None:
                log.warning(
                    "source %s: a message%s went into quarantine: %s %s lists them.%s",
                    row.source,
                    "" if row.device is None else f" of the device {row.device}",
                    self._complete(row.reason),
                    self._listed_by,
                    LineLimit.remark(omitted),
                )

    def defect(self, delivery: Delivery, error: Exception) -> Message:
        number = logs.log_error(log, f"a message of {self.source.name} failed", error)
        reason = f"Statecast failed on this message; its log says why, under error {number}."
        return Message(delivery, refusals=(Refusal(reason, delivery.body),))


def parts(batch: Sequence[Delivery]) -> list[Sequence[Delivery]]:
    """The batch as one part, and each message that was delivered too often as a part of its own.

    A message that crashes the process would otherwise take its whole batch down on every retry.
    The order of the suspects alternates, so that the first of them cannot hide the others.
    """
    suspects = [one for one in batch if one.attempt > SUSPECT_AFTER]
    if suspects and suspects[0].attempt % 2:
        suspects.reverse()
    return [
        [one for one in batch if one.attempt <= SUSPECT_AFTER],
        *([one] for one in suspects),
    ]


def replay(
    store: Store,
    decode: Decoder,
    number: int,
    resolution: int = 1,
    grants_of: GrantsOfSender = no_sender,
    audit: AuditEntry | None = None,
) -> Committed:
    """Commit a quarantined message by the same path again, with its original id and stamp.

    A message that is refused again stays in quarantine, with the new reason. Raises NotFound.
    """
    row = store.quarantine_row(number)
    delivery = Delivery(
        row.id, row.body, row.sent_at, row.attempts, order=row.order, sender=row.sender
    )
    return store.replay(number, SenderCheck(grants_of)(decode(delivery)), resolution, audit=audit)
