"""The ids of messages and events that were committed, in dicts; oldest first."""

from __future__ import annotations

from collections.abc import Iterable

from statecast.stores.retention import CONFIRMED_IDS_MS, EVENT_IDS_MS, MAX_IDS

EventId = tuple[str, str]
"""Device, and key of the event."""


class KnownIds:
    """The message ids of one source."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._forget_at: dict[str, int] = {}
        """Ids whose deletion the queue has confirmed, and when each is forgotten, in ms."""

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that were committed before."""
        return set(ids) & self._ids.keys()

    def add(self, ids: Iterable[str]) -> None:
        self._ids.update(dict.fromkeys(ids))

    def confirm(self, ids: Iterable[str], now: int) -> None:
        for id_ in ids:
            if id_ in self._ids:
                self._forget_at.setdefault(id_, now + CONFIRMED_IDS_MS)

    def trim(self, now: int) -> None:
        for id_, forget_at in list(self._forget_at.items()):
            if forget_at > now:
                break
            del self._forget_at[id_], self._ids[id_]
        while len(self._ids) > MAX_IDS:
            oldest = next(iter(self._ids))
            del self._ids[oldest]
            self._forget_at.pop(oldest, None)


class KnownEvents:
    """The ids of events of all sources, and when each was committed, in ms."""

    def __init__(self) -> None:
        self._at: dict[EventId, int] = {}

    def known(self, events: Iterable[EventId]) -> set[EventId]:
        """Those of the events that were committed before."""
        return {event for event in events if event in self._at}

    def add(self, events: Iterable[EventId], now: int) -> None:
        self._at.update(dict.fromkeys(events, now))

    def forget_device(self, device: str) -> int:
        found = [event for event in self._at if event[0] == device]
        for event in found:
            del self._at[event]
        return len(found)

    def trim(self, now: int) -> None:
        for event, at in list(self._at.items()):
            if at >= now - EVENT_IDS_MS and len(self._at) <= MAX_IDS:
                break
            del self._at[event]
