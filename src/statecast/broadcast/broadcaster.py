"""Step 5, broadcast: what changed, to which audience.

Rule 1: everything is told from what is committed. A thread (``follower.py``) asks the store "what changed since my
place?" and hands the answer to the event loop, where the latest state of every device is kept, ordered by offset.
Rule 2: a viewer is a place. Whoever has everything up to the head gets each tick's frame; whoever has not is answered
from memory, from its place, and joins the others at the head. Nothing is queued for anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from statecast import strict_json, timestamps
from statecast.broadcast import encoding
from statecast.broadcast.change_feed import ChangeFeed
from statecast.broadcast.subscriptions import (
    Audience,
    Audiences,
    OutgoingMessage,
    Recipient,
    WatchRequest,
)
from statecast.model import Event, Position, Update
from statecast.settings import Settings
from statecast.stores.contract import Changes, EpochHistory, Store

BEAT = 1.5
"""Seconds between two health events; a visible page expects a frame every 2."""
SEEN_EVERY = 1.0
MOST_ANSWERS = 16
"""Catch-up slices an audience remembers until the next change or beat: a storm of returning viewers shares them."""


class Entry:
    """The latest update of a device and its encoding."""

    __slots__ = ("_item", "_settings", "heard", "timed", "update")

    def __init__(self, update: Update, settings: Settings) -> None:
        self.update = update
        self.heard = 0
        """The number of its latest sign of life that made no version."""
        self.timed = settings.deadline(update) is not None
        self._settings = settings
        self._item: bytes | None = None

    def item(self) -> bytes:
        if self._item is None:
            self._item = encoding.item(self.update, self._settings)
        return self._item

    def hear(self, seen_at: int, number: int) -> None:
        self.heard = number
        self.update = replace(self.update, seen_at=seen_at)
        self._item = None


class Subscriber:
    """One viewer's standing: its audience, its place while it is behind, what its next piece must say."""

    __slots__ = (
        "audience",
        "blank",
        "complete",
        "had",
        "heard",
        "paused",
        "position",
        "reset",
        "viewer",
    )

    def __init__(self, viewer: Recipient, audience: Audience, heard: int) -> None:
        self.viewer = viewer
        self.audience = audience
        self.position = 0
        self.blank = True
        """It has nothing yet, so nothing that was removed."""
        self.had: tuple[Audience, int] | None = None
        """Up to which offset it has what another audience watches, while it catches up with its own."""
        self.paused = False
        self.reset = False
        self.complete = False
        self.heard = heard
        """It knows all signs of life up to this number."""


