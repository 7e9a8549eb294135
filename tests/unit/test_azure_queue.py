"""The Azure source beside its contract.

Its poll interval, ``wake``, its requests, and its URL.
"""

from __future__ import annotations

import re
import sys

import pytest

from statecast.errors import BadSetting, Malformed, SourceUnavailable, TooLarge
from statecast.model import Delivery
from statecast.program.distribution import install_hint
from statecast.settings import Settings
from statecast.sources import open_source
from statecast.sources.azure_queue import AzureQueue
from statecast.sources.azure_queue.receives import MAX_RECEIVES
from statecast.sources.azure_queue.source import parallel_deletions
from statecast.sources.contract import SourceContext
from statecast.testing import VirtualClock
from statecast.testing.azure import FakeAzure
from waiting import wait_for


@pytest.fixture
def azure(azure: FakeAzure) -> FakeAzure:
    azure.queues["pillow"] = []
    return azure


def opened(azure: FakeAzure, rest: str = "pillow") -> AzureQueue:
    environ = {"AZURE_STORAGE_CONNECTION_STRING": azure.connection}
    context = SourceContext(
        lambda: pytest.fail("no store"), Settings(), environ, VirtualClock(), ("device",)
    )
    source = open_source(f"azure-queue:{rest}", context)
    assert isinstance(source, AzureQueue)
    return source


class FakeMonotonic:
    """A monotonic clock that the test controls."""

    def __init__(self, source: AzureQueue) -> None:
        self.now = 1000.0
        source.monotonic = lambda: self.now
        source._next_at = source._requested_at = source._count_at = self.now


def test_the_url_is_read(azure: FakeAzure) -> None:
    source = opened(
        azure, "pillow?visibility_timeout=45.2&idle=10&warm=0.5&name=upstairs&create=no&poison=no"
    )
    assert (source.name, source.visibility_timeout, source.create, source.poison) == (
        "upstairs",
        46,
        False,
        None,
    )
    assert (source.interval.warm, source.interval.idle) == (0.5, 10)
    assert opened(azure).client.queue == "pillow"
    assert opened(azure, "pillow-poison").poison is None, (
        "its refused messages do not go in circles"
    )
    assert opened(azure, "p" * 60).poison is None, "a name that long cannot be"


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        (
            "pillow?idel=1",
            "has no option 'idel'; its options are: acknowledge_after, .*device, idle",
        ),
        (
            "pillow?connection=A&connection_file=/run/b",
            "the options 'connection' and 'connection_file', and only one of them",
        ),
        ("pillow-poison?poison=yes", "The option 'poison' .* has no effect"),
        ("p" * 60 + "?poison=yes", "The option 'poison' .* has no effect"),
        ("pillow?warm=2&idle=1", "must be a number between 2 and 3600"),
        ("pillow?visibility_timeout=0", "between 1 and 604800"),
        ("Pillow", "is not the name of an Azure queue"),
        ("pillow?connection=NONE", "variable NONE"),
    ],
)
def test_a_wrong_url_says_so(azure: FakeAzure, rest: str, sentence: str) -> None:
    with pytest.raises(BadSetting, match=sentence):
        opened(azure, rest)


def test_without_the_package_a_sentence_says_what_to_install(
    azure: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "azure.storage.queue", None)
    with pytest.raises(BadSetting, match=re.escape(install_hint("azure"))):
        opened(azure)


