"""What the operator's page shows: sources, quarantine, viewers, store, and the last hour.

It is made of what every serving process announced and of what the store knows, so that it is the
same whichever process answers. Only the charts are of this process: they are kept in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from statecast import timestamps
from statecast.access.identity import Identity
from statecast.access.records import AuditEntry
from statecast.broadcast.last_hour import Sample
from statecast.errors import Malformed, NotFound
from statecast.model import Quarantined
from statecast.problems import Problem, from_report, merged
from statecast.stores.totals import Totals
from statecast.web.page_renderer import PageRuntime

ROWS_SHOWN = 100
"""Messages in quarantine, the oldest first."""
BACKLOGS_SHOWN = 10
"""Devices with open commands."""
DEEDS_SHOWN = 50
"""Entries of the audit, the newest first."""
SPANS = {
    "1h": ("an hour", 3_600),
    "1d": ("a day", 86_400),
    "7d": ("a week", 604_800),
    "30d": ("a month", 2_592_000),
    "365d": ("a year", 31_536_000),
}
"""How long a share link may hold that is made here: words and seconds."""
BODY_SHOWN = 2_000
"""Bytes of a message."""
MARKS = {"connected": "live", "away": "away", "blocked": "away"}
"""By the status of a source; every other is unknown."""
LATE_AFTER = 5.0
"""Seconds of lag from which a source is marked as late."""
HEALTH = {"status": "unknown", "sentence": "", "received_at": None, "lag": None, "waiting": None}
"""Defaults for a report without these members."""
CHART_HEIGHT = 24

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One source, as the process that consumes it reported it."""

    name: str
    mark: str
    status: str
    sentence: str
    received_at: int | None
    """When its queue last answered, in ms."""
    waiting: int | None
    lag: float | None
    last_minute: int | None
    """Messages; None: not known yet."""
    process: str
    """Which one consumes it; "" if none does."""
    totals: Totals


@dataclass(frozen=True, slots=True)
class QuarantinedMessage:
    number: int
    source: str
    id: str
    at: int
    attempts: int
    body: str


@dataclass(frozen=True, slots=True)
class Reason:
    """All messages that are in quarantine for the same reason."""

    text: str
    messages: Sequence[QuarantinedMessage]

    @property
    def numbers(self) -> list[int]:
        return [one.number for one in self.messages]


@dataclass(frozen=True, slots=True)
class Process:
    """A serving process and its viewers."""

    name: str
    viewers: int
    lagging: int
    dropped_events: int


@dataclass(frozen=True, slots=True)
class Chart:
    """One number per minute of the last hour, as bars in a box of 60 by ``CHART_HEIGHT``."""

    name: str
    values: Sequence[float | None]
    unit: str = ""

    @property
    def is_known(self) -> bool:
        return any(value is not None for value in self.values)

    @property
    def highest(self) -> float:
        return max((value for value in self.values if value is not None), default=0)

    @property
    def bars(self) -> list[tuple[int, float]]:
        """Place and height of each minute that has something."""
        highest = self.highest
        return [
            (place, round(max(1.0, value / highest * CHART_HEIGHT), 2))
            for place, value in enumerate(self.values)
            if value
        ]

    @property
    def unknown(self) -> int:
        """Minutes before the process began."""
        known = [place for place, value in enumerate(self.values) if value is not None]
        return known[0] if known else len(self.values)


def facts(live: PageRuntime, now: int) -> dict[str, Any]:
    """All that the template shows. Raises StoreUnavailable."""
    store = live.store
    reports = live.current_reports()
    totals = store.totals()
    sources = list(source_rows(reports, totals, live, now))
    waiting = store.quarantine_count()
    counted = {source: one.messages for source, one in totals.items()}
    processes = [process_row(name, report) for name, report in sorted(reports.items())]
    viewers = sum(one.viewers for one in processes)
    worst_lag = max((one.lag for one in sources if one.lag is not None), default=None)
    present = Sample(now, counted, worst_lag or 0.0, viewers)
    return {
        "problems": problems(live, reports.values()),
        "sources": sources,
        "connected": sum(one.status == "connected" for one in sources),
        "worst_lag": worst_lag,
        "messages_waiting": sum(one.waiting or 0 for one in sources),
        "totals": sorted(totals.items()),
        "reasons": reasons(store.quarantined(limit=ROWS_SHOWN)),
        "quarantined": waiting,
        "processes": processes,
        "viewers": viewers,
        "lagging": sum(one.lagging for one in processes),
        "sizes": store.sizes(),
        "shares": [one for one in live.rights.shares.all() if one.expires_at > now],
        "spans": SPANS,
        "deeds": store.audit_rows(limit=DEEDS_SHOWN),
        "open_commands": store.open_commands(BACKLOGS_SHOWN),
        "limits": live.settings,
        "charts": [
            Chart("Messages", live.last_hour.messages_per_minute(present), "a minute"),
            Chart("Longest lag", live.last_hour.longest_lag(present), "s"),
            Chart("Viewers", live.last_hour.most_viewers(present)),
        ],
        "chart_height": CHART_HEIGHT,
    }


