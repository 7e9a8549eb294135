"""How many receives of a queue run at once, and what becomes of each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from statecast.errors import SourceUnavailable
from statecast.model import Delivery
from statecast.sources.azure_queue.receives import MAX_PAGE, MAX_RECEIVES, Page, Receives

SHORT = 20.0


class Requests:
    """In the place of the threads: requests that are answered when the test says so."""

    def __init__(self) -> None:
        self.sent: list[Future[Page]] = []

    def submit(self, call: Callable[[], Page]) -> Future[Page]:
        self.sent.append(Future())
        call()
        return self.sent[-1]

    def close(self) -> None:
        pass


class Service:
    """A queue, the requests to it by number, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.asked: list[int] = []
        self.requests = Requests()
        monkeypatch.setattr(Receives, "_new_pool", lambda receives: self.requests)
        self.receives = Receives(self._receive, "pillow", lambda: self.now)

    def _receive(self, limit: int) -> Page:
        self.asked.append(limit)
        return []

    def answer(self, number: int, found: int | Exception = MAX_PAGE) -> None:
        """Answer the request of this number with so many messages, or with an error."""
        if isinstance(found, Exception):
            self.requests.sent[number].set_exception(found)
        else:
            page = [Delivery(f"{number}.{at}", b"", 0) for at in range(found)]
            self.requests.sent[number].set_result(page)

    def start(self, limit: int = 256) -> int:
        """Start what the pace allows; how many requests were sent so far."""
        self.receives.start(limit)
        return len(self.asked)

    def fill(self, pages: int) -> None:
        """Take full pages, one after the other, until the queue is known to be behind."""
        for number in range(pages):
            self.receives.start(MAX_PAGE)
            self.answer(number)
            self.receives.take(SHORT)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(monkeypatch)


def taken(pages: list[tuple[Page, int]]) -> list[tuple[str, int]]:
    return [(page[0].id.split(".")[0] if page else "", len(page)) for page, _ in pages]


@pytest.mark.parametrize(
    ("full", "limit", "requests"),
    [
        (0, 256, 1),
        (1, 256, 1),
        (2, 256, MAX_RECEIVES),
        (5, 256, MAX_RECEIVES),
        (2, 96, 3),
        (2, 64, 2),
        (2, 63, 1),
        (2, 5, 1),
    ],
)
def test_several_run_only_while_pages_come_full(
    service: Service, full: int, limit: int, requests: int
) -> None:
    # given so many full pages in a row
    service.fill(full)
    before = len(service.asked)
    # when the next are requested, then as many as the queue needs and the caller takes
    assert service.start(limit) - before == requests
    assert service.receives.is_behind is (full >= 2)
    assert service.asked[before:] == [min(limit, MAX_PAGE)] * requests


def test_one_page_that_is_not_full_ends_it(service: Service) -> None:
    # given a queue that is behind
    service.fill(2)
    assert service.start() == 2 + MAX_RECEIVES
    # when one of the pages is not full
    service.answer(2, 31)
    assert taken(service.receives.take(SHORT)) == [("2", 31)]
    # then no further one is sent, while those under way are taken
    assert service.start() == 2 + MAX_RECEIVES
    for number in range(3, 2 + MAX_RECEIVES):
        service.answer(number, 0)
    while service.receives.are_running:
        assert [len(page) for page, _ in service.receives.take(SHORT)] != []
    assert service.start() == 2 + MAX_RECEIVES + 1


def test_pages_are_taken_as_they_come(service: Service) -> None:
    service.fill(2)
    service.start()
    # given that the third answer comes first
    service.answer(4)
    assert taken(service.receives.take(SHORT)) == [("4", 32)]
    # then two together: in the order of their requests
    service.answer(3)
    service.answer(2)
    assert taken(service.receives.take(SHORT)) == [("2", 32), ("3", 32)]
    # and nothing is invented while none comes
    assert service.receives.take(0.001) == []


def test_the_error_of_one_loses_no_messages_of_the_others(service: Service) -> None:
    # given several receives, of which one fails and others bring pages
    service.fill(2)
    service.start()
    service.answer(2, SourceUnavailable("It broke off."))
    service.answer(3)
    # when they are taken, then the pages come first, and the error after them, once
    assert taken(service.receives.take(SHORT)) == [("3", 32)]
    with pytest.raises(SourceUnavailable, match="broke off"):
        service.receives.take(SHORT)
    service.answer(4)
    assert taken(service.receives.take(SHORT)) == [("4", 32)]


def test_after_an_error_one_receive_runs_at_a_time(service: Service) -> None:
    service.fill(2)
    service.start()
    for number in range(2, 2 + MAX_RECEIVES):
        service.answer(number, SourceUnavailable("It broke off."))
    with pytest.raises(SourceUnavailable):
        service.receives.take(SHORT)
    assert not service.receives.is_behind
    assert service.start() == 2 + MAX_RECEIVES + 1


def test_a_receive_without_an_answer_is_given_up(service: Service) -> None:
    # given one of several that never answers
    service.fill(2)
    service.start()
    service.now += 61
    for number in range(3, 2 + MAX_RECEIVES):
        service.answer(number, 0)
    assert len(service.receives.take(SHORT)) == 3
    assert service.receives.waited() == 61
    assert service.receives.asked_at == 0
    # when it has been so for too long
    service.receives.abandon(60)
    # then another is sent in its place
    assert not service.receives.are_running
    assert service.start() == 2 + MAX_RECEIVES + 1


def test_at_the_end_what_still_comes_is_returned(service: Service) -> None:
    service.fill(2)
    service.start()
    service.answer(2)
    service.answer(3, SourceUnavailable("It broke off."))
    for number in range(4, 2 + MAX_RECEIVES):
        service.answer(number, 1)
    found = service.receives.finish(0.01)
    assert len(found) == 32 + MAX_RECEIVES - 2
