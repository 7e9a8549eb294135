"""Step 5, broadcast: every viewer receives what changes among the devices that it watches.

Rule 1: only what is committed is sent. A thread (``change_feed``) reads from the store what has
changed, and passes it to the event loop, where ``latest_states`` has every device.
Rule 2: viewers that are up to date receive each tick's message. Viewers that lag are served from
memory, starting at their position, until they have caught up.
Rule 3: a viewer learns nothing of a device that it may not read. The devices that it asks for are
narrowed once, in ``watch``; all else goes by the audience that results.
Rule 4: rights that changed take effect before the states of the same snapshot (``regrant``).
Rule 5: nothing is queued for a viewer. A slow viewer costs its position, one integer: when its
transport has drained, it receives the newest state of each device that changed meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from statecast.access import patterns as sets
from statecast.access.patterns import Patterns
from statecast.access.records import AccessRecord
from statecast.broadcast import encoding
from statecast.broadcast.catch_up_messages import CatchUpMessages
from statecast.broadcast.change_feed import ChangeFeed
from statecast.broadcast.command_feed import CommandFeed
from statecast.broadcast.compressor import CatchUp, Compressor
from statecast.broadcast.event_output import EventOutput
from statecast.broadcast.health import HEALTH_INTERVAL, HealthFeed
from statecast.broadcast.latest_states import Entry, LatestStates
from statecast.broadcast.long_tick import LongTick
from statecast.broadcast.loop_delay import LoopDelay
from statecast.broadcast.outgoing_message import OutgoingMessage, Recipient
from statecast.broadcast.presence import Presence
from statecast.broadcast.progress import Progress
from statecast.broadcast.sighting_feed import SightingFeed
from statecast.broadcast.state_patches import StatePatches
from statecast.broadcast.subscriber import Subscriber
from statecast.broadcast.subscriptions import Audience, Audiences
from statecast.broadcast.watch_counts import room_key
from statecast.broadcast.watch_request import PATCHES, WatchRequest
from statecast.commands.life import Command
from statecast.errors import Forbidden
from statecast.model import Event, Position, Watching
from statecast.settings import Settings
from statecast.stores.changes import Changes
from statecast.stores.contract import Store
from statecast.stores.epoch_history import EpochHistory

LEAST_CACHED = 1_000
"""Bytes of a message for viewers that lag that is worth compressing for those that share it."""
FAR_BEHIND = 32
"""Offsets by which a viewer lags that probably gets a long message."""
TURN_SECONDS = 0.005
"""For how long one turn of the loop sends to viewers that lag. The last message of it may exceed
that by the encoding of ``max_states_bytes``, which does not include their compression."""
LONGEST_GONE = 256
"""Bytes of an entry of a device that may be read no longer."""
AccessListener = Callable[[Sequence[AccessRecord], bool], None]
NOTHING_READABLE = (
    "You may see none of the devices that this asks for; sign in as somebody who may, or ask an "
    "operator for the right to read them."
)
"""Whether they exist or not."""


class Broadcaster:
    """Sends to the viewers of one process.

    Every method runs on the event loop, except ``start`` and ``stop``. ``report`` gives the content
    of ``health`` events, ``clock`` the time in ms.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        report: Callable[[], dict[str, Any]] = dict,
        clock: Callable[[], int],
        origin: str = "",
    ) -> None:
        """``origin`` is what events of this process name as theirs."""
        self.store = store
        self._origin = origin or None
        self.settings = settings
        self.report = report
        self.states = LatestStates(settings)
        self.subscribers: dict[Recipient, Subscriber] = {}
        self.audiences = Audiences()
        self._early: list[tuple[float, Callable[[], None]]] = []
        """Calls from before the start."""
        self.output = EventOutput(lambda: self.has_rules())
        self.presence = Presence(self.audiences, origin, self._call_later, self.output)
        self.has_rules: Callable[[], bool] = lambda: False
        """Whether somebody who may read here may read less than everything."""
        self.health = HealthFeed(clock, self._sources_of)
        self._clock = clock
        self._beat_at = 0
        """When the last beat was, in ms; a later beat with an earlier time shows a clock set back.
        """
        self.position = Position("", 0)
        """Up to where everything that was committed is in ``states``."""
        self._sent_states = Progress()
        """Offsets."""
        self._epoch_history = EpochHistory((), 0, 0)
        self.sightings = SightingFeed(self.states, self.audiences, self.output, self._call_later)
        self.commands = CommandFeed(self.audiences, self.output, settings.max_states_bytes)
        self._unjudged: dict[Subscriber, int] = {}
        """Viewers with a position that is not known here, with their question to the feed."""
        self._lagging: dict[Subscriber, CatchUp | None] = {}
        """Viewers that get a message in the next turns; some have one that was compressed."""
        self._catch_up_messages = CatchUpMessages()
        self._compressor = Compressor(self._on_compressed)
        self._turn_begun = False
        """A turn is scheduled."""
        self._event_listeners: list[Callable[[Event], None]] = []
        self._access_listeners: list[AccessListener] = []
        self._long_tick: LongTick | None = None
        """The tick whose messages a thread compresses, until it is delivered."""
        self._ticks = 0
        """Reads of changes that were sent."""
        self._requested_resets = 0
        """Times that a viewer had lost what it had; more than none is a defect, here or there."""
        self._loop_delay = LoopDelay()

    @property
    def lagging(self) -> int:
        """Viewers that do not have everything yet. Any thread; the number may be a moment old."""
        return max(0, len(self.subscribers) - self.audiences.up_to_date)

    @property
    def sent_bytes(self) -> int:
        """Of events to viewers, before framing. Any thread."""
        return self.output.sent_bytes

    @property
    def resumed_at(self) -> float:
        """When the process last went on after it did not run (monotonic). Any thread."""
        return self._loop_delay.resumed_at

    def counts(self) -> dict[str, float]:
        """What it has done since its start. Any thread."""
        return {
            "ticks": self._ticks,
            "requested_resets": self._requested_resets,
            "loop_delay": round(self._loop_delay.longest, 4),
        }

    # Start and stop

    def start(self, loop: asyncio.AbstractEventLoop, *, follow: bool = True) -> None:
        """Read every state, then follow the store in a thread. Raises StoreUnavailable.

        Without ``follow``, for tests, there is no thread, and ``read_changes`` is called instead.
        """
        self.loop = loop
        for seconds, call in self._early:
            loop.call_later(seconds, call)
        self._early.clear()
        self._change_feed = ChangeFeed(self.store, loop, self._report_for_viewers, self)
        if follow:
            self._change_feed.start()
            self._loop_delay.start(loop)
        else:
            self.read_changes()
        self.commands.begin(self.store)
        self._heartbeat_timer = loop.call_later(HEALTH_INTERVAL, self._heartbeat)

    def read_changes(self) -> None:
        """Read what has changed, and send it, on the thread of the loop."""
        self._change_feed.read_once()

    def stop(self) -> None:
        self._heartbeat_timer.cancel()
        self._loop_delay.stop()
        self._compressor.stop()
        self._change_feed.stop()

    def _call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """A viewer may enter a room before the start: what that calls for follows the start."""
        if hasattr(self, "loop"):
            self.loop.call_later(seconds, call)
        else:
            self._early.append((seconds, call))

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Call ``listener`` for each application event of the store."""
        self._event_listeners.append(listener)

    def on_command(self, listener: Callable[[Command], None]) -> None:
        """Call ``listener`` for each change of a command in the store."""
        self.commands.listeners.append(listener)

    def on_access(self, listener: AccessListener) -> None:
        """Call ``listener`` before states are sent, and with each beat.

        It gets the records that changed, and whether they are all that there are.
        """
        self._access_listeners.append(listener)

    def _report_for_viewers(self) -> dict[str, Any]:
        """The report if a viewer asks for it, else nothing. Any thread."""
        return self.report() if self.health.subscribers else {}

    def _heartbeat(self) -> None:
        self._heartbeat_timer = self.loop.call_later(HEALTH_INTERVAL, self._heartbeat)
        self._apply_access((), False)
        now = self._clock()
        if now < self._beat_at:
            self.states.take_back(now)
        self._beat_at = now
        self._forget_messages()
        if self.health.subscribers:
            self.health.beat(self.report())

    # Changes

    def prepare(self, changes: Changes) -> Callable[[], None] | None:
        """What a thread can do for changes before they are delivered; see ``ChangeListener``."""
        changed = [update.device for update in changes.updates]
        compressing = [
            (audience, devices, compressions)
            for audience, devices in self.audiences.watching(changed).items()
            if (compressions := audience.current.compressions())
            and self.output.compresses(audience, devices)
        ]
        if not compressing:
            return None
        entries, replaced = self.states.preview(changes.updates)
        tick = LongTick(changes, StatePatches(replaced, self.settings))
        for audience, devices, compressions in compressing:
            rest, named_epoch = [entries[device] for device in devices], audience.named_epoch
            while rest:
                message, rest = self._tick_message(
                    audience, rest, tick.patches, changes.position, named_epoch
                )
                named_epoch = changes.position.epoch
                message.compressible = True
                tick.expect(audience, message, compressions)
        self._long_tick = tick
        return tick.compress

    def on_changes(
        self,
        changes: Changes,
        epoch_history: EpochHistory | None,
        report: dict[str, Any],
        reset: bool,
    ) -> None:
        """Take over and send what the change feed has read; see ``ChangeListener``."""
        if epoch_history is not None:
            self._take_over_history(epoch_history)
        if reset:
            self._start_over()
        self._apply_access(changes.access, reset)
        if changes.watch is not None:
            self.presence.take(changes.watch)
        self.position = changes.position
        replaced = self.states.update(changes.updates)
        self.sightings.note(changes.seen)
        tick = self._long_tick
        if tick is not None and (reset or tick.changes is not changes):
            tick = self._long_tick = None
        patches = StatePatches(replaced, self.settings) if tick is None else tick.patches
        self._send_states([update.device for update in changes.updates], patches)
        self._long_tick = None
        for event in changes.events:
            if event.origin != self._origin:  # else our viewers have it since it was emitted
                for listener in self._event_listeners:
                    listener(event)
        if changes.commands:
            self.commands.send(changes.commands)
        if report:
            self.health.update(report)

    def _take_over_history(self, epoch_history: EpochHistory) -> None:
        """It also comes as it was, as often as viewers ask by a position that is not known."""
        before, self._epoch_history = self._epoch_history, epoch_history
        if epoch_history.epochs != before.epochs:
            self._forget_messages()  # they name the epoch before
        if epoch_history.forgotten != before.forgotten:
            self._forget_removed(epoch_history.forgotten)

    def on_confirmed(self, asked: int) -> None:
        """Judge the positions that were not known here; see ``ChangeListener``."""
        for subscriber in [one for one, number in self._unjudged.items() if number <= asked]:
            del self._unjudged[subscriber]
            if (since := subscriber.since) is not None:
                subscriber.since = None
                valid = self._epoch_history.judge(since, self.position.offset)
                self._resume_at(subscriber, since, valid=valid is True)
                self._catch_up(subscriber)

    def _forget_messages(self) -> None:
        """Make no more use of messages for viewers that lag: they are out of date."""
        self.audiences.forget_messages()
        self._catch_up_messages.clear()
        self._compressor.forget_messages()
        self._lagging = dict.fromkeys(self._lagging)

    def _apply_access(self, records: Sequence[AccessRecord], reset: bool) -> None:
        for listener in self._access_listeners:
            listener(records, reset)

    def _forget_removed(self, forgotten: int) -> None:
        """Drop the removed devices that the store has forgotten.

        A viewer that does not have such a removal yet gets everything again.
        """
        self._forget_messages()  # they may name what was removed then
        self.sightings.forget(self.states.forget_removed(forgotten))
        for subscriber in self.subscribers.values():
            lags = not subscriber.up_to_date and subscriber.position < forgotten
            if lags and not subscriber.empty:
                self._start_subscriber_over(subscriber)

    def _start_over(self) -> None:
        """The store was set back: what is here may never have been committed."""
        self.states.clear()
        self._forget_messages()
        self.sightings.start_over()
        self.commands.start_over()
        self.audiences.forget_sources()
        self.presence.write_all()
        for subscriber in self.subscribers.values():
            self._start_subscriber_over(subscriber)

    def _start_subscriber_over(self, subscriber: Subscriber) -> None:
        subscriber.start_over()
        self._catch_up(subscriber)

    def _send_states(self, changed: list[str], patches: StatePatches) -> None:
        """Send changed devices to all up-to-date viewers that watch them."""
        self._ticks += bool(changed)
        head = self.position.offset
        entries = self.states.entries
        for audience, devices in self.audiences.watching(changed).items():
            if audience.sources is not None:
                audience.sources.update(entries[device].source for device in devices)
            if audience.current.size:
                self._send_changed(audience, devices, patches)
        self._sent_states.end(head)

    def _send_changed(
        self, audience: Audience, devices: Sequence[str], patches: StatePatches
    ) -> None:
        """Send changed devices to the up-to-date viewers of an audience."""
        position = self.position
        known = self.states.entries
        entries = [known[device] for device in devices]
        compressible = self.output.compresses(audience, devices)
        while entries and audience.current.size:
            message, entries = self._tick_message(
                audience, entries, patches, position, audience.named_epoch
            )
            audience.named_epoch = position.epoch
            message.compressible = compressible
            if self._long_tick is not None:
                message = self._long_tick.ready(audience, message)
            self._sent_states.serve(audience, message.position)
            self.output.to_current(audience, message)

    def _tick_message(
        self,
        audience: Audience,
        entries: list[Entry],
        patches: StatePatches,
        position: Position,
        named_epoch: str,
    ) -> tuple[OutgoingMessage, list[Entry]]:
        """The next message for viewers at the head, and the entries that do not fit into it.

        They know the epoch and the scope, unless the epoch is new.
        """
        sends_patches = audience.protocol == PATCHES
        item_of = patches.item if sends_patches else patches.full_item
        named = not sends_patches or named_epoch != position.epoch
        return self._states_message(audience, entries, position, item_of=item_of, named=named)

    def _sources_of(self, audience: Audience) -> set[str | None]:
        if audience.sources is None:
            audience.sources = self.states.sources(audience)
        return audience.sources

    def _states_message(
        self,
        audience: Audience,
        entries: list[Entry],
        head: Position,
        reset: bool = False,
        complete: bool = False,
        *,
        item_of: Callable[[Entry], bytes] = Entry.item,
        named: bool = True,
    ) -> tuple[OutgoingMessage, list[Entry]]:
        """A message with the first of the entries, and the rest of them.

        The message is limited by ``max_states_bytes``; the last one carries the head as position.
        """
        items = [item_of(entries[0])] if len(entries) == 1 else self._fitting(entries, item_of)
        rest = entries[len(items) :]
        position = entries[len(items) - 1].offset if rest else head.offset
        epoch, scope = head.epoch, audience.scope
        payload = encoding.states(
            epoch if named else None,
            position,
            items,
            scope=scope if named else "",
            reset=reset,
            complete=complete and not rest,
        )
        message = OutgoingMessage("states", payload, position)
        if not named:
            message.unnamed = epoch, scope
        return message, rest

    def _fitting(self, entries: list[Entry], item_of: Callable[[Entry], bytes]) -> list[bytes]:
        """The items of as many entries as fit into a message, at least one."""
        items: list[bytes] = []
        size = 0
        for entry in entries:
            item = item_of(entry)
            if items and size + len(item) > self.settings.max_states_bytes:
                break
            items.append(item)
            size += len(item)
        return items

    # Viewers

    def watch(self, viewer: Recipient, request: Any) -> dict[str, Any]:
        """Begin or replace what a viewer watches; the answer to its request.

        The states follow in later messages. Raises Refused, Forbidden if it may see nothing of it.
        """
        watch_request = WatchRequest.parse(request, self.settings.watch_patterns)
        wanted, readable = watch_request.patterns, self._readable(viewer, watch_request.patterns)
        if not readable:
            raise Forbidden(NOTHING_READABLE)
        audience = self.audiences.join(readable, watch_request.protocol)
        if wanted == audience.patterns:  # the usual case: the viewers of an audience share the list
            wanted = audience.patterns
        subscriber = self.subscribers.get(viewer)
        if subscriber is None:
            subscriber = Subscriber(viewer, wanted, audience, self.states.sightings)
            self.subscribers[viewer] = subscriber
            self.presence.join(subscriber)
            self._resume(subscriber, watch_request)
        else:  # ``since`` is of the watch set before; what it has of the new one is known here
            subscriber.wanted = wanted
            self._change_audience(subscriber, audience)
        if watch_request.reset:
            self._requested_resets += 1
            subscriber.start_over()
        subscriber.complete = True
        self._catch_up(subscriber)
        if watch_request.health:
            if not self.health.subscribers:
                self.health.update(self.report())
            self.health.subscribers.add(subscriber)
            self.loop.call_soon(self.health.send_to, subscriber)
        else:
            self.health.subscribers.discard(subscriber)
        if watch_request.presence:
            self.presence.ask(subscriber)
        else:
            self.presence.stop_asking(subscriber)
        epoch, offset = subscriber.since or (self.position.epoch, subscriber.position)
        if subscriber.since is not None and subscriber.covered is not None:
            offset = 0  # it has nothing yet of what is new
        return {
            "epoch": epoch,
            "offset": offset,
            "scope": subscriber.audience.scope,
            "reset": subscriber.reset,
        }

    def _readable(self, viewer: Recipient, wanted: Patterns) -> Patterns:
        """What a viewer may read of what it asks for."""
        if viewer.reader.reads_everything:
            return wanted
        return sets.within(wanted, viewer.reader.readable)

    def _resume(self, subscriber: Subscriber, request: WatchRequest) -> None:
        """Let a returning viewer continue at its position, if that is valid.

        A position holds for the devices under which it was given: by other rights or with another
        list there would be gaps. Without a scope it may be of any rights, so it counts only where
        everybody who may read may read everything.

        A process that is behind others, because it has no connection to the store for a while, must
        not send older states for newer ones: a position that it does not know waits for a read.

        A viewer at offset 0 may have been cut off between two watch sets, with states of the first.
        If they are of an older epoch, it is not known whether they were ever committed.
        """
        since, scope = request.since, request.scope
        if since is None:
            return
        in_scope = not self.has_rules() if scope is None else scope == subscriber.audience.scope
        valid = in_scope and self._epoch_history.judge(since, self.position.offset)
        if valid is None:
            subscriber.since = since
            self._unjudged[subscriber] = self._change_feed.confirm()
        else:
            self._resume_at(subscriber, since, valid=valid)

    def _resume_at(self, subscriber: Subscriber, since: Position, *, valid: bool) -> None:
        """Let a viewer continue; one that has no states yet, only within the newest epoch."""
        valid = valid and bool(since.offset or since.epoch == self.position.epoch)
        before, _ = subscriber.covered or (None, 0)  # it asked for other devices meanwhile
        subscriber.covered = (before, since.offset) if before and valid else None
        subscriber.position = since.offset if valid and before is None else 0
        subscriber.sighting = -1 if valid else self.states.sightings
        subscriber.reset = subscriber.empty = not valid

    def _change_audience(self, subscriber: Subscriber, audience: Audience) -> None:
        """Move a viewer to another watch set; what it has of the old one is not sent again."""
        old, head = subscriber.audience, self.position.offset
        was_up_to_date = subscriber.up_to_date
        self._set_back(subscriber, head)
        self.audiences.leave(old, subscriber.viewer)
        if audience is old:
            return
        self.presence.leave(subscriber)
        subscriber.command = 0
        if was_up_to_date:
            subscriber.covered = (old, head)
        elif subscriber.since is not None:  # it was sent nothing, and keeps what both sets have
            first, _ = subscriber.covered or (old, 0)
            subscriber.covered = old if first is old else old.within(first), 0
        elif subscriber.covered is not None or subscriber.reset:
            subscriber.covered = None  # it is between two sets already: it gets all of the third
        else:
            subscriber.covered = (old, subscriber.position)
        subscriber.audience, subscriber.position = audience, 0
        self.presence.join(subscriber)

    def regrant(self, viewers: Iterable[Recipient]) -> None:
        """The rights of these viewers have changed; ``reader`` says what they are now.

        They are told once of each device that they may see no longer, and get what they may see in
        addition. One that lags starts over if it loses devices: it is not known which it has.
        """
        told: dict[tuple[Audience, Audience], list[OutgoingMessage]] = {}
        for viewer in viewers:
            subscriber = self.subscribers.get(viewer)
            if subscriber is None:
                continue
            before = subscriber.audience
            readable = self._readable(viewer, subscriber.wanted)
            audience = self.audiences.join(readable, before.protocol)
            if audience is before:
                self.audiences.leave(audience, viewer, stays=True)
                continue
            up_to_date = subscriber.up_to_date
            asks = self.presence.is_asked_by(subscriber)
            self._change_audience(subscriber, audience)
            if asks:
                self.presence.ask(subscriber)
            if not up_to_date and before.exceeds(audience):
                self._start_subscriber_over(subscriber)
                continue
            step = before, audience
            if step not in told:
                told[step] = self._gone(*step)
            for message in told[step]:
                self.output.to_one(viewer, message)
            self._catch_up(subscriber)

    def _gone(self, before: Audience, after: Audience) -> list[OutgoingMessage]:
        """What up-to-date viewers of an audience are told that belong to another one now."""
        left = [one for one in self.states.present(before) if not after.matches(one)]
        grew = after.exceeds(before)  # what they may see in addition they do not have yet
        epoch, head = self.position
        most = max(1, self.settings.max_states_bytes // LONGEST_GONE)
        return [
            OutgoingMessage(
                "states",
                encoding.states(
                    epoch,
                    0 if grew else head,
                    list(map(encoding.gone, left[first : first + most])),
                    scope=after.scope,
                ),
            )
            for first in range(0, len(left), most)
        ]

    def _set_back(self, subscriber: Subscriber, offset: int) -> None:
        """An up-to-date viewer becomes one that lags, and has everything up to ``offset``."""
        if subscriber.up_to_date:
            audience = subscriber.audience
            audience.current.discard(subscriber.viewer)
            subscriber.sighting = max(subscriber.sighting, self.sightings.reached(audience))
            subscriber.command = max(subscriber.command, self.commands.reached(audience))
            subscriber.position = offset

    def leave(self, viewer: Recipient) -> None:
        """Forget a viewer."""
        subscriber = self.subscribers.pop(viewer, None)
        if subscriber is not None:
            self._unjudged.pop(subscriber, None)
            self.presence.leave(subscriber)
            self.audiences.leave(subscriber.audience, viewer)
            self.health.subscribers.discard(subscriber)

    def pause(self, viewer: Recipient) -> None:
        """The viewer's transport is full: send it nothing until ``resume``."""
        subscriber = self.subscribers.get(viewer)
        if subscriber is not None:
            subscriber.paused = True
            self._set_back(subscriber, self._sent_states.of(subscriber.audience))

    def resume(self, viewer: Recipient) -> None:
        """The viewer's transport has drained: send it the newest of everything that it missed."""
        subscriber = self.subscribers.get(viewer)
        if subscriber is not None and subscriber.paused:
            subscriber.paused = False
            self._send_until(subscriber, self.loop.time() + TURN_SECONDS)
            self.presence.tell_all(subscriber)

    def move(self, viewer: Recipient) -> None:
        """Another transport carries the viewer."""
        subscriber = self.subscribers.get(viewer)
        if subscriber is not None:
            subscriber.audience.current.forget_groups()

    def rename(self, viewer: Recipient) -> None:
        """The application has given the viewer another name."""
        subscriber = self.subscribers.get(viewer)
        if subscriber is not None:
            self.presence.rename(subscriber, viewer.name)

    def count_room(self, namespace: str, room: str, step: int, name: str | None) -> None:
        """Count a viewer more or less in a room of this process."""
        self.presence.add(room_key(namespace, room), step, name)

    def who_is_in(self, namespace: str, room: str) -> Watching:
        """Who is in a room now, in all serving processes, as far as this one knows."""
        return self.presence.count([room_key(namespace, room)])

    def who_watches(self, device: str) -> Watching:
        """Who watches a device, in all serving processes."""
        return self.presence.watching(device)

    # Viewers that lag

    def _catch_up(self, subscriber: Subscriber) -> None:
        """Send a viewer what it lacks, soon, until it is up to date or its transport is full."""
        self._lagging[subscriber] = None
        self._begin_turn()

    def _on_compressed(self, viewers: dict[Subscriber, CatchUp | None]) -> None:
        """Viewers have waited for a message that is compressed now."""
        self._lagging.update(viewers)
        self._begin_turn()

    def _begin_turn(self) -> None:
        if not self._turn_begun:
            self._turn_begun = True
            self.loop.call_soon(self._catch_up_turn)

    def _send_until(self, subscriber: Subscriber, end: float) -> None:
        """Send a viewer what it lacks now; what takes longer follows in turns of the loop."""
        while self._send_next(subscriber):
            if self.loop.time() >= end:
                self._catch_up(subscriber)
                return

    def _catch_up_turn(self) -> None:
        """Send some viewers a message each; the others follow in the next turns of the loop."""
        end = self.loop.time() + TURN_SECONDS
        try:
            while self._has_turn():
                if self._compressor.has_next:
                    subscriber, compressed = self._compressor.next_in_line(), None
                else:
                    subscriber = next(iter(self._lagging))
                    compressed = self._lagging.pop(subscriber)
                if self._send_next(subscriber, compressed):
                    self._lagging[subscriber] = None
                if self.loop.time() >= end:
                    break
        finally:
            self._turn_begun = False
            if self._has_turn():
                self._begin_turn()

    def _has_turn(self) -> bool:
        """Whether there is a viewer that lags and does not wait for the compressor."""
        return bool(self._lagging) or self._compressor.has_next

    def _send_next(self, subscriber: Subscriber, compressed: CatchUp | None = None) -> bool:
        """Send a viewer its next message; whether it lacks more and can take it.

        ``compressed`` is what was made for it before, and has been compressed since.
        """
        known = self.subscribers.get(subscriber.viewer) is subscriber
        if not known or subscriber.up_to_date or subscriber.paused or subscriber.since:
            return False
        if subscriber.position >= self.position.offset and not subscriber.complete:
            subscriber.covered = None
            self.commands.send_missed(subscriber)
            if not subscriber.paused:
                subscriber.audience.current.add(subscriber.viewer)
                self.sightings.send_missed(subscriber, self.position.offset)
            return False
        if compressed is not None and compressed.fits(subscriber):
            message, head = compressed.message, compressed.head
        elif self._compressor.is_busy and self._gets_a_long_message(subscriber):
            self._compressor.wait_in_line(subscriber)
            return False
        else:
            message, head = self._next_message(subscriber), self.position.offset
        if message.compressible and self._compressor.delays(self.loop, subscriber, message, head):
            return False
        # Before the message is delivered, because the viewer may be paused by it.
        if message.position >= head:
            subscriber.complete = False
        subscriber.position = message.position
        subscriber.reset = subscriber.empty = False
        self.output.to_one(subscriber.viewer, message)
        return True

    def _gets_a_long_message(self, subscriber: Subscriber) -> bool:
        """Whether the next message of a viewer is to be compressed, as far as can be said now."""
        audience = subscriber.audience
        return (
            subscriber.viewer.compression is not None
            and audience.size > 1
            and self.position.offset - subscriber.position > FAR_BEHIND
            and (len(audience.patterns) == 1 or not self.has_rules())
            and self._kept_message(subscriber) is None
        )

    def _kept_message(self, subscriber: Subscriber) -> OutgoingMessage | None:
        audience, head = subscriber.audience, self.position.offset
        return self._catch_up_messages.get(audience, subscriber.standing, head)

    def _next_message(self, subscriber: Subscriber) -> OutgoingMessage:
        """What a viewer lacks next. Viewers of one audience at one position share the message."""
        audience, message = subscriber.audience, self._kept_message(subscriber)
        if message is None:
            entries, end = self.states.after(subscriber.position, audience)
            missed = self._missed(subscriber, entries)
            reach = self.position if end is None else self.position._replace(offset=end)
            complete = subscriber.complete and end is None
            message, _ = self._states_message(audience, missed, reach, subscriber.reset, complete)
            if audience.size > 1:
                self._catch_up_messages.keep(audience, subscriber.standing, message)
                devices = (one.device for one in missed)
                is_long = len(message.payload) >= LEAST_CACHED
                message.compressible = is_long and self.output.may_compress(audience, devices)
        return message

    def _missed(self, subscriber: Subscriber, entries: Iterable[Entry]) -> list[Entry]:
        """Those of the entries after a viewer's position that it lacks.

        Of more than fit into a message only one more, which is not sent with it.
        """
        missed: list[Entry] = []
        size = 0
        old, covered = subscriber.covered or (None, 0)
        for entry in entries:
            if subscriber.empty and not entry.exists:
                continue
            if old is None or entry.offset > covered or not old.matches(entry.device):
                missed.append(entry)
                size += len(entry.item())
                if size > self.settings.max_states_bytes and len(missed) > 1:
                    break
        return missed
