"""Step 4, store: what every store guarantees. ``statecast.testing.StoreContract`` tests it.

A store keeps states, history, known message ids, quarantine, leases, application events and the
embedded queues. What goes in and comes out has modules of its own: ``changes``, ``epoch_history``,
``leases``, ``limits``, ``open_commands``, ``totals``.

Rule 1: a commit is durable before it returns, and it is one transaction.
Rule 2: a store never calls the broadcaster. Readers call ``read`` with their cursor.
Rule 3: each answer to a reader comes from one consistent snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from statecast.access.patterns import EVERYTHING, Patterns
from statecast.access.records import AuditEntry, RecordStore
from statecast.commands.life import Command, NewCommand
from statecast.model import (
    Change,
    Delivery,
    Event,
    HistoryRow,
    Message,
    Position,
    Quarantined,
    Update,
)
from statecast.problems import Problems
from statecast.stores.changes import ChangedNames, Changes, ReadCursor, WatchPart
from statecast.stores.epoch_history import EpochHistory
from statecast.stores.leases import Lease, LeaseHolder
from statecast.stores.limits import Sizes
from statecast.stores.open_commands import OpenCommands
from statecast.stores.retention import FORGET_AT_ONCE
from statecast.stores.totals import Committed, Totals

API_SOURCE = "api"
"""The source of edits that come through REST or ``live.set``: they have no queue and no lease."""


class DamagedRow(NamedTuple):
    """A row of the store that cannot be read. It is left out; the rest is used as ever."""

    table: str
    subject: str
    """Of the problem that names it, like ``device pillow``."""
    sentence: str
    """What happened and what to do, fit for every viewer."""
    device: str | None = None
    """The device, if it is the row of one and its name can be read."""


class Exchanged(NamedTuple):
    """What a serving process shows of the whole store; it asks with each report of its own."""

    reports: dict[str, dict[str, Any]]
    """The newest of each serving process, by its id. A report may be that of the last exchange: it
    is not to be changed."""
    totals: Mapping[str, Totals]
    """By source."""
    quarantined: int
    """Messages in quarantine."""
    open_commands: OpenCommands
    """With one device at most."""
    sizes: Sizes

    @classmethod
    def read(cls, store: Store) -> Exchanged:
        """One after the other, where a read costs next to nothing."""
        return cls(
            store.reports(),
            store.totals(),
            store.quarantine_count(),
            store.open_commands(limit=1),
            store.sizes(),
        )


class Store(RecordStore, Protocol):
    """Durable state. Every method may be called from any thread.

    Each method may raise StoreUnavailable: the same call may work later.
    """

    problems: Problems
    """Where the store reports what is wrong with it: those of the process that opened it."""

    def commit(
        self,
        source: str,
        resolution: int,
        messages: Sequence[Message],
        *,
        term: int | None = None,
        confirmed: Iterable[str] = (),
    ) -> Committed:
        """Apply messages, and write states, history, known ids and quarantine in one transaction.

        ``resolution`` is that of the queue's clock in ms. ``confirmed`` are ids whose deletion the
        queue has confirmed: the store forgets them an hour later. Raises LeaseLost when ``term`` is
        not the source's newest; StoreUnavailable means that nothing was written.
        """

    def edit(
        self,
        change: Change,
        *,
        cause_id: str | None = None,
        if_match: Position | None = None,
        sender: str = "",
        audit: AuditEntry | None = None,
    ) -> Update | None:
        """Commit one change of source ``api``, with a stamp that is newer than the device's newest.

        ``sender`` stands in the cause.
        ``audit`` is written in the same transaction; so it is where else it is an argument. Returns
        the device's update; None if there is no such device. Raises Refused (quarantine stays as it
        is), and Conflict when ``if_match`` is not the device's position.
        """

    def replay(
        self, number: int, message: Message, resolution: int, *, audit: AuditEntry | None = None
    ) -> Committed:
        """Commit a quarantined message again, with its original id and stamp.

        The row is deleted if nothing is refused. Raises NotFound.
        """

    def read(self, after: ReadCursor, limit: int | None = None) -> Changes:
        """What was committed after a cursor, from one snapshot.

        ``ReadCursor()`` reads all states, but no old events. A following ``wait`` of the same
        thread returns for every commit after this snapshot.
        """

    def read_names(self, after: int, limit: int) -> ChangedNames:
        """Which devices changed after an offset: much cheaper than ``read``.

        A following ``wait`` of the same thread returns for every commit after this snapshot.
        """

    def known_ids(self, source: str, ids: Collection[str]) -> set[str]:
        """Those of these message ids that were committed and are remembered.

        After a failover that lost the last commits they are not those of these commits.
        """

    def epoch_history(self) -> EpochHistory:
        """The epochs of this store. A reader may keep them while the epoch stays the same."""

    def read_position(self) -> Position:
        """The newest epoch and offset."""

    def is_valid(self, position: Position) -> bool:
        """Whether a position belongs to this store's history and nothing after it was forgotten."""

    def position_of(self, update: Update) -> Position:
        """The position of a version; it stays the same over restarts."""

    def damaged(self) -> list[DamagedRow]:
        """The damaged rows that this process has met. They are in ``problems`` too."""

    def check(self) -> list[str]:
        """Look at everything that is stored, and say what is wrong. It changes nothing."""

    def get(self, device: str) -> Update | None:
        """The latest update of a device, a tombstone included; None if it never had one.

        Raises RowDamaged.
        """

    def neighbours(self, device: str, limit: int) -> list[str]:
        """Names of present devices, up to ``limit`` before this name and as many after it."""

    def devices(
        self, *, after: str = "", limit: int | None = None, readable: Patterns = EVERYTHING
    ) -> list[Update]:
        """Present devices by name, without tombstones and damaged rows.

        Those after the name ``after`` that match one of the patterns ``readable``, up to ``limit``;
        fewer only if there are no more.
        """

    def history(
        self, device: str, *, before: int | None = None, limit: int = 50
    ) -> list[HistoryRow]:
        """Versions below ``before``, newest first."""

    def history_size(self, device: str) -> tuple[int, int | None]:
        """The number of rows, and the time of the oldest in ms."""

    def quarantined(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        device: str | None = None,
        newest: bool = False,
    ) -> list[Quarantined]:
        """Rows with numbers above ``after``, in ascending order.

        With ``device`` only those that may be about it; with ``newest`` in descending order.
        """

    def quarantine_row(self, number: int) -> Quarantined:
        """One row. Raises NotFound."""

    def quarantine_count(self, device: str | None = None) -> int:
        """The number of rows; with ``device`` of those that may be about it."""

    def drop(self, number: int, *, audit: AuditEntry | None = None) -> None:
        """Delete a quarantined row for good. Raises NotFound."""

    def totals(self) -> dict[str, Totals]:
        """What came through each source since the store was made, by the name of the source.

        ``commit`` counts in its own transaction.
        """

    def sizes(self) -> Sizes:
        """How much the store holds, and how much room there is."""

    def count_refused(self, source: str) -> None:
        """Count a message that was refused before its commit.

        It is written with the next commit or announcement of this process, because a refused
        request must not cost a write.
        """

    def begin_command(
        self,
        new: NewCommand,
        takes: Collection[str] | None = None,
        *,
        audit: AuditEntry | None = None,
    ) -> Command:
        """Ask something of a device; durable on return.

        A repeated request (see ``NewCommand.key``) returns the command that it began, and writes
        no entry of the audit. Raises NotTaken for a command that is not among those that the device
        takes, TooManyCommands, and Refused for another request with the same key. What a device
        takes is what it said itself, read in the same transaction; for one that never said it,
        ``takes`` (None: it takes all).
        """

    def hand_out(self, device: str, *, after: str | None = None, limit: int = 100) -> list[Command]:
        """The open commands of a device in their order, noted as handed out before this returns.

        ``after`` is the id of the newest command that the device has; one that the store does not
        know, as after a restored backup, counts as none. A command may be handed out again: the
        device remembers ids.
        """

    def begin_dispatch(
        self, queue: str, term: int, belongs: Callable[[str, str | None], bool], limit: int
    ) -> list[Command]:
        """Waiting commands for a command queue, in their order, as they are now.

        ``belongs(device, source)`` says which devices have that queue; ``source`` is that of the
        device's own newest message. Before this returns it is noted that the commands may be put
        into the queue from now on: their deadline makes them ``unanswered``, unless
        ``end_dispatch`` takes it back. ``term`` is that of the lease ``command_lease(queue)``.
        Raises LeaseLost.
        """

    def end_dispatch(
        self, queue: str, term: int, put: Sequence[str], not_put: Sequence[str]
    ) -> None:
        """Note by their ids which commands are in the queue, and which certainly are not.

        Of a command of which this was not the first attempt, the second is never known. Raises
        LeaseLost.
        """

    def pass_deadlines(self) -> list[Command]:
        """Note of commands whose deadlines have passed what they became; they are returned.

        Of very many it may note a part; the next call goes on.
        """

    def command(self, id_: str) -> Command:
        """One command. Raises NotFound."""

    def commands(
        self,
        device: str | None = None,
        *,
        before: int | None = None,
        limit: int = 50,
        readable: Patterns = EVERYTHING,
    ) -> list[Command]:
        """Commands with numbers below ``before``, newest first, of one device or of all.

        Of all: of those that match one of the patterns ``readable``.
        """

    def open_commands(self, limit: int = 10) -> OpenCommands:
        """How many commands are not at an end, and up to ``limit`` devices that have some."""

    def forget_device(self, device: str, most: int = FORGET_AT_ONCE) -> int:
        """Delete up to ``most`` rows of each kind about a device; how many, 0: none is left.

        To be called after the device was removed, until it returns 0. History, commands, known
        events and messages in quarantine go; the audit loses the name. What stays is the mark of
        the removal, so that pages learn of it, for as long as such marks are kept.
        """

    def forget_person(self, name: str, most: int = FORGET_AT_ONCE) -> int:
        """Replace the name of a person in up to ``most`` rows of each table; how many, 0: no more.

        It is the name of a user, or of who had a token, came through a proxy or was named by the
        application. To be called after user and sessions were removed, until it returns 0. The mark
        of the removed user goes at once: the marks of the sessions say the same without a name.
        """

    def scrub(self) -> bool:
        """Overwrite what was deleted, so that its bytes are in no file of the store.

        It writes the whole store again, and other writers wait for it. False: readers kept the log
        from being emptied for now; the next commits do it.
        """

    def note(self, audit: AuditEntry) -> None:
        """Write down who did what; durable on return."""

    def audit_rows(
        self, *, before: int | None = None, limit: int = 100, by: str | None = None
    ) -> list[AuditEntry]:
        """Entries with numbers below ``before``, newest first, of one sender or of all."""

    def emit(self, events: Sequence[Event]) -> None:
        """Pass application events to every serving process, in their order; kept for 60 s."""

    def take_events(self) -> None:
        """Let other processes know that this one reads events, until it ends or ``close``.

        To be called before the first ``read``: an emit that begins later finds it.
        """

    def others_take_events(self) -> bool:
        """Whether another process reads events now, or that is not known.

        Cheap and without waiting; it does not fail.
        """

    def announce(self, process: str, report: Mapping[str, Any]) -> None:
        """Publish the report of a serving process: health of its sources, number of its viewers.

        It is not durable. From the first one on, the caller holds a lock of the operating system
        that tells other processes when it has ended; see ``ended_processes``.
        """

    def reports(self) -> dict[str, dict[str, Any]]:
        """The newest report of each process that announced one within the last 10 s.

        Not those of processes that have ended, however they did.
        """

    def exchange(self, process: str, report: Mapping[str, Any]) -> Exchanged:
        """Do what ``announce`` does, and read the reports of all and what else each process shows.

        Every serving process does it every two seconds, so a store may have a cheaper way than one
        read after the other.
        """

    def withdraw(self, process: str) -> None:
        """Take back report and counts of a process that stops serving, or that has ended."""

    def ended_processes(self) -> list[str]:
        """The processes that have ended and did not withdraw what they announced or counted.

        A lock says so, and no clock. It only reads.
        """

    def count_watching(self, process: str, parts: Mapping[int, bytes]) -> None:
        """Publish what the viewers of a serving process watch; each part replaces the one before.

        It is not durable. The counts go with the report of the process: when it is withdrawn, or
        when it is older than 10 s.
        """

    def watch_parts(self, parts: Collection[int]) -> list[WatchPart]:
        """These parts of all processes, except of those that have ended."""

    def probe(self) -> None:
        """Write something small, durably, and remove it. Raises what a commit would raise now."""

    def lease(self, source: str) -> Lease | None:
        """Take the lease of a source with a new term; None at once if another process has it."""

    def holder(self, source: str) -> LeaseHolder | None:
        """The process that has the lease of a source; None: none has it, or it is unknown."""

    def wait(self, timeout: float, after: ReadCursor | None = None) -> None:
        """Return when any process has committed since this thread's last ``read``.

        Returns after ``timeout`` seconds in any case. A commit that brings nothing to a reader at
        ``after`` may be passed over.
        """

    def wake(self) -> None:
        """End every ``wait`` of this process now."""

    def queue(self, name: str) -> StoredQueue:
        """The queue of that name inside this store."""

    def reaction(self, name: str, patterns: Sequence[str]) -> StoredReaction:
        """What the store keeps for the reaction of that name, which watches these patterns."""

    def close(self) -> None:
        """Release the files, and end every ``wait``."""


