"""Who watches what, in all serving processes, and the ``watching`` event for viewers that ask.

Rule 1: a watch, another watch set or a leave only notes a difference. A tick works it off, soon
after the first one, then at most once a second: it adds up, passes what changed to the other
processes, and tells the viewers that ask.
Rule 2: the counts of another process are what it wrote last, until its parts are gone from the
store or its lock is free.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from statecast import strict_json
from statecast.broadcast.event_output import EventOutput
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.subscriber import Subscriber
from statecast.broadcast.subscriptions import EVERYTHING, Audience, Audiences, keys_of
from statecast.broadcast.watch_counts import KeyCounts, WatchCounts, part_of, total
from statecast.model import Watching
from statecast.stores.changes import WatchChanges

FIRST_TICK = 0.05
"""Seconds from a difference to the tick, when nothing has changed for a while."""
INTERVAL = 1.0
"""Seconds between two ticks."""
MAX_NOTED = 10_000
"""Keys of noted differences; beyond it they are added up at once, so that no tick takes long."""
TURN = 200
"""Audiences that are told in one turn of the loop."""
BETWEEN_TURNS = 0.02

Schedule = Callable[[float, Callable[[], None]], object]


class PartsToWrite:
    """The parts that the other processes do not have yet. Any thread."""

    def __init__(self) -> None:
        self._wake = threading.Event()
        """Set when some are there, and by ``wake``."""
        self.left_out: dict[int, int] = {}
        """How many keys a part leaves out."""
        self._parts: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def put(self, number: int, part: KeyCounts) -> None:
        data, left_out = part.encode()
        with self._lock:
            self._parts[number] = data
            self.left_out[number] = left_out
        self._wake.set()

    def wait(self, seconds: float) -> None:
        """Return when some are there, after ``wake``, or when ``seconds`` have passed."""
        self._wake.wait(seconds)
        self._wake.clear()

    def wake(self) -> None:
        """End the present wait; without one, the next."""
        self._wake.set()

    def take(self) -> dict[int, bytes]:
        """All of them, each as it is now."""
        with self._lock:
            taken, self._parts = self._parts, {}
            return taken

    def put_back(self, parts: Mapping[int, bytes]) -> None:
        """They could not be written. Newer ones stay."""
        with self._lock:
            self._parts = {**parts, **self._parts}


class Presence:
    """On the loop's thread only, but for ``to_write``."""

    def __init__(
        self, audiences: Audiences, process: str, schedule: Schedule, output: EventOutput
    ) -> None:
        """``process`` is the id of this one among those of the store."""
        self.to_write = PartsToWrite()
        self._output = output
        self._audiences = audiences
        self._process = process
        self._schedule = schedule
        self._own = WatchCounts()
        self._others: dict[str, WatchCounts] = {}
        self._noted: dict[tuple[Audience, str | None], int] = {}
        """Viewers that came or left since the counts were added up, by their names."""
        self._noted_keys = 0
        self._changed: set[str] = set()
        """Keys whose counts have changed since the last tick, in any process."""
        self._changed_here: set[str] = set()
        """Those of this process."""
        self._ticking = False
        self._askers: dict[Audience, set[Subscriber]] = {}
        self._new: set[Subscriber] = set()
        """Viewers that ask, and were told nothing since the last tick."""
        self._new_of: dict[Audience, set[Subscriber]] = {}
        """Those of the last tick, by audience: they are told of all their devices."""
        self._news: dict[Audience, set[str]] = {}
        """The devices of which an audience is still to be told."""
        self._telling = False
        """A further turn of the loop tells more."""

    # What viewers do

    def join(self, subscriber: Subscriber) -> None:
        """A viewer watches its audience's set from now on."""
        self._note(subscriber, 1)

    def leave(self, subscriber: Subscriber) -> None:
        """It does not any more."""
        self._note(subscriber, -1)
        self.stop_asking(subscriber)

    def rename(self, subscriber: Subscriber, name: str | None) -> None:
        self._note(subscriber, -1)
        subscriber.name = name
        self._note(subscriber, 1)

    def ask(self, subscriber: Subscriber) -> None:
        """Tell a viewer who watches the devices that it names, now and whenever that changes."""
        self._askers.setdefault(subscriber.audience, set()).add(subscriber)
        self.tell_all(subscriber)

    def is_asked_by(self, subscriber: Subscriber) -> bool:
        return subscriber in self._askers.get(subscriber.audience, ())

    def tell_all(self, subscriber: Subscriber) -> None:
        """Tell a viewer everything again that it asks for: it may have missed some."""
        if subscriber in self._askers.get(subscriber.audience, ()):
            self._new.add(subscriber)
            self._tick_soon()

    def stop_asking(self, subscriber: Subscriber) -> None:
        self._new.discard(subscriber)
        askers = self._askers.get(subscriber.audience)
        if askers is not None:
            askers.discard(subscriber)
            if not askers:
                del self._askers[subscriber.audience]

    def _note(self, subscriber: Subscriber, step: int) -> None:
        place = subscriber.audience, subscriber.name
        self._noted[place] = self._noted.get(place, 0) + step
        self._noted_keys += len(subscriber.audience.patterns)
        if self._noted_keys > MAX_NOTED:
            self._add_up()
        self._tick_soon()

    # What other processes do

    def take(self, changes: WatchChanges) -> None:
        """Take over what other processes have written."""
        for process in self._others.keys() - changes.processes:
            self.forget(process)
        for one in changes.parts:
            if one.process != self._process:
                counts = self._others.setdefault(one.process, WatchCounts())
                self._change(counts.replace(one.part, one.counts))
        if self._own.parts and self._process not in changes.processes:
            self.write_all()

    def forget(self, process: str) -> None:
        """A process has ended, and all its viewers with it."""
        counts = self._others.pop(process, None)
        if counts is not None:
            self._change(counts.keys())

    def write_all(self) -> None:
        """What this process wrote is gone, or is old: write everything again."""
        for number, part in self._own.parts.items():
            self.to_write.put(number, part)

    def _change(self, keys: Iterable[str]) -> None:
        self._changed.update(keys)
        if self._changed:
            self._tick_soon()

    # What is known

    def watching(self, device: str) -> Watching:
        """Who watches a device now, as far as this process knows."""
        return self.count(keys_of(device))

    def count(self, keys: Iterable[str]) -> Watching:
        self._add_up()
        return total((self._own, *self._others.values()), keys)

    def _add_up(self) -> None:
        """Work off the differences that were noted."""
        noted, self._noted, self._noted_keys = self._noted, {}, 0
        for (audience, name), number in noted.items():
            if number:
                for key in audience.disjoint_keys():
                    self.add(key, number, name)

    def add(self, key: str, number: int, name: str | None = None) -> None:
        """Count viewers of this process more or less."""
        self._own.add(key, number, name)
        self._changed_here.add(key)
        self._change((key,))

    # The tick

    def _tick_soon(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._schedule(FIRST_TICK, self._tick)

    def _tick(self) -> None:
        self._add_up()
        if not self._changed and not self._new:
            self._ticking = False
            return
        self._schedule(INTERVAL, self._tick)
        if self._changed_here:
            for number in {part_of(key) for key in self._changed_here}:
                self.to_write.put(number, self._own.parts[number])
            self._changed_here.clear()
        if self._askers:
            self._gather_news(self._changed)
        self._changed.clear()
        if not self._telling:
            self._tell()

    def _gather_news(self, keys: set[str]) -> None:
        """Note the devices whose counts depend on these keys, for those that ask for them."""
        wide = tuple(key for key in keys if key.endswith("/"))
        for key in keys:
            for audience in self._audiences.watching([key]):
                if audience in self._askers and key in audience.exact:
                    self._news.setdefault(audience, set()).add(key)
        for audience in self._askers if wide or EVERYTHING in keys else ():
            for device in audience.exact:
                if EVERYTHING in keys or device.startswith(wide):
                    self._news.setdefault(audience, set()).add(device)
        for subscriber in self._new:
            self._new_of.setdefault(subscriber.audience, set()).add(subscriber)
        self._new.clear()

    def _tell(self) -> None:
        """Tell some audiences their news; the others follow in the next turns of the loop."""
        for audience in [*self._new_of, *self._news][:TURN]:
            new = self._new_of.pop(audience, set())
            devices = self._news.pop(audience, set())
            askers = self._askers.get(audience, set())
            self._deliver(new & askers, audience.exact)
            self._deliver(askers - new, devices)
        self._telling = bool(self._new_of or self._news)
        if self._telling:
            self._schedule(BETWEEN_TURNS, self._tell)

    def _deliver(self, subscribers: Collection[Subscriber], devices: Collection[str]) -> None:
        if not subscribers or not devices:
            return
        message = self._message(devices)
        for subscriber in subscribers:
            if not subscriber.paused:  # else it is told everything when it goes on
                self._output.to_one(subscriber.viewer, message)

    def _message(self, devices: Iterable[str]) -> OutgoingMessage:
        told = [to_reader(device, self.watching(device)) for device in sorted(devices)]
        return OutgoingMessage("watching", strict_json.encode(told))


def to_reader(device: str, watching: Watching) -> dict[str, Any]:
    """As viewers and REST get it."""
    return {"device": device, "count": watching.count, "names": list(watching.names)}
