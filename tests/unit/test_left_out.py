"""What was left out of a message that is applied all the same is a notice about its device."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from statecast.decoders import open_decoder
from statecast.ingest.left_out import SENTENCE
from statecast.ingest.pipeline import Pipeline
from statecast.problems import MAX_PER_KIND, Problem, Problems
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing import FakeSource, VirtualClock


class LeftOutHarness:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.source = FakeSource(clock=self.clock)
        self.problems = Problems(self.clock)
        self.store = MemoryStore(Limits(), self.clock)
        self.pipeline = Pipeline(
            self.source,
            open_decoder({"time": "optional"}),
            self.store,
            batch_size=1000,
            problems=self.problems,
        )
        lease = self.store.lease(self.source.name)
        assert lease is not None
        self.term = lease.term

    def send(self, device: str, time: Any) -> None:
        self.source.put({"device": device, "state": {"on": True}, "time": time})
        self.pipeline.step(self.term, 0)

    def current(self) -> list[Problem]:
        return self.problems.current()


def test_a_time_that_was_left_out_is_told_until_a_whole_message_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = LeftOutHarness()
    # when a device sends a time that cannot be read
    with caplog.at_level(logging.WARNING):
        harness.send("pillow", "yesterday")
        harness.send("pillow", "tomorrow")
        harness.send("lamp", "2026-01-31T12:00:00Z")
    # then its message is applied
    update = harness.store.get("pillow")
    assert update is not None and json.loads(update.state or b"") == {"on": True}
    # and one notice says so, and how often; what it was is for the operator
    (problem,) = harness.current()
    assert (problem.subject, problem.severity, problem.count) == ("device pillow", "notice", 2)
    assert problem.sentence == SENTENCE and "morrow" not in problem.sentence
    assert "“tomorrow” is not a time" in problem.detail
    assert "“yesterday” is not a time" in caplog.text
    # and the next message that can be read ends it
    harness.send("pillow", "2026-01-31T12:00:00Z")
    assert harness.current() == []


def test_many_devices_fill_nothing() -> None:
    harness = LeftOutHarness()
    for number in range(MAX_PER_KIND + 5):
        harness.send(f"d{number}", "yesterday")
    assert len(harness.current()) == MAX_PER_KIND
    # and those that are known end as always
    for number in range(MAX_PER_KIND + 5):
        harness.send(f"d{number}", None)
    assert harness.current() == []
