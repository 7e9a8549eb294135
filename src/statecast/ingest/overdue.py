"""When a part that was asked counts as not answering. Pure: times are arguments.

Rule 1: a question without an answer counts after ``OPEN_QUESTION`` seconds, also while its thread
still waits. A peer that is frozen closes no connection, so no error would say it.
Rule 2: a queue that is asked at intervals counts as late after ``LATE_PAUSES`` of them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from statecast.ingest.pipeline import PipelineStep
from statecast.model import value_class

OPEN_QUESTION = 3.0
LATE_AFTER = 5.0
"""Seconds: a queue that is asked often is not late before that."""
LATE_PAUSES = 3


class Overdue(NamedTuple):
    """The part that does not answer, and for how many seconds."""

    part: Literal["queue", "store"]
    waited: float


@value_class
class Waiting:
    """What a consumer waits for. All times are seconds."""

    step: PipelineStep
    """What its thread does."""
    step_for: float
    """For how long it has done so."""
    receive_wait: float
    """How long a receive may wait for a message."""
    in_store: bool = False
    """Whether the queue is inside the store."""
    pause: float | None = None
    """Of a source that is asked at intervals: the interval."""
    metered: bool = False
    """Whether its requests run apart from its thread."""
    asked_for: float | None = None
    """How long a request of a metered source has had no answer; None: none is open."""
    answered_before: float = 0.0
    """How long ago the queue answered."""


def overdue(waiting: Waiting) -> Overdue | None:
    """The part that should have answered by now, if there is one."""
    if waiting.step is PipelineStep.COMMIT and waiting.step_for > OPEN_QUESTION:
        return Overdue("store", waiting.step_for)
    if waiting.step is PipelineStep.ACKNOWLEDGE and waiting.step_for > OPEN_QUESTION:
        return Overdue("store" if waiting.in_store else "queue", waiting.step_for)
    if waiting.step is PipelineStep.RECEIVE and waiting.step_for > _receive_limit(waiting):
        return Overdue("store" if waiting.in_store else "queue", waiting.step_for)
    if waiting.metered:
        if waiting.asked_for is not None and waiting.asked_for > OPEN_QUESTION:
            return Overdue("queue", waiting.asked_for)
        if waiting.answered_before > late_after(waiting.pause or 0):
            return Overdue("queue", waiting.answered_before)
    return None


def late_after(pause: float) -> float:
    """Seconds after which a queue that is asked at this interval is late."""
    return max(LATE_AFTER, LATE_PAUSES * pause)


def _receive_limit(waiting: Waiting) -> float:
    """A polled function may take as long as the work it does; a queue only as long as it says."""
    if waiting.pause is not None and not waiting.metered:
        return late_after(waiting.pause)
    return waiting.receive_wait + OPEN_QUESTION
