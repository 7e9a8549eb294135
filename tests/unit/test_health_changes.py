"""What changed in a report, put into the report before, is the report."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statecast.broadcast.health import changed_members

QUEUE = {"status": "connected", "lag": 0.1, "sentence": None}
REPORT = {"sources": {"queue": QUEUE}, "totals": {"queue": {"messages": 5}}, "viewers": 3}


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (REPORT, {}),
        ({**REPORT, "viewers": 4}, {"viewers": 4}),
        ({**REPORT, "problems": []}, {"problems": []}),
        (
            {**REPORT, "sources": {"queue": {**QUEUE, "lag": None}}},
            {"sources": {"queue": {"lag": None}}},
        ),
        (
            {**REPORT, "sources": {"queue": QUEUE, "door": {"status": "away"}}},
            {"sources": {"door": {"status": "away"}}},
        ),
        ({**REPORT, "sources": {}}, {"sources": {"queue": None}}),
        (
            {**REPORT, "totals": {"queue": {"messages": 6}}},
            {"totals": {"queue": {"messages": 6}}},
        ),
        ({"sources": {}, "totals": {}}, None),
        ({**REPORT, "sources": {"queue": {"status": "connected"}}}, None),
    ],
)
def test_what_changed_in_a_report(now: dict[str, Any], changed: dict[str, Any] | None) -> None:
    assert changed_members(REPORT, now) == changed


VALUES = st.one_of(st.none(), st.booleans(), st.integers(0, 2))
MEMBERS = st.dictionaries(st.sampled_from(["status", "lag", "sentence"]), VALUES)
SOURCES = st.dictionaries(st.sampled_from(["queue", "door", "clock"]), MEMBERS)
REPORTS = st.fixed_dictionaries(
    {"sources": SOURCES}, optional={"totals": SOURCES, "viewers": VALUES, "problems": VALUES}
)


@given(REPORTS, REPORTS)
def test_a_client_that_has_the_report_before_has_this_one(
    before: dict[str, Any], now: dict[str, Any]
) -> None:
    changed = changed_members(before, now)
    if changed is None:  # then all is sent
        return
    report = copy.deepcopy(before)
    for name, value in changed.items():
        if name not in ("sources", "totals"):
            report[name] = value
            continue
        report.setdefault(name, {})
        for source, members in value.items():
            if members is None:
                del report[name][source]
            else:
                report[name].setdefault(source, {}).update(members)
    assert report == now
