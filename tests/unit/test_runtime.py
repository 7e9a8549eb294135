"""What one app has: here, the reports that its processes exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from statecast.errors import StoreUnavailable
from statecast.runtime import Runtime
from statecast.settings import Settings


@pytest.fixture
def live() -> Iterator[Runtime]:
    runtime = Runtime(Settings(store="memory:"))
    yield runtime
    runtime.stop()


def test_a_report_adds_what_other_processes_see(live: Runtime) -> None:
    live.store.announce(
        "another", {"sources": {"far": {"status": "connected", "sentence": None}}, "viewers": 7}
    )
    assert live.report()["viewers"] == 7
    assert live.report()["sources"]["far"]["status"] == "connected"


def test_a_full_disk_keeps_no_changes_from_viewers(
    live: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given a store that can be read but not written
    def full(process: str, report: Mapping[str, Any]) -> None:
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr(live.store, "announce", full)
    # then the change feed, which needs the report with every delivery, gets it
    assert live.report()["viewers"] == 0
    assert "The disk is full." in caplog.text
