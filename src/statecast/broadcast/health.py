"""The ``health`` event: on important changes and as a heartbeat, to those that requested it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from statecast import strict_json, timestamps
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.subscriber import Subscriber

HEALTH_INTERVAL = 1.5
"""Seconds between two health events; a visible page expects an event every 2."""


class HealthFeed:
    """The newest report of the sources, and the subscribers of it."""

    def __init__(self, clock: Callable[[], int]) -> None:
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
        message = self._message()
        for subscriber in tuple(self.subscribers):
            if not subscriber.paused:
                subscriber.viewer.deliver(message)

    def send_to(self, subscriber: Subscriber) -> None:
        if subscriber in self.subscribers and not subscriber.paused:
            subscriber.viewer.deliver(self._message())

    def _message(self) -> OutgoingMessage:
        content = {"now": timestamps.iso(self._clock()), **self._report}
        return OutgoingMessage("health", strict_json.encode(content))


def _urgent(report: dict[str, Any]) -> tuple[Any, ...]:
    """The part of a report that is sent as soon as it changes; the rest waits for the heartbeat."""
    statuses = {
        name: (source["status"], source["sentence"])
        for name, source in report.get("sources", {}).items()
    }
    return statuses, report.get("problems")
