"""Everything that one app has: settings, store and queue, and the running parts while it serves.

Nothing here is global: two apps in one process have two runtimes.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from statecast import names
from statecast.access.directory import AccessDirectory
from statecast.access.records import AuditEntry
from statecast.broadcast.broadcaster import Broadcaster
from statecast.broadcast.event_relay import EventRelay
from statecast.broadcast.last_hour import LastHour, Sample
from statecast.broadcast.presence import Presence
from statecast.broadcast.presence_exchange import PresenceExchange
from statecast.broadcast.process_reports import ProcessReports
from statecast.broadcast.unserved import Unserved
from statecast.commands.life import Command, NewCommand
from statecast.dispatcher import CommandDispatcher, no_hook
from statecast.errors import BadSetting, StatecastError, WrongWay
from statecast.http.app_rights import AppRights
from statecast.http.credentials import of_head
from statecast.http.head import RequestHead
from statecast.ingest.consumer import Consumer
from statecast.ingest.overdue import OPEN_QUESTION
from statecast.ingest.pipeline import Decoder, Pipeline, replay
from statecast.model import Change, Event, Update
from statecast.outbox import Outbox, address_of, check
from statecast.problems import MAX_SHOWN, STORE, Problem, Problems, for_report, from_report, merged
from statecast.program.commands import command, complete
from statecast.program.distribution import VERSION
from statecast.reactions import chain
from statecast.reactions.reaction import Reaction
from statecast.reactions.reactions import Reactions
from statecast.realtime.app_viewers import AppViewers, check_texts
from statecast.realtime.authenticator import Authenticator
from statecast.realtime.hub import Hub
from statecast.realtime.readers import Readers
from statecast.settings import Settings
from statecast.sources.contract import Metered, Sender, Source
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.sources.polled_function import PolledFunction
from statecast.stores import open_store, reserved_names
from statecast.stores.contract import API_SOURCE, Store
from statecast.stores.errors import no_device
from statecast.stores.limits import Limits
from statecast.stores.refusals import CountingRefused
from statecast.timestamps import now

if TYPE_CHECKING:
    from statecast.demo import DemoPillow
    from statecast.openapi.operation import DescribedRoute

STORE_SLOW = "The store does not answer; nothing can be written and changes may be late."
HANDED_OUT = 100
"""Commands that a device gets with one answer."""
log = logging.getLogger(__name__)


class Runtime:
    """Opens the store and the sources at their first use; serves from ``start`` to ``stop``.

    Every method may be called from any thread.
    """

    def __init__(self, settings: Settings, clock: Callable[[], int] = now) -> None:
        self.settings = settings
        self.clock = clock
        self.problems = Problems(clock, partial(complete, settings=settings))
        """What is wrong in this process, and with its store."""
        self.sources: list[tuple[Source, Decoder]] = []
        self.consumers: list[Consumer] = []
        self.dispatchers: list[CommandDispatcher] = []
        self.reactions = Reactions(
            lambda: self.store, lambda: self.settings.reaction_threads, clock
        )
        self.last_hour = LastHour()
        self.allows_page: Callable[[str], bool] = lambda address: True
        """Whether an address may read one more page or REST resource now."""
        self.loop_routes: Callable[[], Sequence[DescribedRoute]] = tuple
        """Those of the server of this process, for the document of REST."""
        self.on_sent: Callable[[], None] = lambda: None
        """Called when a message was put into the queue: a test kit consumes it at once."""
        self.rights = AppRights(settings, lambda: self.store, clock, self.problems)
        """Who may do what."""
        self._lagging: Callable[[], int] = lambda: 0
        self._resumed_at: Callable[[], float] = lambda: float("-inf")
        """When this process last went on after it did not run (monotonic)."""
        self._counts: Callable[[], dict[str, float]] = dict
        """What the broadcaster of this process counts, for its report."""
        self._opening = threading.Lock()
        self._registering = threading.RLock()
        self._serving = False
        self._stop_at = 0.0
        """When calls that run at a stop have had their time (monotonic); 0: it was not stopped."""
        self._store: Store | None = None
        self._pillow: DemoPillow | None = None
        self.process_reports = ProcessReports(
            lambda: self.store,
            self.own_report,
            self.problems,
            self._on_reports,
            lambda: self._resumed_at(),
        )
        """What the serving processes of the store say of each other."""
        self._presence: PresenceExchange | None = None
        """Where other processes may use the store, and this one serves."""
        self.unserved = Unserved(lambda: self.store, self._polls, lambda: self.reactions.names)
        """What this process does in vain while nothing serves its store."""
        self.viewers = AppViewers(
            lambda: self.store,
            EventRelay(
                lambda events: self.store.emit(events),
                lambda: self.store.others_take_events(),
                self.problems,
                self.process_reports.process,
            ),
            self.unserved.note_emitted,
            shared=not settings.store.startswith("memory:"),
        )
        """What the app sends them and asks of them."""

    # What every process has

    @property
    def store(self) -> Store:
        """The store, opened at first use. Raises StoreUnusable or BadSetting with a sentence."""
        with self._opening:
            if self._store is None:
                self._store = open_store(
                    self.settings.store,
                    Limits.from_settings(self.settings),
                    self.clock,
                    problems=self.problems,
                )
            return self._store

    def warn_of_reserved_names(self) -> None:
        """Log which devices have names that REST reserves, if the store can be read."""
        with suppress(StatecastError):  # the next use of the store reports it
            reserved_names.warn(self.store, self.settings)

    def close_store(self) -> None:
        """Close the store; its next use opens it again."""
        with self._opening:
            if self._store is not None:
                self._store.close()
            self._store = None

    @property
    def store_opened(self) -> bool:
        """Whether the store was opened: after that its settings cannot change."""
        return self._store is not None

    @cached_property
    def outbox(self) -> Outbox:
        """The sources that the settings name."""
        return Outbox(self.settings, lambda: self.store, self.clock)

    # Who may do what

    def readers(
        self,
        broadcaster: Broadcaster | None,
        *,
        inline: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Readers:
        """Those who are connected to this process, whose rights ``broadcaster`` is to follow.

        ``inline``: for tests, it is found out on the thread of the loop who they are.
        """
        authenticator = Authenticator(
            self.rights.policy,
            lambda: self.store,
            threads=self.settings.handler_threads,
            ask=lambda: self._ask_about if self.rights.asks_application else None,
            inline=inline,
            clock=monotonic,
        )
        readers = Readers(
            self.rights.policy,
            authenticator,
            AccessDirectory(self.clock),
            (lambda viewers: None) if broadcaster is None else broadcaster.regrant,
            credentials_of=partial(
                of_head, proxy=self.rights.proxy_fields, origins=self.settings.allow_origins
            ),
            clock=self.clock,
            monotonic=monotonic,
        )
        if broadcaster is not None:
            broadcaster.on_access(readers.on_access)
            broadcaster.has_rules = lambda: readers.has_rules
        return readers

    def _ask_about(self, head: RequestHead, address: str) -> Any:
        return self.rights.authorize_viewer(head, address)

    def rights_changed(self, user: str | None = None) -> None:
        """What the application allows to a user has changed; None: to anyone. In all processes."""
        check_texts(user or "")
        self.viewers.publish(Event("/", user or "", kind="rights"))

    @property
    def queue(self) -> Sender:
        """The queue that ``send`` writes to. A consumer of it in this process wakes up."""
        return self.outbox.queue

    def add_source(self, source: Source, decode: Decoder) -> None:
        """Consume a source while this process serves; at once if it serves already.

        Raises BadSetting.
        """
        with self._registering:
            if any(source.name == other.name for other, _ in self.sources):
                raise BadSetting(
                    f"There are two sources called {source.name!r}; give one of them another name."
                )
            self.sources.append((source, decode))
            if self._serving:
                self._consume(source, decode)

    def send(self, body: bytes) -> str:
        """Put a message into the queue, durable on return.

        Returns its id. Raises Refused or Unavailable.
        """
        with self.counting_refused(self.queue.name):
            id_ = self.queue.send(check(self.settings, body))
        self.reactions.sent.note(id_)
        if isinstance(self.queue, EmbeddedQueue):
            self.unserved.note_sent(self.queue.name)
        self.on_sent()
        return id_

    def put_into_queue(self, bodies: Sequence[bytes], sender: str) -> list[str]:
        """Put messages that were checked into the queue, durable on return; their ids.

        The embedded queue keeps the key that sent them: its rights are checked again when they are
        applied. Raises Refused or Unavailable.
        """
        if isinstance(self.queue, EmbeddedQueue) and sender.startswith("key "):
            return self.queue.send_many(bodies, sender)
        return list(self.queue.send_many(bodies))

    def edit(self, change: Change) -> Update | None:
        """Commit an edit of the application. Raises Refused or StoreUnavailable."""
        link = chain.current()
        return self.store.edit(change, cause_id=None if link is None else link.cause_id())

    def add_reaction(self, reaction: Reaction) -> None:
        """Call a function when devices change, while this process serves. Raises BadSetting."""
        self.reactions.add(reaction)

    def counting_refused(self, source: str = API_SOURCE) -> CountingRefused:
        """For a block: count a message or an edit that it refuses; see ``Totals.refused``."""
        return CountingRefused(self._count_refused, source)

    def _count_refused(self, source: str) -> None:
        if self._store is not None:
            self._store.count_refused(source)

    def begin_command(self, new: NewCommand, audit: AuditEntry | None = None) -> Command:
        """Ask something of a device, durable on return.

        Raises NotFound, NotTaken, Refused, Unavailable.
        """
        update = self.store.get(new.device)
        if update is None or update.state is None:
            raise no_device(new.device)
        command = self.store.begin_command(new, self.settings.commands_for(new.device), audit=audit)
        self._note_command(command)
        return command

    def hand_out(self, device: str, after: str | None = None) -> list[Command]:
        """The open commands after the one with this id, for the device itself, which takes them.

        Raises WrongWay if the device has a command queue, NotFound, or Unavailable.
        """
        update = self.store.get(device)
        if update is None:
            raise no_device(device)
        if self.outbox.command_routes.queue_of(device, update.source) is not None:
            raise WrongWay(
                "The commands of this device go into its command queue; it takes them from there."
            )
        return self.store.hand_out(device, after=after, limit=HANDED_OUT)

    def _note_command(self, command: Command) -> None:
        """What a change of a command calls for: its way to the device, or the answer from there."""
        if command.status == "waiting":
            for dispatcher in self.dispatchers:
                dispatcher.wake()
        elif command.status == "delivered":
            for consumer in self.consumers:
                if isinstance(consumer.pipeline.source, Metered):
                    consumer.pipeline.source.wake()

    def replay(self, number: int, audit: AuditEntry | None = None) -> str:
        """Apply a message in quarantine again; "" if it was, else why it stays there.

        Raises NotFound, or Unavailable.
        """
        decode, resolution = self.outbox.decoder_for(self.store.quarantine_row(number).source)
        grants_of = self.rights.policy.grants_of_sender
        if not replay(self.store, decode, number, resolution, grants_of, audit).quarantined:
            return ""
        return self.store.quarantine_row(number).reason

    def _polls(self) -> list[str]:
        return [source.name for source, _ in self.sources if isinstance(source, PolledFunction)]

    # Serving

    def broadcaster(self) -> Broadcaster:
        made = Broadcaster(
            self.store,
            self.settings,
            report=self.report,
            clock=self.clock,
            origin=self.process_reports.process,
        )
        self._resumed_at = lambda: made.resumed_at
        if self.viewers.shared:
            self._presence = PresenceExchange(
                lambda: self.store,
                self.process_reports.process,
                made.presence.to_write,
                partial(self._note_ended, made.presence),
                self.problems,
                has_others=lambda: bool(self.process_reports.others),
            )
        made.on_command(self._note_command)
        return made

    def _note_ended(self, presence: Presence, process: str) -> None:
        """Another process has ended without a word."""
        self.process_reports.forget(process)
        if self.viewers.hub is not None:
            self.viewers.hub.forget_process(presence.forget, process)

    def hub(self, broadcaster: Broadcaster) -> Hub:
        """The hub of the viewers, with the application's handlers. Raises BadSetting."""
        from statecast.program.unix import in_children  # not there on every system

        hub = Hub(
            broadcaster,
            self.settings,
            readers=self.readers(broadcaster),
            namespaces=self.settings.namespaces,
        )
        self._lagging = lambda: broadcaster.lagging
        self._counts = lambda: {
            **broadcaster.counts(),
            "sent_bytes": broadcaster.sent_bytes + hub.sent_bytes,
        }
        self.viewers.take(hub)
        in_children(self, Runtime._after_fork)
        return hub

    def _after_fork(self) -> None:
        """Let a child open the store, although another thread may have been at it."""
        self._opening = threading.Lock()

    @contextmanager
    def under_test(
        self, settings: Settings, clock: Callable[[], int], monotonic: Callable[[], float]
    ) -> Iterator[None]:
        """Begin again, with what the application registered and with a store of the test's own.

        Afterwards everything is as it was, so that the app of a module is tested many times.
        Raises BadSetting if the application has opened its store already.
        """
        if self.store_opened:
            raise BadSetting(
                f"The app has opened its store {names.without_password(self.settings.store)} "
                "already, so a test would change it. Read and write states in routes, handlers and "
                "polled functions, not while the app is made; and make one test kit per app."
            )
        before = dict(vars(self))
        Runtime.__init__(self, settings, clock)
        self.viewers.register_as(before["viewers"])
        self.rights.ask_as(before["rights"])
        for reaction in before["reactions"].registered:
            self.reactions.add(reaction)
        self.sources = [
            (
                source.under_test(clock, monotonic)
                if isinstance(source, PolledFunction)
                else source,
                decode,
            )
            for source, decode in before["sources"]
        ]
        try:
            yield
        finally:
            self.stop()
            vars(self).clear()
            vars(self).update(before)

    def open_sources(self) -> None:
        """Open the sources that the settings name. Raises BadSetting for one that is wrong."""
        for url in self.settings.source:
            self.outbox.open(url)
        for url in self.outbox.command_routes.queues:
            self.outbox.open_command_queue(url)

    def start(self) -> None:
        """Start the consumers, and the demo if it is set. Raises BadSetting."""
        _ = self.rights.policy  # wrong rights are a sentence before anything begins
        self.unserved.serving = True
        self._note_first_sample()
        for url in self.settings.source:
            self.add_source(*self.outbox.open(url))
        self.reactions.start()  # before the first message: what it changes is a change
        with self._registering:
            for source, decode in self.sources:
                self._consume(source, decode)
            self._serving = True
        self.dispatchers = list(map(self.make_dispatcher, self.outbox.command_routes.queues))
        for dispatcher in self.dispatchers:
            dispatcher.start()
        self.process_reports.start()
        if self._presence is not None:
            self._presence.start()
        if self.settings.demo:
            self._start_demo()

    def _start_demo(self) -> None:
        from statecast.demo import DemoPillow

        if not isinstance(self.queue, EmbeddedQueue):
            raise BadSetting(
                "The demo needs a queue inside the store as the first source: "
                "--source embedded:queue."
            )
        self._pillow = DemoPillow(self.store, self.queue, self.clock)
        self._pillow.start()

    def _consume(self, source: Source, decode: Decoder) -> None:
        self.add_consumer(source, decode).start()

    def add_consumer(self, source: Source, decode: Decoder) -> Consumer:
        """A consumer that is not started."""
        pipeline = Pipeline(
            source,
            decode,
            self.store,
            batch_size=self.settings.batch_size,
            listed_by=self._listed_by(),
            complete=partial(complete, settings=self.settings),
            problems=self.problems,
            grants_of=self.rights.policy.grants_of_sender,
        )
        consumer = Consumer(
            pipeline, self.store, self.clock, self._note_status, lambda: self._resumed_at()
        )
        self.consumers.append(consumer)
        return consumer

    def make_dispatcher(
        self, url: str, reach: Callable[[str], None] = no_hook
    ) -> CommandDispatcher:
        """What puts commands into this queue; it is not started. ``reach`` is for crash tests."""
        routes = self.outbox.command_routes
        return CommandDispatcher(
            address_of(url),
            self.outbox.open_command_queue(url),
            self.store,
            lambda device, source: routes.queue_of(device, source) == url,
            self.clock,
            self.problems,
            resumed_at=lambda: self._resumed_at(),
            reach=reach,
        )

    def _note_status(self) -> None:
        """The status of a source has changed: tell the viewers and the other processes."""
        self.store.wake()
        self.process_reports.exchange_soon()

    def _listed_by(self) -> str:
        """Where a person finds the quarantine: no command reaches a store in memory."""
        if not self.viewers.shared:
            return "the operator's page"
        return f"`{command(self.settings, 'quarantine', 'list')}`"

    def drain(self) -> None:
        """Stop receiving; batches that were received are committed. No further reaction begins."""
        with self._registering:
            self._serving = False
        self._stop_at = time.monotonic() + self.settings.shutdown_timeout
        self.reactions.drain()
        if self._pillow is not None:
            self._pillow.stop()
        for consumer in self.consumers:
            consumer.stop()
        for dispatcher in self.dispatchers:
            dispatcher.stop()

    def stop(self) -> None:
        """Wait for the consumers and for the reactions that run, and close the store."""
        if not self._stop_at:
            self.drain()
        for consumer in self.consumers:
            consumer.join(5)
        for dispatcher in self.dispatchers:
            dispatcher.join(5)
        self.reactions.stop(max(0.0, self._stop_at - time.monotonic()))
        self.viewers.relay.close()
        if self._presence is not None:
            self._presence.stop()
        self.process_reports.stop()
        if self._store is not None:
            self._store.close()

    # What is known about the sources

    def report(self) -> dict[str, Any]:
        """The ``health`` event without its clock. It asks memory only, so it never waits.

        For each source: the health of our own consumer, or the report of the process that has the
        lease.
        """
        own = {consumer.name: consumer.current() for consumer in self.consumers}
        self._note_slow_store()
        sources: dict[str, Any] = {name: health.report() for name, health in own.items()}
        viewers = self.viewers.count()
        for other in self.process_reports.others.values():
            viewers += other["viewers"]
            for name, health in other["sources"].items():
                if name not in own or own[name].status == "standby":
                    sources[name] = health
        totals = self.process_reports.totals
        return {
            "sources": sources,
            "viewers": viewers,
            "version": VERSION,
            "problems": [one.public() for one in self.all_problems()[:MAX_SHOWN]],
            "quarantined": self.process_reports.quarantined,
            "totals": {source: one.report() for source, one in totals.items()},
        }

    def current_reports(self) -> dict[str, dict[str, Any]]:
        """The reports of the serving processes, by their ids in the store; our own as of now.

        What this process announced is old where the store takes nothing.
        """
        reports = dict(self.store.reports())
        if self._serving:
            reports[self.process_reports.process] = self.own_report()
        return reports

    def all_problems(self) -> list[Problem]:
        """What is wrong in this process and, as of their newest reports, in the others."""
        others = map(from_report, self.process_reports.others.values())
        return merged([self.problems.current(), *others])

    def _note_slow_store(self) -> None:
        waits = [self.process_reports.store_waits, *(one.store_waits for one in self.consumers)]
        if max(waits) > OPEN_QUESTION:
            self.problems.report("store-slow", STORE, STORE_SLOW)
        else:
            self.problems.clear("store-slow", STORE)

    def own_report(self) -> dict[str, Any]:
        """What this process announces to the others."""
        healths = {consumer.name: consumer.current() for consumer in self.consumers}
        return {
            "sources": {
                name: health.report()
                for name, health in healths.items()
                if health.status != "standby"
            },
            "viewers": self.viewers.count(),
            "reactions": self.reactions.names,
            "problems": for_report(self.problems),
            "pid": os.getpid(),
            "lagging": self._lagging(),
            "dropped_events": self.viewers.dropped,
            **({"guesses": guesses} if (guesses := self.rights.guesses.report()) else {}),
            **self._counts(),
        }

    def _note_first_sample(self) -> None:
        """Before the first message, so that the charts count it."""
        with suppress(StatecastError):  # the store is damaged or full: there are no charts then
            totals = {source: one.messages for source, one in self.store.totals().items()}
            self.last_hour.add(Sample(self.clock(), totals, 0.0, 0))

    def _on_reports(self) -> None:
        others = self.process_reports.others.items()
        self.rights.guesses.take({process: one.get("guesses", {}) for process, one in others})
        self._note_sample()

    def _note_sample(self) -> None:
        now = self.clock()
        if not self.last_hour.is_due(now):
            return
        reports = self.process_reports.reports.values()
        sources = [health for report in reports for health in report.get("sources", {}).values()]
        totals = self.process_reports.totals
        self.last_hour.add(
            Sample(
                now,
                {source: one.messages for source, one in totals.items()},
                max((health.get("lag") or 0.0 for health in sources), default=0.0),
                sum(report.get("viewers", 0) for report in reports),
            )
        )

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether the work goes on: store and queues answer, and the store can be written.

        ``details["store"]`` is ``connected`` if this process can serve, whatever the queues do.
        """
        details: dict[str, Any] = {}
        try:
            details["offset"] = self.store.read_position().offset
        except StatecastError as error:
            self.problems.store_failed(error)
        self._note_slow_store()
        wrong = [one for one in self.all_problems() if one.severity == "wrong"]
        of_store = [one for one in self.problems.current() if one in wrong and one.subject == STORE]
        of_work = [
            one for one in wrong if one.subject == STORE or one.subject.startswith("source ")
        ]
        details["store"] = of_store[0].sentence if of_store else "connected"
        if of_work:
            details["problems"] = [one.public() for one in of_work[:MAX_SHOWN]]
        return not of_work, details
