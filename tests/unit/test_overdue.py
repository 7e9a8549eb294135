"""When a part that was asked counts as not answering: a table of what is waited for."""

from __future__ import annotations

from typing import Any

import pytest

from statecast.ingest.overdue import Overdue, Waiting, late_after, overdue
from statecast.ingest.pipeline import PipelineStep as Step

QUEUE, STORE = Overdue("queue", 0), Overdue("store", 0)
AZURE = {"metered": True, "pause": 1.0}

CASES: dict[str, tuple[Step, float, dict[str, Any], Overdue | None]] = {
    # step, for how long, what else is known, the part that does not answer
    "a plain queue waits for a message": (Step.RECEIVE, 0.5, {}, None),
    "a plain queue answers late": (Step.RECEIVE, 3.5, {}, None),
    "a plain queue does not answer": (Step.RECEIVE, 3.6, {}, QUEUE),
    "the queue inside the store does not answer": (Step.RECEIVE, 3.6, {"in_store": True}, STORE),
    "a commit takes long": (Step.COMMIT, 3.0, {}, None),
    "a commit does not end": (Step.COMMIT, 3.1, {}, STORE),
    "deletions take long": (Step.ACKNOWLEDGE, 3.0, {}, None),
    "deletions do not end": (Step.ACKNOWLEDGE, 3.1, {}, QUEUE),
    "deletions inside the store do not end": (Step.ACKNOWLEDGE, 3.1, {"in_store": True}, STORE),
    "the pause after a failure": (Step.PAUSE, 60.0, {}, None),
    "a polled function works": (Step.RECEIVE, 4.9, {"pause": 1.0}, None),
    "a polled function hangs": (Step.RECEIVE, 5.1, {"pause": 1.0}, QUEUE),
    "one that is called each minute works": (Step.RECEIVE, 179.0, {"pause": 60.0}, None),
    "one that is called each minute hangs": (Step.RECEIVE, 181.0, {"pause": 60.0}, QUEUE),
    "no request is open": (Step.RECEIVE, 0.1, AZURE, None),
    "a request is open": (Step.RECEIVE, 0.1, AZURE | {"asked_for": 3.0}, None),
    "a request has no answer": (Step.RECEIVE, 0.1, AZURE | {"asked_for": 3.1}, QUEUE),
    "also while its thread commits": (Step.COMMIT, 0.1, AZURE | {"asked_for": 3.1}, QUEUE),
    "the next request is due": (Step.RECEIVE, 0.1, AZURE | {"answered_before": 5.0}, None),
    "the next request is overdue": (Step.RECEIVE, 0.1, AZURE | {"answered_before": 5.1}, QUEUE),
    "a slow pace": (Step.RECEIVE, 0.1, AZURE | {"pause": 60, "answered_before": 179}, None),
    "overdue at a slow pace": (
        *(Step.RECEIVE, 0.1),
        *(AZURE | {"pause": 60, "answered_before": 181}, QUEUE),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_overdue(name: str) -> None:
    step, step_for, more, expected = CASES[name]
    late = overdue(Waiting(step, step_for, 0.5, **more))
    assert (late and late.part) == (expected and expected.part)


@pytest.mark.parametrize("pause, limit", [(0.0, 5), (0.1, 5), (1.0, 5), (2.0, 6), (600.0, 1800)])
def test_a_queue_is_late_after_three_pauses_but_not_before_five_seconds(
    pause: float, limit: float
) -> None:
    assert late_after(pause) == limit


def test_it_says_for_how_long() -> None:
    late = overdue(Waiting(Step.RECEIVE, 0.1, 0.5, metered=True, pause=1, asked_for=7.5))
    assert late == Overdue("queue", 7.5)
