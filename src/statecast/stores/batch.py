"""What one commit does with its messages. Pure, so that every store gives the same result.

A store loads the devices that the messages name, adds the messages to a ``Batch`` one by one, and
writes the outcome: each touched device once, and one history row per visible version.

Rule 1: nothing here uses a clock, a disk or another thread.
Rule 2: a refused item goes to quarantine; the other items of its message are applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from statecast import names, strict_json
from statecast.commands import life
from statecast.commands.life import Command
from statecast.errors import DevicesFull, Refused
from statecast.merge.apply import DeviceRecord, apply, edit_stamp, stamp_of
from statecast.merge.device_clock import NO_CLOCK, DeviceClock, is_usable
from statecast.merge.stamps import SEQUENCED
from statecast.model import (
    Answer,
    Cause,
    Change,
    Delivery,
    HistoryRow,
    Message,
    Quarantined,
    Refusal,
    Stamp,
    Update,
    value_class,
)
from statecast.stores import errors
from statecast.stores.clock_watch import Reading
from statecast.stores.counters import Counters
from statecast.stores.totals import Committed, Totals

ROW_BYTES = 64
"""Bytes that a history row takes besides its change and its cause (an estimate)."""


@dataclass(slots=True)
class DeviceState:
    """One device during a commit."""

    record: DeviceRecord
    cause: Cause
    offset: int
    state: bytes | None
    """The state as JSON; None: removed, or not there yet."""
    seen: int = 0
    """The value of ``Counters.seen`` when the device was last seen without a new version."""
    key: int | None = None
    """The store's own key of the row; None: the device is new."""
    removed_at: int | None = None
    stored: tuple[Any, ...] | None = None
    """Its row as the table has it, where the store says so; None: it is new, or its row is damaged.
    """
    touched: bool = False
    """This commit writes the row."""
    visible: bool = False
    """This commit made a version."""
    newly_seen: bool = False
    """This commit changed ``seen_at`` of a device that was there."""
    stale: bool = False
    """``state`` is older than the record."""

    def encode(self) -> None:
        """Encode the state, once per version that somebody reads."""
        if self.stale:
            state = self.record.state
            self.state = None if state is None else strict_json.encode_checked(state)
            self.stale = False

    def update(self) -> Update:
        self.encode()
        record = self.record
        return Update(
            record.device,
            record.version,
            self.offset,
            self.state,
            record.changed_at,
            record.seen_at,
            self.cause,
            record.silent_after,
            record.source,
            record.fields,
            record.arrived_at,
            record.clock.behind,
            record.commands,
        )


@value_class
class NewVersion:
    """A history row that the store has to write."""

    loaded: DeviceState
    offset: int
    row: HistoryRow
    size: int
    """Bytes, for the bound of the history."""


@value_class
class DamagedDevice:
    """A device whose row is damaged."""

    reason: str | None
    """Why its messages are refused, for people; None: its state is proven."""
    loaded: DeviceState
    """What is left of it; without its state, unless that is proven."""
    copy: Quarantined
    """The row as it was found."""


