"""What one app has: here, the reports that its processes exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from statecast.broadcast import process_reports
from statecast.errors import Malformed, StoreUnavailable
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.limits import Limits
from statecast.stores.totals import Totals
from statecast.testing import change, message, refused
from tests.waiting import wait_for


@pytest.fixture
def live() -> Iterator[Runtime]:
    runtime = Runtime(Settings(store="memory:"))
    yield runtime
    runtime.stop()


def test_a_report_adds_what_other_processes_see(live: Runtime) -> None:
    live.store.announce(
        "another", {"sources": {"far": {"status": "connected", "sentence": None}}, "viewers": 7}
    )
    live.process_reports.exchange()
    assert live.report()["viewers"] == 7
    assert live.report()["sources"]["far"]["status"] == "connected"


def test_a_full_disk_keeps_no_changes_from_viewers(
    live: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given a store that can be read but not written
    def full(process: str, report: Mapping[str, Any]) -> None:
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr(live.store, "announce", full)
    # when the report of this process cannot be written
    live.process_reports.exchange()
    # then the change feed, which needs the report with every delivery, gets it
    assert live.report()["viewers"] == 0
    assert "The disk is full." in caplog.text


def test_a_report_has_the_totals_and_what_waits_in_quarantine(live: Runtime) -> None:
    live.store.commit("queue", 1, [message("1", change("pillow", {"n": 1})), refused("2")])
    live.process_reports.exchange()
    report = live.report()
    assert report["quarantined"] == 1
    assert report["totals"] == {
        "queue": {
            "messages": 2,
            "versions": 1,
            "duplicates": 0,
            "dropped": 0,
            "quarantined": 1,
            "evicted": 0,
            "refused": 0,
            "left_out": 0,
        }
    }


def test_a_refused_message_is_counted_for_its_queue(live: Runtime) -> None:
    assert live.store.totals() == {}
    with pytest.raises(Malformed, match="names no device"):
        live.send(b'{"state":{}}')
    assert live.store.totals() == {"queue": Totals(refused=1)}


def test_a_source_that_begins_is_announced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sends right after the start must not read that no process receives."""
    # given a process that announces every ten minutes
    monkeypatch.setattr(process_reports, "INTERVAL", 600.0)
    live = Runtime(Settings(store=f"sqlite:///{tmp_path}/s.db"))
    live.start()
    try:
        # when its consumer begins to receive, then its report says so
        wait_for(lambda: any("queue" in one["sources"] for one in live.store.reports().values()))
    finally:
        live.stop()
    # and a process that has stopped takes its report back
    store = open_store(f"sqlite:///{tmp_path}/s.db", Limits())
    assert store.reports() == {}
    store.close()


@pytest.mark.parametrize(
    ("store", "where"),
    [
        ("memory:", "the operator's page lists them."),
        ("sqlite:///{}/a.db", "quarantine list --store sqlite:///{}/a.db` lists them."),
    ],
)
def test_the_log_says_where_the_quarantine_of_this_store_is(
    store: str, where: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = Runtime(Settings(store=store.format(tmp_path)))
    EmbeddedQueue(runtime.store).send(b'{"mood":"sad"}')
    runtime.start()
    while not runtime.store.quarantine_count():
        runtime.store.wait(0.1)
    runtime.stop()
    assert where.format(tmp_path) in caplog.text
