"""The ``health`` event: on important changes and as a heartbeat, to those that requested it.

Who may not read every device learns only of what concerns its own: the names of others' sources and
devices, and how much they send, are none of its business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from statecast import strict_json, timestamps
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.subscriber import Subscriber
from statecast.broadcast.subscriptions import Audience

HEALTH_INTERVAL = 1.5
"""Seconds between two health events; a visible page expects an event every 2."""

PUBLIC_SUBJECTS = ("store", "clock")
"""Of problems that concern every device."""
OF_SOURCE = ("status", "since", "received_at", "sentence")
"""What a reader of some devices learns of their sources: not how much waits for others."""


class HealthFeed:
    """The newest report of the sources, and the subscribers of it."""

    def __init__(
        self, clock: Callable[[], int], sources_of: Callable[[Audience], Collection[str | None]]
    ) -> None:
        """``sources_of``: through which the devices of an audience report."""
        self._sources_of = sources_of
        self.subscribers: set[Subscriber] = set()
        self._clock = clock
        self._report: dict[str, Any] = {}

    def update(self, report: dict[str, Any]) -> None:
        """Take over a report, and send it now if the status of a source or a problem changed."""
        before, self._report = self._report, report
        if _urgent(report) != _urgent(before):
            self.send()

    def beat(self, report: dict[str, Any]) -> None:
        """Send a report, whether or not it has changed."""
        self._report = report
        self.send()

    def send(self) -> None:
        messages: dict[Audience | None, OutgoingMessage] = {}
        for subscriber in tuple(self.subscribers):
            if not subscriber.paused:
                key = None if subscriber.viewer.reader.reads_everything else subscriber.audience
                if key not in messages:
                    messages[key] = self._message(key)
                    messages[key].compressible = key is None
                subscriber.viewer.deliver(messages[key])

    def send_to(self, subscriber: Subscriber) -> None:
        if subscriber in self.subscribers and not subscriber.paused:
            whole = subscriber.viewer.reader.reads_everything
            subscriber.viewer.deliver(self._message(None if whole else subscriber.audience))

    def _message(self, audience: Audience | None) -> OutgoingMessage:
        """All that is known, or what concerns the devices of an audience."""
        report = self._report
        if audience is not None:
            report = part_of(report, self._sources_of(audience), audience.matches)
        content = {"now": timestamps.iso(self._clock()), **report}
        return OutgoingMessage("health", strict_json.encode(content))


def part_of(
    report: dict[str, Any], sources: Collection[str | None], reads: Callable[[str], bool]
) -> dict[str, Any]:
    """What a report says of these sources, and of the devices that its reader may see."""

    def concerns(subject: str) -> bool:
        kind, _, name = subject.partition(" ")
        if kind == "device":
            return reads(name)
        return name in sources if kind == "source" else subject in PUBLIC_SUBJECTS

    part = {key: report[key] for key in ("version",) if key in report}
    part["sources"] = {
        name: {key: health[key] for key in OF_SOURCE if key in health}
        for name, health in report.get("sources", {}).items()
        if name in sources
    }
    part["problems"] = [one for one in report.get("problems", ()) if concerns(one["subject"])]
    return part


def _urgent(report: dict[str, Any]) -> tuple[Any, ...]:
    """The part of a report that is sent as soon as it changes; the rest waits for the heartbeat."""
    statuses = {
        name: (source["status"], source["sentence"])
        for name, source in report.get("sources", {}).items()
    }
    return statuses, report.get("problems")