@dataclass(slots=True)
class Batch:
    """The messages of one commit, folded into the devices that they name."""

    source: str
    resolution: int
    """Of the queue's clock, in ms."""
    now: int
    """The reading of the clock, in ms."""
    late_message_ms: int
    counters: Counters
    max_devices: int
    loaded: dict[str, DeviceState] = field(default_factory=dict)
    """The existing devices of those that the messages name; new ones are added."""
    damaged: dict[str, DamagedDevice] = field(default_factory=dict)
    """Those of which the row is damaged and the state is not known any more."""
    set_aside: list[Quarantined] = field(default_factory=list)
    """Copies of damaged rows that this commit replaces."""
    known_ids: set[str] = field(default_factory=set)
    """Of those of the messages, the ids that were committed before."""
    known_events: set[tuple[str, str]] = field(default_factory=set)
    """The same for events: (device, key)."""
    commands: dict[str, Command] = field(default_factory=dict)
    """Of those that the messages answer, the known ones, by id."""
    answered: list[Command] = field(default_factory=list)
    """The commands that came to an end, to be written."""
    new_ids: list[str] = field(default_factory=list)
    """The ids that this commit must remember."""
    new_events: list[tuple[str, str]] = field(default_factory=list)
    versions: list[NewVersion] = field(default_factory=list)
    quarantine: list[Quarantined] = field(default_factory=list)
    messages: int = 0
    applied: int = 0
    duplicates: int = 0
    dropped: int = 0
    left_out: int = 0
    """Changes that were applied without a part."""
    is_replay: bool = False
    """Messages from quarantine: when they arrived says nothing about the clocks of devices."""

    def add(self, message: Message) -> None:
        """Fold a message in, unless its id is known. What is refused goes to quarantine."""
        delivery = message.delivery
        if delivery.id in self.known_ids:
            self.duplicates += 1
            return
        self.messages += 1
        self.known_ids.add(delivery.id)
        self.new_ids.append(delivery.id)
        order = delivery.order
        if order is None:
            order = self.counters.next_arrival()
        self.fold(message, delivery.sent_at, order, delivery.order is not None)
        for refusal in message.refusals:
            self.refuse(message, refusal, order)

    def fold(self, message: Message, sent_at: int, order: int, is_numbered: bool = False) -> None:
        """Fold the changes of a message in. ``is_numbered``: its queue gave it the order."""
        items = message.items or [(None, message.delivery.body)] * len(message.changes)
        for change, (item, body) in zip(message.changes, items, strict=True):
            try:
                sent = self.sent_after(change.device, sent_at, order) if is_numbered else sent_at
                self.add_change(change, message.delivery, sent, order)
                if change.answer is not None:
                    self.add_answer(change, change.answer)
            except Refused as error:
                self.refuse(message, Refusal(str(error), body, item, change.device), order)

    def add_change(self, change: Change, delivery: Delivery, sent_at: int, order: int) -> None:
        """Fold one change in. Raises Refused; then nothing has changed."""
        keys = event_keys(change)
        if keys and not self.known_events.isdisjoint(keys):
            self.duplicates += 1
            return
        mended = self.check_damage(change)
        stamp = stamp_of(change, sent_at, self.resolution, order, self.now)
        clock = self.clock_of(change.device)
        own, arrival = change.time, min(sent_at, self.now)
        if own is None:
            at = arrival
        else:
            if change.by == "device" and not self.is_replay:
                clock = clock.noted(own, arrival)
            at = self.happened(change, own, arrival, clock)
        self.apply_change(change, stamp, delivery, at, clock, mended)
        self.left_out += bool(change.left_out)
        if keys:
            self.known_events.add(keys[0])
            self.new_events.append(keys[0])

    def sent_after(self, device: str, sent_at: int, order: int) -> int:
        """When a message was sent whose order was given by the store's own queue.

        It was sent after everything with a lower order. If its time says otherwise, the clock of
        its sender is behind those of the others.
        """
        loaded = self.loaded.get(device)
        if loaded is None or loaded.record.stamps.latest.time <= sent_at + self.resolution:
            return sent_at
        newest = loaded.record.stamps.newest_trusted(self.now)
        if not sent_at + self.resolution < newest.time < SEQUENCED or newest.order > order:
            return sent_at
        return newest.time + 1

    def happened(self, change: Change, own: int, arrival: int, clock: DeviceClock) -> int:
        """When a change happened that brings its own time; never later than it arrived."""
        if not is_usable(own, arrival, self.resolution):
            return arrival
        return clock.put_right(own, arrival) if change.by == "device" else min(own, arrival)

    def reading(self) -> Reading:
        return Reading.of(self.now, self.counters)

    def clock_of(self, device: str) -> DeviceClock:
        loaded = self.loaded.get(device)
        return NO_CLOCK if loaded is None else loaded.record.clock

    def add_answer(self, change: Change, answer: Answer) -> None:
        """Bring a command to its end. Raises Refused unless the device speaks of its own command.

        A repeated answer, or another one at the end, changes nothing.
        """
        command = self.commands.get(answer.command)
        if command is None or command.device != change.device or change.by != "device":
            raise errors.not_its_command(change.device, answer.command)
        after = life.answer(command, answer, self.counters.command + 1, self.now)
        if after is not command:
            self.counters.command = after.change
            self.commands[after.id] = after
            self.answered.append(after)

    def restore(self, loaded: DeviceState, copy: Quarantined) -> None:
        """Put a device in the place of its damaged row, as a new version that readers receive."""
        record = loaded.record
        self.set_aside.append(copy)
        self.counters.quarantine_rows += 1
        loaded.record = replace(record, version=record.version + 1, arrived_at=self.now)
        loaded.touched = True
        self.add_version(loaded, loaded.cause, None if record.state is None else b"{}")
        self.loaded[record.device] = loaded

    def restore_proven(self) -> None:
        """Put each device right whose state is proven although its row is damaged."""
        for found in [one for one in self.damaged.values() if one.reason is None]:
            self.restore(found.loaded, found.copy)
            del self.damaged[found.loaded.record.device]

    def check_damage(self, change: Change) -> DamagedDevice | None:
        """Put the device of a damaged row right for a change; the damage, if there was one.

        Raises Refused for a change that needs a state that is not known any more. A replacement or
        a removal does not need it, and mends the device.
        """
        found = self.damaged.get(change.device)
        if found is None:
            return None
        if found.reason is not None:
            if change.kind == "merge":
                raise Refused(found.reason)
            self.counters.devices -= 1  # it was counted, and now it is blank
        self.restore(replace(found.loaded), found.copy)
        del self.damaged[change.device]
        return found

    def _leave_damaged(self, found: DamagedDevice) -> None:
        """Take back what ``check_damage`` did: the change itself was refused."""
        name = found.loaded.record.device
        self.damaged[name] = found
        del self.loaded[name]
        self.set_aside.pop()
        counters = self.counters
        counters.history_bytes -= self.versions.pop().size
        counters.history_rows -= 1
        counters.offset -= 1
        counters.quarantine_rows -= 1
        counters.devices += found.reason is not None

    def edit(self, change: Change, delivery: Delivery) -> None:
        """Fold in an edit that was made now. Raises Refused; then nothing has changed."""
        mended = self.check_damage(change)
        order = self.counters.coming_arrival()
        loaded = self.loaded.get(change.device)
        stamp = edit_stamp(self.now, order, None if loaded is None else loaded.record)
        clock = self.clock_of(change.device)
        self.apply_change(change, stamp, delivery, self.now, clock, mended)
        self.counters.next_arrival()
        self.messages += 1

    def apply_change(
        self,
        change: Change,
        stamp: Stamp,
        delivery: Delivery,
        at: int,
        clock: DeviceClock,
        mended: DamagedDevice | None = None,
    ) -> None:
        """Apply one change. If it is refused, a row that was ``mended`` for it stays damaged."""
        loaded = self.loaded.get(change.device)
        before = None if loaded is None else loaded.record
        try:
            done = apply(
                before,
                change,
                stamp,
                at=at,
                now=self.now,
                source=self.source,
                late_message_ms=self.late_message_ms,
                clock=clock,
            )
            self._count_device(before, done.record)
        except Refused:
            if mended is not None:
                self._leave_damaged(mended)
            raise
        if done.dropped:
            self.dropped += 1
        else:
            self.applied += 1
        cause = Cause(self.source, delivery.id, change.by, delivery.sender)
        if loaded is None:
            loaded = self.loaded[change.device] = DeviceState(done.record, cause, 0, None)
        if before is not None and done.record.seen_at != before.seen_at:
            loaded.newly_seen = True
        loaded.record = done.record
        loaded.touched = True
        if done.visible:
            self.add_version(loaded, cause, done.encoded)

    def _count_device(self, before: DeviceRecord | None, after: DeviceRecord) -> None:
        """Count the devices that are present.

        Raises DevicesFull for a new one beyond the bound, and Refused for a reserved name. A device
        of such a name that is there, from before names were reserved, goes on.
        """
        added = (after.state is not None) - (before is not None and before.state is not None)
        if added > 0 and names.is_reserved(after.device):
            raise errors.reserved_name(after.device)
        if added > 0 and self.counters.devices >= self.max_devices:
            raise DevicesFull(
                f"The store holds {self.max_devices} devices (setting max_devices), so it takes "
                "no new one; remove some, or raise the setting."
            )
        self.counters.devices += added

    def add_version(self, loaded: DeviceState, cause: Cause, change: bytes | None) -> None:
        self.counters.offset += 1
        loaded.offset, loaded.cause = self.counters.offset, cause
        loaded.visible = loaded.stale = True
        record = loaded.record
        row = HistoryRow(record.changed_at, record.version, change, cause, record.arrived_at)
        size = ROW_BYTES + len(cause.source) + len(cause.id) + len(cause.sender)
        size += 0 if change is None else len(change)
        self.versions.append(NewVersion(loaded, loaded.offset, row, size))
        self.counters.history_rows += 1
        self.counters.history_bytes += size

    def refuse(self, message: Message, refusal: Refusal, order: int) -> None:
        delivery = message.delivery
        self.quarantine.append(
            Quarantined(
                0,
                self.source,
                delivery.id,
                refusal.item,
                refusal.reason,
                refusal.body,
                delivery.sent_at,
                order,
                delivery.attempt,
                self.now,
                refusal.device,
                delivery.sender,
            )
        )
        self.counters.quarantine_rows += 1

    def replay(self, row: Quarantined, message: Message) -> str | None:
        """Fold a quarantined message in, with its original id and stamp.

        Returns the reason if it is refused again. A message that has become too old is refused too:
        it would leave quarantine without any effect.
        """
        before, dropped = list(self.quarantine), self.dropped
        self.is_replay = True
        self.fold(
            replace(message, delivery=replace(message.delivery, id=row.id)), row.sent_at, row.order
        )
        reasons = [refusal.reason for refusal in message.refusals]
        reasons += [one.reason for one in self.quarantine[len(before) :]]
        if self.dropped > dropped:
            reasons.append(
                "It is too far behind the device's newest message and would change nothing."
            )
            self.dropped = dropped  # it stays in quarantine
        self.counters.quarantine_rows -= len(self.quarantine) - len(before)
        self.quarantine = before
        return reasons[0] if reasons else None

    def flush(self) -> list[DeviceState]:
        """The devices to write, in order of offset, each visible state encoded once."""
        touched = [loaded for loaded in self.loaded.values() if loaded.touched]
        for loaded in touched:
            state = loaded.record.state
            if state is None and (loaded.visible or loaded.removed_at is None):
                loaded.removed_at = self.now
            if loaded.visible:
                loaded.encode()
                loaded.removed_at = loaded.removed_at if state is None else None
            elif loaded.newly_seen:
                self.counters.seen += 1
                loaded.seen = self.counters.seen
        return sorted(touched, key=lambda loaded: loaded.offset)

    def result(self, refused: int = 0) -> Committed:
        quarantined = len(self.quarantine) + refused
        return Committed(
            self.applied,
            len(self.versions),
            self.duplicates,
            quarantined,
            self.dropped,
            len(self.answered),
            tuple(self.quarantine),
        )

    def totals(self, evicted: Iterable[str], refused: Mapping[str, int]) -> dict[str, Totals]:
        """What this commit adds to the totals of the sources.

        ``evicted`` has the source of each row that the bound of the quarantine has deleted,
        ``refused`` what was refused before a commit.
        """
        found = refused_totals(refused)
        for source in evicted:
            found[source] = found.get(source, Totals()) + Totals(evicted=1)
        own = Totals(
            self.messages,
            len(self.versions),
            self.duplicates,
            self.dropped,
            len(self.quarantine),
            left_out=self.left_out,
        )
        if own != Totals():
            found[self.source] = found.get(self.source, Totals()) + own
        return found


def refused_totals(refused: Mapping[str, int]) -> dict[str, Totals]:
    return {source: Totals(refused=number) for source, number in refused.items()}


def devices_of(messages: Iterable[Message]) -> set[str]:
    return {change.device for message in messages for change in message.changes}


def ids_of(messages: Iterable[Message]) -> list[str]:
    return [message.delivery.id for message in messages]


def answered_by(messages: Iterable[Message]) -> list[str]:
    """The ids of the commands that these messages answer."""
    changes = (change for message in messages for change in message.changes)
    return [change.answer.command for change in changes if change.answer is not None]


def events_of(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """The keys under which a store may know the events of these messages."""
    return [key for message in messages for change in message.changes for key in event_keys(change)]


def event_keys(change: Change) -> list[tuple[str, str]]:
    """The key of an event, and the one that it has in rows of older versions: its id alone.

    Those rows do not say what the event said, so they match any event with this id. They are kept
    for 24 h.
    """
    if change.event_id is None or change.event_key is None:
        return []
    return [(change.device, change.event_key), (change.device, change.event_id)]
