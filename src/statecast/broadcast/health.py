"""The ``health`` event: on important changes and as a heartbeat, to those that requested it.

Who may not read every device learns only of what concerns its own: the names of others' sources and
devices, and how much they send, are none of its business.

With protocol 2 an event says what changed since the one before, to those who got that one. Most of
what an idle page receives are these events.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from statecast import strict_json, timestamps
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.subscriber import Subscriber
from statecast.broadcast.subscriptions import Audience
from statecast.broadcast.watch_request import PATCHES

HEALTH_INTERVAL = 1.5
"""Seconds between two health events; a visible page expects an event every 2."""

PUBLIC_SUBJECTS = ("store", "clock")
"""Of problems that concern every device."""
NESTED = ("sources", "totals")
"""Members of a report that have an object per source."""
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
        self._said: dict[Audience | None, dict[str, Any]] = {}
        """What the last event said to each audience; None: those who read everything."""

    def update(self, report: dict[str, Any]) -> None:
        """Take over a report, and send it now if the status of a source or a problem changed."""
        before, self._report = self._report, report
        if urgent(report) != urgent(before):
            self.send()

    def beat(self, report: dict[str, Any]) -> None:
        """Send a report, whether or not it has changed."""
        self._report = report
        self.send()

    def send(self) -> None:
        """Send what is known now to all subscribers that can take it."""
        before, self._said = self._said, {}
        whole: dict[Audience | None, OutgoingMessage] = {}
        changes: dict[Audience | None, OutgoingMessage | None] = {}
        for subscriber in tuple(self.subscribers):
            if subscriber.paused:
                continue
            key = _key_of(subscriber)
            said = self._said_to(key)
            message = None
            if subscriber.audience.protocol == PATCHES and subscriber.heard is before.get(key, 0):
                if key not in changes:
                    changes[key] = self._changes(key, before[key], said)
                message = changes[key]
            if message is None:
                if key not in whole:
                    whole[key] = self._message(key, said)
                message = whole[key]
            subscriber.heard = said
            subscriber.viewer.deliver(message)

    def send_to(self, subscriber: Subscriber) -> None:
        """Send all of what was said last."""
        if subscriber in self.subscribers and not subscriber.paused:
            key = _key_of(subscriber)
            subscriber.heard = self._said_to(key)
            message = self._message(key, subscriber.heard)
            message.compressible = False  # no one else gets it
            subscriber.viewer.deliver(message)

    def _said_to(self, key: Audience | None) -> dict[str, Any]:
        """All that is known, or what concerns the devices of an audience."""
        if key not in self._said:
            report = self._report
            if key is not None:
                report = part_of(report, self._sources_of(key), key.matches)
            self._said[key] = report
        return self._said[key]

    def _message(self, key: Audience | None, said: Mapping[str, Any]) -> OutgoingMessage:
        content = {"now": timestamps.iso(self._clock()), **said}
        message = OutgoingMessage("health", strict_json.encode(content))
        message.compressible = key is None
        return message

    def _changes(
        self, key: Audience | None, before: Mapping[str, Any], now: Mapping[str, Any]
    ) -> OutgoingMessage | None:
        changed = changed_members(before, now)
        return None if changed is None else self._message(key, {"changed": changed})


def _key_of(subscriber: Subscriber) -> Audience | None:
    return None if subscriber.viewer.reader.reads_everything else subscriber.audience


def changed_members(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any] | None:
    """The members of a report that are not as before; None if one is missing now.

    Of each source those of its members; null for a source that is gone.
    """
    changed = _changed(before, now)
    if changed is None:
        return None
    for name in NESTED:
        if name not in before or name not in changed:
            continue
        old, new = before[name], now[name]
        sources = {source: _changed(old.get(source, {}), one) for source, one in new.items()}
        if None in sources.values():
            return None
        gone = dict.fromkeys(old.keys() - new.keys())
        said = {one: members for one, members in sources.items() if members or one not in old}
        changed[name] = said | gone
    return changed


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any] | None:
    if not before.keys() <= now.keys():
        return None
    return {key: value for key, value in now.items() if key not in before or before[key] != value}


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


def urgent(report: dict[str, Any]) -> tuple[Any, ...]:
    """The part of a report that is sent as soon as it changes; the rest waits for the heartbeat."""
    statuses = {
        name: (source["status"], source["sentence"])
        for name, source in report.get("sources", {}).items()
    }
    return statuses, report.get("problems")
