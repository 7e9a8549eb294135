"""What a commit needs of the store, asked for in one round trip.

The order of the locks is that of ``database``: source, devices by name, and, where exact numbers
are needed before the batch, the row of the counters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from statecast.model import Message
from statecast.stores.batch import Batch, answered_by, devices_of, events_of
from statecast.stores.clock_watch import ClockWatch, Reading
from statecast.stores.epoch_history import EpochHistory
from statecast.stores.errors import lease_lost
from statecast.stores.limits import Limits
from statecast.stores.postgres import commands, dedup, epochs, sources
from statecast.stores.postgres import counters as counter_row
from statecast.stores.postgres.clock import ServerClock
from statecast.stores.postgres.counters import StoredCounters
from statecast.stores.postgres.devices import LockedDevices
from statecast.stores.postgres.driver import Connection


@dataclass(slots=True)
class LoadedBatch:
    """A batch with what it was loaded from."""

    batch: Batch
    counters: StoredCounters
    devices: LockedDevices
    offset: int
    """The store's offset when it was loaded; versions of the batch have higher ones."""
    epochs: EpochHistory | None
    stored_events: set[tuple[str, str]]
    """Of the events of the messages, those that have a row."""
    request: str | None = None
    """The id that its transaction keeps, to look up whether it was committed; None: it keeps none.
    """

    def epoch_history(self) -> EpochHistory:
        assert self.epochs is not None, "they are asked for if an edit compares a position"
        return self.epochs


class BatchQuestion:
    """All that a batch needs, asked for at once."""

    def __init__(
        self,
        connection: Connection,
        clock: ServerClock | None,
        messages: Sequence[Message],
        *,
        source: str | None = None,
        arrivals: int = 0,
        epochs_too: bool = False,
        lock: bool = False,
    ) -> None:
        """``source`` is that of messages with ids. ``lock`` holds the counters from now on."""
        self._connection = connection
        self._source = source
        self._answered = answered_by(messages)
        self._found = None if source is None else connection.execute(sources.FIND, (source,))
        self._devices = LockedDevices(connection, devices_of(messages))
        ids = [message.delivery.id for message in messages]
        self._ids = None if source is None else dedup.ask(connection, source, ids)
        self._events = dedup.ask_events(connection, events_of(messages))
        self._epochs = epochs.ask(connection) if epochs_too else None
        lock = lock or bool(self._answered)  # commands are changed by who holds the counters
        self._counters = counter_row.ask(connection, clock, arrivals=arrivals, lock=lock)

    def source_key(self, term: int | None) -> int:
        """The key of the source in the tables. Raises LeaseLost if ``term`` is not its newest."""
        assert self._source is not None and self._found is not None
        found = self._found.fetchone()
        if found is None:
            return sources.find(self._connection, self._source, term)
        if term is not None and term != found[1]:
            raise lease_lost(self._source)
        return int(found[0])

    def answer(
        self, watch: ClockWatch, limits: Limits, source: str, resolution: int
    ) -> LoadedBatch:
        """The batch, with everything that was asked for."""
        rows = self._devices.rows()
        counters = self._counters.answer()
        offset = counters.offset
        now = watch.check(counters)
        age_from = watch.age_from(now)
        stored = dedup.stored_events(self._events)
        batch = Batch(
            source,
            resolution,
            now,
            limits.late_message_ms,
            counters,
            limits.max_devices,
            self._devices.loaded(rows, Reading.of(now, counters)),
            known_events=dedup.known_events(stored, age_from),
        )
        if self._ids is not None:
            batch.known_ids = dedup.known(self._ids, age_from)
        if self._answered:
            batch.commands = commands.by_ids(self._connection, self._answered)
        history = None if self._epochs is None else epochs.history(self._epochs, counters)
        return LoadedBatch(batch, counters, self._devices, offset, history, set(stored))
