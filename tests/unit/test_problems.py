"""What is wrong now: said once in the log, kept until it is over, shown everywhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import flask
import pytest

from statecast import diagnostics, problems
from statecast.errors import StoreDamaged, StoreUnavailable
from statecast.flask import Statecast
from statecast.problems import MAX_PER_KIND, MAX_SHOWN, Problem, Problems
from statecast.program.commands import complete
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.testing.values import START, VirtualClock

CLOCK = ("clock", "device pillow", "Its clock is 5 min ahead.")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def found(clock: VirtualClock) -> Problems:
    return Problems(clock)


@pytest.fixture
def live(clock: VirtualClock) -> Iterator[Runtime]:
    runtime = Runtime(Settings(store="memory:"), clock)
    yield runtime
    runtime.stop()


def test_a_problem_lasts_from_its_first_report_until_it_is_cleared(
    found: Problems, clock: VirtualClock
) -> None:
    found.report(*CLOCK, severity="notice", detail="By 300123 ms.")
    clock.advance(2)
    found.report(*CLOCK, severity="notice", detail="By 300124 ms.")
    assert found.current() == [Problem(*CLOCK, "notice", START, 2, "By 300124 ms.")]
    found.clear("clock", "device pillow")
    assert found.current() == []
    found.clear("clock", "device pillow")  # nothing to clear is no error


def test_the_wrong_comes_first_then_the_oldest(found: Problems, clock: VirtualClock) -> None:
    for kind, severity in (("a", "notice"), ("b", "wrong"), ("c", "notice"), ("d", "wrong")):
        found.report(kind, "store", "It is so.", severity=severity)  # type: ignore[arg-type]
        clock.advance(1)
    assert [one.kind for one in found.current()] == ["b", "d", "a", "c"]


def test_the_log_says_when_it_begins_changes_and_ends(
    found: Problems, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    found.report("disk-full", "store", "The disk is full.", detail="It is /var.")
    found.report("disk-full", "store", "The disk is full.", detail="It is /var.")
    found.report("disk-full", "store", "The disk is nearly full.", severity="notice")
    clock.advance(7)
    found.clear("disk-full", "store")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "store: The disk is full. (It is /var.)"),
        ("WARNING", "store: The disk is nearly full."),
        ("WARNING", "store: over after 7 s: The disk is nearly full."),
    ]


def test_one_kind_cannot_fill_the_log_nor_silence_another(
    found: Problems, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1_000):
        found.report("damaged-row", f"device d/{number}", "Its row is damaged.")
    found.report("clock", "store", "The clock went back.")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) < 20
    assert lines[-1] == "store: The clock went back."


def test_there_is_a_bound_for_each_kind(found: Problems) -> None:
    for number in range(MAX_PER_KIND + 5):
        found.report("damaged-row", f"device d/{number}", "Its row is damaged.")
    found.report("clock", "store", "The clock went back.")
    assert len(found.current()) == MAX_PER_KIND + 1
    # one that is over makes room for the next
    found.clear("damaged-row", "device d/0")
    found.report("damaged-row", "device new", "Its row is damaged.")
    assert any(one.subject == "device new" for one in found.current())


def test_the_same_problem_of_two_processes_is_one() -> None:
    newer, older = Problem(*CLOCK, "notice", START + 5), Problem(*CLOCK, "notice", START)
    other = Problem("disk-full", "store", "The disk is full.", "wrong", START + 9)
    assert problems.merged([[newer], [older, other]]) == [other, older]


def test_a_report_carries_problems_to_other_processes(found: Problems) -> None:
    found.report(*CLOCK, severity="notice", detail="By 300123 ms.")
    report = json.loads(json.dumps({"problems": problems.for_report(found)}))
    assert problems.from_report(report) == found.current()
    assert problems.from_report({"viewers": 3}) == []


def test_the_health_event_has_the_problems_of_all_processes(live: Runtime) -> None:
    live.problems.report(*CLOCK, severity="notice", detail="/secret/path")
    other = Problem("disk-full", "store", "The disk is full.", "wrong", START, 1, "/secret/path")
    elsewhere = Problems(lambda: START)
    elsewhere.report("disk-full", "store", "The disk is full.", detail="/secret/path")
    live.store.announce("another", {"sources": {}, "viewers": 0, **_announced(elsewhere)})
    live.process_reports.exchange()
    event = live.report()
    assert event["problems"] == [
        other.public(),
        {
            "kind": "clock",
            "subject": "device pillow",
            "sentence": "Its clock is 5 min ahead.",
            "severity": "notice",
            "since": "2026-01-01T00:00:00.000Z",
        },
    ]
    assert "secret" not in json.dumps(event)


def test_the_health_event_and_the_report_are_bounded(live: Runtime) -> None:
    for number in range(2 * MAX_SHOWN):
        live.problems.report("damaged-row", f"device d/{number}", "Its row is damaged.")
    live.process_reports.exchange()
    assert len(live.report()["problems"]) == MAX_SHOWN
    [report] = live.store.reports().values()
    assert len(report["problems"]) == MAX_SHOWN


@pytest.mark.parametrize(
    "kind, subject, severity, ready",
    [
        ("disk-full", "store", "wrong", False),
        ("clock", "store", "notice", True),
        ("source-away", "source queue", "wrong", False),
        ("lease-stalled", "source queue", "wrong", False),
        ("damaged-row", "device pillow", "wrong", True),
    ],
)
def test_what_is_wrong_with_the_store_or_a_source_makes_a_process_not_ready(
    live: Runtime, kind: str, subject: str, severity: Any, ready: bool
) -> None:
    live.problems.report(kind, subject, "It is so.", severity=severity, detail="/secret/path")
    answer, details = live.ready()
    assert answer is ready
    # and the right part is named
    assert details["store"] == (
        "It is so." if (kind, ready) == ("disk-full", False) else "connected"
    )
    assert "secret" not in str(details)
    live.problems.clear(kind, subject)
    assert live.ready()[0]


def test_a_store_that_cannot_be_read_is_a_problem_until_it_can(
    live: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise StoreUnavailable("The disk of /secret/path failed.")

    with monkeypatch.context() as patched:
        patched.setattr(live.store, "read_position", broken)
        ready, details = live.ready()
    assert not ready and "secret" not in str(details)
    [problem] = live.problems.current()
    assert (problem.kind, problem.detail) == ("store-away", "The disk of /secret/path failed.")
    # then the next report, which is written into the store, ends it
    live.process_reports.exchange()
    assert live.ready()[0] and not live.problems.current()


def test_a_write_that_succeeds_does_not_mend_a_damaged_page(live: Runtime) -> None:
    # given a page of the file that is damaged, and is not touched by most requests
    live.problems.store_failed(StoreDamaged("/secret/s.db is damaged.", public="It is damaged."))
    # when the next report is written
    live.process_reports.exchange()
    # then it is wrong all the same
    ready, details = live.ready()
    assert (ready, details["store"]) == (False, "It is damaged.")


def test_the_doctor_says_them_with_the_detail(tmp_path: Path) -> None:
    elsewhere = Problems()
    elsewhere.report("disk-full", "store", "The disk is full.", detail="It is /var.")
    with open_store_of(tmp_path) as store:
        store.announce("p", {"sources": {}, "viewers": 0, **_announced(elsewhere)})
        store.problems.report(*CLOCK, severity="notice")  # found by this very process
        lines = [
            (line.about, line.verdict, line.sentence)
            for line in diagnostics.check_problems(Settings(), store, told=())
        ]
    assert lines == [
        ("store", "wrong", "The disk is full. (It is /var.)"),
        ("device pillow", "notice", "Its clock is 5 min ahead."),
    ]


def test_the_operator_s_page_has_them(tmp_path: Path) -> None:
    app = flask.Flask("app")
    live = Statecast(app, store=f"sqlite:///{tmp_path / 's.db'}")
    elsewhere = Problems()
    elsewhere.report("disk-full", "store", "The disk is <full>.", detail="It is /var.")
    with app.app_context():
        runtime = live.runtime
    runtime.store.announce("p", {"sources": {}, "viewers": 0, **_announced(elsewhere)})
    page = app.test_client().get("/statecast/operator").text
    runtime.stop()
    assert "The disk is &lt;full&gt;." in page
    assert "/var" not in page


def test_a_report_of_every_kind_reaches_the_log_at_its_level(
    found: Problems, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    found.report("x", "store", "It is noticed.", severity="notice")
    found.report("y", "store", "It is wrong.")
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]


def _announced(found: Problems) -> Mapping[str, Any]:
    return {"problems": problems.for_report(found)}


@contextmanager
def open_store_of(folder: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{folder / 'store.db'}", Limits())
    yield store
    store.close()


def test_a_line_of_the_log_has_complete_commands(caplog: pytest.LogCaptureFixture) -> None:
    # given a program whose store is not the default, and a sentence that viewers see too
    sentence = "Its row is damaged. `statecast store check --repair` mends it."
    problems = Problems(complete=partial(complete, settings=Settings(store="sqlite:///other.db")))
    problems.report("damaged-row", "device pillow", sentence)
    # then the log has the command for a shell, and viewers have the plain one
    assert "store check --repair --store sqlite:///other.db` mends" in caplog.text
    assert problems.current()[0].public()["sentence"] == sentence
