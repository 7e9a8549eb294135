"""A polled function as a source."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from statecast.errors import SourceUnavailable
from statecast.sources.polled_function import PolledFunction
from statecast.testing import VirtualClock
from statecast.testing.values import START


class Time:
    """A monotonic clock; waiting moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def polled(
    function: Callable[[], Mapping[str, Any] | None], time: Time, every: float = 5.0
) -> PolledFunction:
    return PolledFunction("clock", function, every=every, clock=VirtualClock(), monotonic=time)


def test_a_function_is_called_at_once_and_then_once_per_period() -> None:
    time, calls = Time(), []

    def clock() -> dict[str, Any]:
        calls.append(time.now)
        return {"n": len(calls)}

    source = polled(clock, time)
    (first,) = source.receive(10, 0)
    assert json.loads(first.body) == {"device": "clock", "state": {"n": 1}}
    assert (first.sent_at, source.waiting(), source.resolution) == (START, None, 1)
    assert source.receive(10, 0) == []
    time.now += 4.75
    assert source.receive(10, 0) == []
    time.now += 0.5
    (second,) = source.receive(10, 0)
    assert second.id != first.id
    assert source.acknowledge([first, second]) == [first.id, second.id]
    # then the beat is kept, not moved by how late each call is
    time.now = 110.0
    assert len(source.receive(10, 0)) == 1
    assert calls == [100.0, 105.25, 110.0]


def test_late_calls_are_not_made_up_for() -> None:
    time = Time()
    source = polled(dict, time)
    assert source.receive(1, 0)
    time.now += 60
    assert source.receive(1, 0)
    assert source.receive(1, 0) == []
    time.now += 4.75
    assert source.receive(1, 0) == []
    time.now += 0.25
    assert source.receive(1, 0)


def test_none_means_nothing_new() -> None:
    assert polled(lambda: None, Time()).receive(1, 0) == []


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (ZeroDivisionError("no"), r"clock\(\) failed \(ZeroDivisionError\); the log says why"),
        ({"n": float("nan")}, r"clock\(\) returned no state\. The value at “/n” is NaN"),
        ({"n": object()}, r"clock\(\) returned no state\. The value at “/n” is of the type object"),
        (5, r"clock\(\) returned no state\. A state is a mapping"),
    ],
)
def test_a_function_that_fails_is_a_source_that_is_away(returned: Any, sentence: str) -> None:
    time = Time()

    def clock() -> Any:
        if isinstance(returned, Exception):
            raise returned
        return returned

    source = polled(clock, time)
    with pytest.raises(SourceUnavailable, match=sentence):
        source.receive(1, 0)
    # then it is asked again when it is due, not before
    assert source.receive(1, 0) == []
    time.now += 5
    with pytest.raises(SourceUnavailable):
        source.receive(1, 0)


def test_what_an_error_says_is_for_the_log_and_once(caplog: pytest.LogCaptureFixture) -> None:
    # Given a function whose errors hold what no viewer may see
    time, secrets = Time(), ["hunter2", "hunter2", "hunter3"]

    def clock() -> Any:
        raise ConnectionError(f"postgres://user:{secrets.pop(0)}@db")

    source = polled(clock, time)
    while secrets:
        with pytest.raises(SourceUnavailable) as caught:
            source.receive(1, 0)
        assert "hunter" not in str(caught.value)
        time.now += 5
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


def test_a_close_ends_the_wait() -> None:
    source = polled(dict, Time(), every=3600)
    source.receive(1, 0)
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(source.receive(1, 60)))
    thread.start()
    source.close()
    thread.join(20)
    assert got == [[]]