def test_without_a_key_the_package_for_identities_is_needed(
    azure: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    context = SourceContext(lambda: pytest.fail("no store"), Settings(), {}, VirtualClock())
    with pytest.raises(BadSetting, match="azure-identity"):
        open_source("azure-queue://account/pillow", context)


def test_one_request_per_page(azure: FakeAzure) -> None:
    source = opened(azure)
    for number in range(40):
        azure.put("pillow", str(number))
    assert len(source.receive(256, 0)) == 32
    assert len(source.receive(256, 0)) == 8
    assert azure.asked == ["receive", "receive"]
    source.close()


def test_while_the_queue_is_behind_pages_come_together(azure: FakeAzure) -> None:
    # given a queue with more messages than single receives bring
    source = opened(azure)
    for number in range(200):
        azure.put("pillow", str(number))
    # when they are received until it is empty
    found: list[Delivery] = []
    sizes = []
    while page := source.receive(256, 0):
        sizes.append(len(page))
        found += page
    # then each message came once, some pages together, and never more than are allowed
    assert sorted(int(one.body) for one in found) == list(range(200))
    assert sizes[:2] == [32, 32]
    assert max(sizes) <= MAX_RECEIVES * 32
    # and when it has caught up, one request is sent at a time
    while source._receives.are_running:
        assert source.receive(256, 0) == []
    asked = azure.asked.count("receive")
    assert source.receive(256, 0) == []
    assert azure.asked.count("receive") == asked + 1
    source.close()


def test_a_caller_gets_no_more_than_it_asked_for(azure: FakeAzure) -> None:
    # given pages that were requested for a caller that took many
    source = opened(azure)
    for number in range(128):
        azure.put("pillow", str(number))
    found = [*source.receive(256, 0), *source.receive(256, 0)]
    # when it takes few, then it gets them little by little
    while page := source.receive(5, 0):
        assert len(page) <= 5
        found += page
    assert len({one.id for one in found}) == 128
    source.close()


def test_what_was_received_ahead_is_released_at_the_end(azure: FakeAzure) -> None:
    # given pages that came ahead of the caller
    source = opened(azure)
    for number in range(160):
        azure.put("pillow", str(number))
    taken = [*source.receive(256, 0), *source.receive(256, 0)]
    wait_for(lambda: all(one.page.done() for one in source._receives._running))
    source.receive(5, 0)
    source.acknowledge(taken)
    # when the source is closed
    source.close()
    # then all that was not acknowledged is visible again at once
    visible = [one for one in azure.queues["pillow"] if one.visible <= azure.now()]
    assert len(visible) == 160 - len(taken)


def test_what_a_consumer_without_its_lease_holds_is_released(azure: FakeAzure) -> None:
    # given a consumer that received more than it was asked for, and acknowledged some
    source = opened(azure)
    for number in range(40):
        azure.put("pillow", str(number))
    taken = source.receive(32, 0)
    source.acknowledge(taken[:10])
    source.flush()
    # when it releases the rest
    source.release(taken[10:])
    source.release([])
    wait_for(lambda: all(one.done() for one in source._releases))
    # then another consumer receives all that is left at once, and this one begins with the queue
    left = [one for one in azure.queues["pillow"] if one.visible <= azure.now()]
    assert len(left) == 30
    assert {one.attempt for one in source.receive(32, 0)} == {1, 2}
    source.close()


def test_requests_follow_the_poll_interval(azure: FakeAzure) -> None:
    source = opened(azure)
    monotonic = FakeMonotonic(source)
    azure.put("pillow", "1")
    # given a message: the next question is a tenth of a second later
    assert source.receive(32, 0.001) or source.receive(32, 20)
    assert source.receive(32, 0.001) == []
    assert azure.asked == ["receive"]
    heard_at = source.heard_at
    monotonic.now += 0.11
    assert source.receive(32, 20) == []
    assert azure.asked == ["receive", "receive"]
    assert source.heard_at == heard_at, "by a clock that stands still"
    # and idle for long: a second
    monotonic.now += 60
    for _ in range(20):
        source.receive(32, 20)
        monotonic.now += 1.11
    asked = len(azure.asked)
    source.receive(32, 20)
    monotonic.now += 0.85
    source.receive(32, 0.001)
    assert len(azure.asked) == asked + 1
    assert source.requests_per_hour() == 3600
    source.close()


def test_wake_shortens_the_interval(azure: FakeAzure) -> None:
    source = opened(azure, "pillow?idle=600")
    monotonic = FakeMonotonic(source)
    for _ in range(40):
        source.receive(32, 20)
        monotonic.now += 700
    source.receive(32, 20)
    asked = len(azure.asked)
    # given an idle queue that is due in ten minutes, when this process sends to it
    monotonic.now += 1
    source.send(b'{"device": "pillow", "state": {}}')
    # then it is asked at once
    assert [one.body for one in source.receive(32, 20)] == [b'{"device": "pillow", "state": {}}']
    assert azure.asked[asked:] == ["send", "receive"]
    source.close()


def test_what_is_sent_arrives_as_it_was(azure: FakeAzure) -> None:
    source = opened(azure)
    bodies = ['{"a": "<&>\\"é\U0001f600"}', '{"a": "\ufffe\uffff"}', '{"a": 1}\n']
    ids = source.send_many([body.encode() for body in bodies])
    page = source.receive(32, 0)
    assert [one.id for one in page] == ids
    assert [one.body.decode() for one in page] == [bodies[0], '{"a": "\\ufffe\\uffff"}', bodies[2]]
    assert source.send(b"x" * 65_536)
    with pytest.raises(TooLarge):
        source.send(b"x" * 65_537)
    with pytest.raises(Malformed):
        source.send(b"\xff")
    source.close()


def test_sending_makes_the_queue_and_is_never_repeated(azure: FakeAzure) -> None:
    source = opened(azure, "fresh")
    source.send(b"1")
    assert azure.texts("fresh") == ["1"]
    # when the answer is lost, then the sender is told; a second try might be a second message
    azure.fail("lost", "send")
    with pytest.raises(SourceUnavailable):
        source.send(b"2")
    assert azure.texts("fresh") == ["1", "2"]
    azure.fail("busy", "send")
    azure.asked.clear()
    with pytest.raises(SourceUnavailable):
        source.send(b"3")
    assert azure.asked == ["send"]
    source.close()


def test_of_several_it_is_told_how_many_went(azure: FakeAzure) -> None:
    source = opened(azure, "pillow?create=no")
    sent = iter([False, True])
    original = source.client.send

    def send(text: str, *, time_to_live: int | None = None) -> str:
        if next(sent):
            azure.fail("busy", "send")
        return original(text, time_to_live=time_to_live)

    source.client.send = send  # type: ignore[method-assign]
    with pytest.raises(SourceUnavailable, match="1 of 3 messages were sent before"):
        source.send_many([b"1", b"2", b"3"])
    source.close()


@pytest.mark.parametrize(
    ("fastest", "count"), [(0.0001, 4), (0.006, 4), (0.007, 5), (0.0121, 8), (0.03, 8), (5, 8)]
)
def test_deletions_at_a_time_fill_the_wait_for_the_network(fastest: float, count: int) -> None:
    assert parallel_deletions(fastest) == count


def test_times_are_those_of_the_service(azure: FakeAzure) -> None:
    azure.offset = 3600
    source = opened(azure)
    azure.put("pillow", "1")
    (one,) = source.receive(32, 0)
    assert one.sent_at == int(azure.queues["pillow"][0].inserted) * 1000
    assert source.resolution == 1000
    source.close()


def test_an_examination_takes_no_message(azure: FakeAzure) -> None:
    source = opened(azure)
    azure.put("pillow", "1")
    azure.offset = -30
    verdicts = [(finding.verdict, finding.sentence) for finding in source.examine()]
    assert [verdict for verdict, _ in verdicts] == ["good", "notice", "good"]
    assert "about 1 messages wait" in verdicts[0][1]
    assert (
        "30 s ahead of" in verdicts[1][1]
        or "31 s ahead of" in verdicts[1][1]
        or "29 s" in verdicts[1][1]
    )
    assert "$1.04 a month" in verdicts[2][1]
    assert azure.queues["pillow"][0].count == 0
    assert "receive" not in azure.asked
    source.close()


@pytest.mark.parametrize(
    ("rights", "verdicts"),
    [("raup", "good good"), ("p", "good notice good"), ("r", "wrong"), ("", "wrong")],
)
def test_an_examination_of_rights(azure: FakeAzure, rights: str, verdicts: str) -> None:
    azure.rights = rights
    source = opened(azure)
    assert [finding.verdict for finding in source.examine()] == verdicts.split()
    source.close()


def test_an_examination_of_nothing(azure: FakeAzure) -> None:
    source = opened(azure, "absent")
    assert [finding.verdict for finding in source.examine()] == ["notice", "good"]
    azure.stop()
    source.close()
    (finding,) = opened(azure).examine()
    assert finding.verdict == "wrong" and "cannot be reached" in finding.sentence


def test_an_examination_of_a_frozen_service_ends_soon(
    azure: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statecast.sources.azure_queue.source.EXAMINE_WITHIN", 0.2)
    azure.fail("hang", times=float("inf"))
    source = opened(azure)
    # one request, and its limit: the others would wait as long
    (finding,) = source.examine()
    assert finding.verdict == "wrong" and "does not answer" in finding.sentence
    assert len(azure.asked) == 1
    azure.heal()
    source.close()


def test_the_sdk_says_nothing_about_an_answer_that_it_cannot_read(
    azure: FakeAzure, caplog: pytest.LogCaptureFixture
) -> None:
    """Our line about it has a rate, and says what to do."""
    source = opened(azure)
    azure.fail("broken", "count", times=3)
    for _ in range(3):
        with pytest.raises(SourceUnavailable, match="not expected"):
            source.client.count()
    source.close()
    assert caplog.records == []