def problems(live: PageRuntime, reports: Iterable[Report]) -> list[Problem]:
    return merged([live.problems.current(), *(from_report(one) for one in reports)])


def source_rows(
    reports: Mapping[str, Report], totals: Mapping[str, Totals], live: PageRuntime, now: int
) -> Iterable[SourceRow]:
    """The sources that a process consumes, by name."""
    consumed = {
        source: (process, HEALTH | health)
        for process, report in reports.items()
        for source, health in report.get("sources", {}).items()
    }
    for name, (process, health) in sorted(consumed.items()):
        total = totals.get(name, Totals())
        # Without a message there is no lag to measure; where none waits, there is none.
        lag = 0.0 if health["lag"] is None and health["waiting"] == 0 else health["lag"]
        late = health["status"] == "connected" and lag is not None and lag >= LATE_AFTER
        yield SourceRow(
            name,
            "late" if late else MARKS.get(health["status"], "unknown"),
            health["status"],
            health["sentence"] or "",
            timestamps.parse_time(health["received_at"]) if health["received_at"] else None,
            health["waiting"],
            lag,
            live.last_hour.received_in_last_minute(name, total.messages, now),
            process_name(process, reports[process]),
            total,
        )


def process_name(key: str, report: Report) -> str:
    """What an operator finds in a list of processes; the key of one that does not say it."""
    return f"process {report['pid']}" if "pid" in report else f"process {key[:8]}"


def process_row(key: str, report: Report) -> Process:
    return Process(
        process_name(key, report),
        report.get("viewers", 0),
        report.get("lagging", 0),
        report.get("dropped_events", 0),
    )


def reasons(rows: Iterable[Quarantined]) -> list[Reason]:
    """The rows by their reason; the reason of the oldest message is first."""
    found: dict[str, list[QuarantinedMessage]] = {}
    for row in rows:
        found.setdefault(row.reason, []).append(
            QuarantinedMessage(
                row.number,
                row.source,
                row.id,
                row.at,
                row.attempts,
                row.body[:BODY_SHOWN].decode("utf-8", "replace"),
            )
        )
    return [Reason(text, messages) for text, messages in found.items()]


def act(live: PageRuntime, action: str, numbers: Sequence[str], by: Identity) -> dict[str, int]:
    """Replay or drop messages in quarantine; how many of them were, as ``outcome`` reads it.

    A message that is gone meanwhile is left out: another operator was faster. The audit says
    ``by`` whom it was done. Raises Malformed.
    """
    if action not in ("replay", "drop"):
        raise Malformed("A form of this page replays or drops messages.")
    counts = {"replayed": 0, "refused": 0, "dropped": 0, "gone": 0}
    for number in dict.fromkeys(numbers[:ROWS_SHOWN]):
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            continue
        try:
            counts[_act_on(live, action, int(number), by)] += 1
        except NotFound:
            counts["gone"] += 1
    return {name: count for name, count in counts.items() if count}


def share(live: PageRuntime, form: Mapping[str, str], by: Identity) -> tuple[str, str, int]:
    """Make a share link; its pattern, its token and its seconds. Raises Malformed."""
    pattern = form.get("pattern", "").strip()
    span = SPANS.get(form.get("expires", ""))
    if span is None:
        raise Malformed("Say how long the link holds, by the list of this page.")
    _, seconds = span
    return pattern, live.rights.shares.create(pattern, seconds, by=by.sender), seconds


def unshare(live: PageRuntime, id_: str, by: Identity) -> dict[str, int]:
    """Revoke a share link, as ``outcome`` reads it."""
    try:
        live.rights.shares.revoke(id_, by=by.sender)
    except NotFound:
        return {"absent": 1}
    return {"revoked": 1}


def _act_on(live: PageRuntime, action: str, number: int, by: Identity) -> str:
    audit = AuditEntry(by.sender, action, str(number))
    if action == "drop":
        live.store.drop(number, audit=audit)
        return "dropped"
    return "refused" if live.replay(number, audit) else "replayed"


OUTCOMES = {
    "replayed": "Replayed: {}.",
    "refused": "Refused again, now with the newest reason: {}.",
    "dropped": "Dropped: {}.",
    "gone": "Not in quarantine any more: {}.",
    "revoked": "The link is revoked; pages that show it end.",
    "absent": "There is no such link any more.",
}


def outcome(arguments: Mapping[str, str]) -> str:
    """What a form did, as a sentence; "" if none was sent."""
    return " ".join(
        sentence.format(arguments[name])
        for name, sentence in OUTCOMES.items()
        if re.fullmatch("[0-9]{1,3}", arguments.get(name, ""))
    )