class Broadcaster:
    """Tells the viewers of one process. All methods but ``start`` and ``stop`` run on the event loop."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        report: Callable[[], dict[str, Any]] = dict,
        clock: Callable[[], int],
    ) -> None:
        self.store = store
        self.settings = settings
        self.report = report
        self.clock = clock
        self.latest: dict[str, Entry] = {}
        self.members: dict[Recipient, Subscriber] = {}
        self.audiences = Audiences()
        self.listeners: set[Subscriber] = set()
        self.position = Position("", 0)
        self._reached = 0
        self._epoch_history = EpochHistory((), 0, 0)
        self._health: dict[str, Any] = {}
        self._heard: set[str] = set()
        self._hears = self._told_hears = 0
        self._tellers: list[Callable[[Event], None]] = []

    # The life of it

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read every state, then follow the store from a thread. Raises StoreUnavailable."""
        self.loop = loop
        self._follower = ChangeFeed(self.store, loop, self.report, self)
        self._follower.start()
        self._beat_timer = loop.call_later(BEAT, self._beat)

    def stop(self) -> None:
        self._beat_timer.cancel()
        self._follower.stop()

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Have application events from the store told by ``teller``."""
        self._tellers.append(listener)

    # What arrives is told

    def arrive(
        self, news: Changes, epoch_history: EpochHistory | None, report: dict[str, Any], anew: bool
    ) -> None:
        if epoch_history is not None:
            self._epoch_history = epoch_history
            self.audiences.forget_answers()  # they name the epoch before
            self._forget(epoch_history.forgotten)
        if anew:
            self._begin_anew()
        self.position = news.position
        for update in news.updates:
            self.latest.pop(update.device, None)
            self.latest[update.device] = Entry(update, self.settings)
        self._hear(news)
        self._tick([update.device for update in news.updates])
        for event in news.events:
            for tell in self._tellers:
                tell(event)
        before, self._health = self._health, report
        if _verdicts(report) != _verdicts(before):
            self._tell_health()

    def _tick(self, changed: list[str]) -> None:
        head = self.position.offset
        for audience, devices in self.audiences.concerned(changed).items():
            entries = [self.latest[device] for device in devices]
            while entries and audience.current:
                message, entries = self._cut(entries, head)
                self._reached = message.position
                for viewer in tuple(audience.current):
                    viewer.deliver(message)
        self._reached = head

    def _cut(
        self, entries: list[Entry], head: int, reset: bool = False, complete: bool = False
    ) -> tuple[OutgoingMessage, list[Entry]]:
        """The first piece of ``entries`` and the rest. The last piece carries the head as its place."""
        items: list[bytes] = []
        size = 0
        for entry in entries:
            item = entry.item()
            if items and size + len(item) > self.settings.max_states_bytes:
                break
            items.append(item)
            size += len(item)
        rest = entries[len(items) :]
        position = entries[len(items) - 1].update.offset if rest else head
        payload = encoding.states(
            self.position.epoch, position, items, reset=reset, complete=complete and not rest
        )
        return OutgoingMessage("states", payload, position), rest

    def _forget(self, forgotten: int) -> None:
        """Removals that the store has forgotten need not be kept here; who has not heard of them begins anew."""
        for device, entry in list(self.latest.items()):
            if entry.update.offset > forgotten:
                break
            if entry.update.state is None:
                del self.latest[device]
                self._heard.discard(device)
        for member in self.members.values():
            behind = member.viewer not in member.audience.current and member.position < forgotten
            if behind and not member.blank:
                self._reset(member)

    def _begin_anew(self) -> None:
        """The store was set back: what we remember may never have happened."""
        self.latest.clear()
        self._heard.clear()
        for member in self.members.values():
            self._reset(member)

    def _reset(self, member: Subscriber) -> None:
        member.audience.current.discard(member.viewer)
        member.position, member.had, member.complete = 0, None, True
        member.reset = member.blank = True
        self.loop.call_soon(self._catch_up, member)

    # Viewers

    def watch(self, viewer: Recipient, request: Any) -> dict[str, Any]:
        """Begin or replace what ``viewer`` watches; the states follow. Raises Refused."""
        wish = WatchRequest.parse(request, self.settings.watch_patterns)
        audience = self.audiences.join(wish.patterns)
        member = self.members.get(viewer)
        if member is None:
            member = self.members[viewer] = Subscriber(viewer, audience, self._hears)
            if wish.since is not None:
                self._believe(member, wish.since)
        else:  # its place is one of the list before; what it has of the new one is known here
            self._change_audience(member, audience)
        member.complete = True
        (self.listeners.add if wish.health else self.listeners.discard)(member)
        self.loop.call_soon(self._catch_up, member)
        if wish.health:
            self.loop.call_soon(self._greet, member)
        return {"epoch": self.position.epoch, "offset": member.position, "reset": member.reset}

    def _believe(self, member: Subscriber, since: Position) -> None:
        """A returning viewer goes on where it was, if that is a place of this history.

        At offset 0 may be who was cut between two lists and holds states of the first: in an older epoch it is not
        known whether those ever were.
        """
        good = self._epoch_history.is_valid(since, self.position.offset) and (
            since.offset or since.epoch == self.position.epoch
        )
        member.position, member.heard = (since.offset, -1) if good else (0, self._hears)
        member.reset = member.blank = not good

    def _change_audience(self, member: Subscriber, audience: Audience) -> None:
        """What the old audience gave need not be told again to the new one."""
        old = member.audience
        if member.viewer in old.current:
            member.heard = max(member.heard, self._told_hears)
            member.position = self.position.offset
        if audience is old:
            self.audiences.leave(old, member.viewer)
            return
        if member.viewer in old.current:
            member.had = (old, self.position.offset)
        elif member.had is not None or member.reset:
            member.had = None  # it is between two lists already: it gets all of the third
        else:
            member.had = (old, member.position)
        self.audiences.leave(old, member.viewer)
        member.audience, member.position = audience, 0

    def leave(self, viewer: Recipient) -> None:
        member = self.members.pop(viewer, None)
        if member is not None:
            self.audiences.leave(member.audience, viewer)
            self.listeners.discard(member)

    def pause(self, viewer: Recipient) -> None:
        """Its transport holds more than its bound: from now on it costs its place."""
        member = self.members.get(viewer)
        if member is None:
            return
        member.paused = True
        if viewer in member.audience.current:
            member.heard = max(member.heard, self._told_hears)
            member.audience.current.discard(viewer)
            member.position = self._reached

    def resume(self, viewer: Recipient) -> None:
        """Its transport drained: it gets the newest of everything it missed."""
        member = self.members.get(viewer)
        if member is not None and member.paused:
            member.paused = False
            self._catch_up(member)

    def _catch_up(self, member: Subscriber) -> None:
        if (
            self.members.get(member.viewer) is not member
            or member.viewer in member.audience.current
        ):
            return
        while not member.paused:
            if member.position >= self.position.offset and not member.complete:
                member.had = None
                member.audience.current.add(member.viewer)
                self._refresh_seen(member)
                return
            message = self._answer(member)
            # Before it is delivered, for delivering may pause the viewer.
            last = message.position >= self.position.offset
            member.position, member.complete = message.position, member.complete and not last
            member.reset = member.blank = False
            member.viewer.deliver(message)

    def _answer(self, member: Subscriber) -> OutgoingMessage:
        """The next piece for a viewer's place; viewers of one audience and place share it."""
        audience, head = member.audience, self.position.offset
        if audience.answers_head != head:
            audience.answers.clear()
            audience.answers_head = head
        key = (member.position, member.blank, member.reset, member.complete)
        message = audience.answers.get(key) if member.had is None else None
        if message is None:
            message, _ = self._cut(self._missed(member), head, member.reset, member.complete)
            if member.had is None and audience.size > 1 and len(audience.answers) < MOST_ANSWERS:
                audience.answers[key] = message
        return message

    def _missed(self, member: Subscriber) -> list[Entry]:
        """The entries above a viewer's place, ascending."""
        missed = []
        had, known = member.had or (None, 0)
        for entry in self._newest_first(member.audience):
            update = entry.update
            if update.offset <= member.position:
                break
            if member.blank and update.state is None:
                continue
            if had is None or update.offset > known or not had.matches(update.device):
                missed.append(entry)
        missed.reverse()
        return missed

    def _newest_first(self, audience: Audience) -> Iterable[Entry]:
        """The entries that concern an audience; one that names its devices is not searched among all."""
        if audience.wide:
            return (
                entry for device, entry in reversed(self.latest.items()) if audience.matches(device)
            )
        named = (self.latest[device] for device in audience.exact if device in self.latest)
        return sorted(named, key=lambda entry: entry.update.offset, reverse=True)

    # Signs of life and health

    def _hear(self, news: Changes) -> None:
        for device, seen_at in news.seen.items():
            entry = self.latest.get(device)
            if entry is None or entry.update.seen_at == seen_at:
                continue
            self._hears += 1
            entry.hear(seen_at, self._hears)
            for audience in self.audiences.concerned([device]):
                audience.answers.clear()  # they carry the time before
            if entry.timed:
                if not self._heard:
                    self.loop.call_later(SEEN_EVERY, self._tell_seen)
                self._heard.add(device)

    def _tell_seen(self) -> None:
        heard, self._heard = self._heard, set()
        self._told_hears = self._hears
        for audience, devices in self.audiences.concerned(list(heard)).items():
            message = OutgoingMessage(
                "seen", encoding.seen({device: self._seen_at(device) for device in devices})
            )
            for viewer in tuple(audience.current):
                viewer.deliver(message)

    def _seen_at(self, device: str) -> int:
        """The newest: what was noted a second ago may have been overtaken by a state."""
        return self.latest[device].update.seen_at or 0

    def _refresh_seen(self, member: Subscriber) -> None:
        """Who was away missed signs of life that made no version: without them a device would look silent."""
        known, member.heard = member.heard, self._hears
        if known == self._hears:
            return
        audience, key = member.audience, (known, self._hears, self.position.offset)
        if audience.missed_seen is None or audience.missed_seen[0] != key:
            audience.missed_seen = key, self._missed_seen(audience, known)
        message = audience.missed_seen[1]
        if message is not None:
            member.viewer.deliver(message)

    def _missed_seen(self, audience: Audience, known: int) -> OutgoingMessage | None:
        times = {
            entry.update.device: entry.update.seen_at
            for entry in self._newest_first(audience)
            if entry.heard > known and entry.timed and entry.update.seen_at
        }
        return OutgoingMessage("seen", encoding.seen(times)) if times else None

    def _beat(self) -> None:
        self._beat_timer = self.loop.call_later(BEAT, self._beat)
        self.audiences.forget_answers()
        self._tell_health()

    def _tell_health(self) -> None:
        message = self._health_slice()
        for member in tuple(self.listeners):
            if not member.paused:
                member.viewer.deliver(message)

    def _greet(self, member: Subscriber) -> None:
        if member in self.listeners and not member.paused:
            member.viewer.deliver(self._health_slice())

    def _health_slice(self) -> OutgoingMessage:
        return OutgoingMessage(
            "health", strict_json.encode({"now": timestamps.iso(self.clock()), **self._health})
        )


def _verdicts(report: dict[str, Any]) -> dict[str, Any]:
    """The part of a health report whose change is told at once; the rest waits for the beat."""
    return {
        name: (source["status"], source["sentence"])
        for name, source in report.get("sources", {}).items()
    }