@runtime_checkable
class SetBackMemory(Protocol):
    """A store that keeps for a day how many changes it lacks, also if it lacks them since a moment
    that no running process has seen."""

    def note_set_back(self, lacks: int) -> None:
        """Note that the store lacks so many changes that a process has read; 0: unknown.

        If more than one process notes it, the one that had read furthest counts.
        """


@runtime_checkable
class ExaminedStore(Protocol):
    """A store about which ``statecast doctor`` can say more, such as about its server."""

    def examine(self) -> Iterator[tuple[Literal["good", "notice", "wrong"], str]]:
        """What there is to know, and whether it is good. Raises StoreUnavailable."""


@runtime_checkable
class CommitsOwnQueues(Protocol):
    """A store that deletes messages of its own queues in the transaction that applies them.

    So what is not in the queue any more was committed, and no id has to be remembered.
    """

    def commit_received(
        self, queue: str, messages: Sequence[Message], *, term: int | None = None
    ) -> Committed:
        """As ``Store.commit``, of messages received from the queue of this name."""


class StoredQueue(Protocol):
    """A queue inside a store. Receive hides messages, acknowledge deletes them."""

    clock: Callable[[], int]
    """The time in ms."""

    def append(self, bodies: Sequence[bytes], sender: str = "") -> list[int]:
        """Add all messages or none, durable on return; their ids. Raises QueueFull.

        ``sender`` is that of the deliveries.
        """

    def acknowledge_and_receive(
        self, acknowledged: Mapping[str, Sequence[str]], limit: int, visibility_timeout: int
    ) -> list[Delivery]:
        """Delete messages (ids by receipt), and receive up to ``limit`` others.

        Received messages stay hidden for ``visibility_timeout`` ms.
        """

    def release(self, receipts: Collection[str]) -> None:
        """Make the messages that were received under these receipts visible at once.

        Taking the lease of the source of this name does the same for all receipts: its former
        holder may not commit any more.
        """

    def remove(self, wanted: Callable[[Delivery], bool]) -> int:
        """Delete each message that ``wanted`` says, hidden messages included; how many.

        What was received before may still be applied; to acknowledge it changes nothing then.
        """

    def size(self) -> tuple[int, int]:
        """The number of messages and their bytes, hidden messages included."""

    def oldest(self) -> int | None:
        """When the oldest message was sent, in ms; None for an empty queue."""

    def next_visible(self) -> int | None:
        """When the next hidden message appears again, in ms; None if none is hidden."""

    def wait(self, timeout: float) -> None:
        """Return when anything was committed, or after ``timeout`` seconds."""


class StoredReaction(Protocol):
    """How far a reaction has come: for each device, the state of its last successful call.

    Its position is that state, so it is as durable as the states, and a backup has both. ``term``
    is that of the reaction's lease: a method raises LeaseLost if it is not the newest.
    """

    def begin(self, term: int) -> bool:
        """Begin with the present states, or continue; True if it begins.

        A reaction that watches other patterns than before continues for the devices it watched,
        begins with the present for those that are new to it, and forgets the others.
        """

    def unhandled(self) -> list[str]:
        """Names of devices that may have changed since their last call, the oldest change first.

        A removed device is one of them, also when the store has forgotten its removal.
        """

    def last(self, device: str) -> bytes | None:
        """The state of the last successful call; None: there was no such device, or the row that
        keeps the state is damaged."""

    def note(self, device: str, update: Update | None, term: int) -> None:
        """Note a successful call with this update; None: the store has forgotten the device.

        It survives the process, but not always the power supply: then the call is repeated. It ends
        no ``wait``.
        """
