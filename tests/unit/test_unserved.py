"""Under another server than ours nothing is silently missing: the log and the page say it once."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from flask import Flask

from statecast import Statecast
from statecast.flask import runtime_of

NOTHING = "nothing serves this store yet"
OTHERS = "the process that serves this store does not do that"


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask("host")
    app.get("/mine")(lambda: "mine")
    yield app
    runtime_of(app).stop()


@pytest.fixture
def live(app: Flask) -> Statecast:
    return Statecast(app, store="memory:")


def announce(app: Flask, *sources: str) -> None:
    """Another process serves the store, and consumes these sources."""
    report = {"sources": {name: {"status": "connected"} for name in sources}, "viewers": 0}
    runtime_of(app).store.announce("other", report)


def register(live: Statecast, polls: int) -> None:
    for number in range(polls):
        live.poll(f"clock{number}", every=60)(lambda: {"n": 1})


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.endswith(".unserved")]


@pytest.mark.parametrize(
    ("polls", "others", "sentence"),
    [
        (3, None, f"3 polls run only under `statecast run` or `live.run`; {NOTHING}."),
        (1, None, f"1 poll runs only under `statecast run` or `live.run`; {NOTHING}."),
        (2, ["queue"], f"2 polls run only under `statecast run` or `live.run`; {OTHERS}."),
        (
            2,
            ["clock0"],
            f"1 poll runs only under `statecast run` or `live.run`; {OTHERS}.",
        ),
        (2, ["clock0", "clock1"], None),
        (0, None, None),
    ],
)
def test_polls_are_told_at_the_first_request(
    app: Flask,
    live: Statecast,
    caplog: pytest.LogCaptureFixture,
    polls: int,
    others: list[str] | None,
    sentence: str | None,
) -> None:
    # Given an app with polls under a server that is not ours
    register(live, polls)
    if others is not None:
        announce(app, *others)
    assert told(caplog) == []
    # When it answers its first requests, then the log says once what is missing
    for _ in range(3):
        assert app.test_client().get("/mine").text == "mine"
    assert told(caplog) == ([] if sentence is None else [sentence])


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        (None, f"Messages of live.send wait in the queue 'queue'; {NOTHING}."),
        (["clock"], f"Messages of live.send wait in the queue 'queue'; {OTHERS}."),
        (["queue"], None),
    ],
)
def test_a_message_that_waits_is_told_at_once(
    app: Flask,
    live: Statecast,
    caplog: pytest.LogCaptureFixture,
    others: list[str] | None,
    sentence: str | None,
) -> None:
    if others is not None:
        announce(app, *others)
    for _ in range(2):
        live.send({"device": "pillow", "state": {"mood": "happy"}})
    assert told(caplog) == ([] if sentence is None else [sentence])


def test_an_event_without_viewers_is_told_at_once(
    app: Flask, live: Statecast, caplog: pytest.LogCaptureFixture
) -> None:
    live.emit("hello")
    live.emit("hello")
    assert told(caplog) == [f"Events of live.emit reach no viewer; {NOTHING}."]


def test_an_event_that_another_process_passes_on_is_not(
    app: Flask, live: Statecast, caplog: pytest.LogCaptureFixture
) -> None:
    announce(app)
    live.emit("hello")
    assert told(caplog) == []


def test_a_refused_message_is_not_told(live: Statecast, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Exception, match="mood"):
        live.send({"mood": "happy"})
    assert told(caplog) == []


def test_a_process_that_serves_says_nothing(
    app: Flask, live: Statecast, caplog: pytest.LogCaptureFixture
) -> None:
    register(live, 1)
    runtime_of(app).start()
    app.test_client().get("/mine")
    live.send({"device": "pillow", "state": {"mood": "happy"}})
    live.emit("hello")
    assert told(caplog) == []


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        (
            None,
            "This page does not change by itself: nothing serves this store (`statecast run` or "
            "`live.run` does). 2 polls run only under `statecast run` or `live.run`.",
        ),
        (
            ["clock0", "clock1"],
            "This page does not change by itself: open the pages of the serving process, or name "
            "its address in the setting live_url.",
        ),
    ],
)
def test_the_page_says_it_too(
    app: Flask, live: Statecast, others: list[str] | None, sentence: str
) -> None:
    register(live, 2)
    if others is not None:
        announce(app, *others)
    html = app.test_client().get("/statecast/").text
    assert f'<p class="unserved" data-unserved>{sentence}</p>' in html


def test_a_store_that_cannot_be_read_breaks_no_request(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    live = Statecast(app, store="sqlite:////nowhere/at/all.db")
    register(live, 1)
    with caplog.at_level(logging.WARNING):
        assert app.test_client().get("/mine").text == "mine"
    assert told(caplog) == [f"1 poll runs only under `statecast run` or `live.run`; {NOTHING}."]
