"""An app with its queue, store and viewers in the process of a test.

No network, no thread and no pause: the real consumer, broadcaster and hub are driven step by step.
What a test did has taken effect when it looks, and time passes only when the test says so.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from statecast.broadcast.broadcaster import Broadcaster
from statecast.decoders import OPTIONS, open_decoder
from statecast.decoders.decoder import Decoder
from statecast.dispatcher import CommandDispatcher
from statecast.errors import BadSetting, Refused
from statecast.flask import runtime_of
from statecast.ingest.consumer import Consumer
from statecast.outbox import Outbox, address_of, without_commands
from statecast.reactions.reaction import Reaction
from statecast.reactions.reactions import Reactions
from statecast.reactions.runner import ReactionRunner
from statecast.realtime.handlers import Handler
from statecast.realtime.hub import Hub
from statecast.realtime.readers import Readers
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.sources.contract import Sender, Source
from statecast.sources.polled_function import PolledFunction
from statecast.sources.url import split_options
from statecast.stores.leases import Lease, command_lease
from statecast.testing.page_viewer import PageViewer
from statecast.testing.source_contract import FakeSource
from statecast.testing.values import VirtualClock
from statecast.testing.virtual_loop import VirtualLoop

REPORTS = 2.0
"""Seconds between two reports of a process; see ``ProcessReports``."""


class AppClock(VirtualClock):
    """The clock of an app: ``advance`` lets happen what is due meanwhile."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def advance(self, seconds: float) -> None:
        self._advance(seconds)

    def step(self, ms: int) -> None:
        super().advance(ms / 1000)


class FakeQueues(Outbox):
    """A queue in memory for each source of the settings, with that source's decoder."""

    def open(self, url: str) -> tuple[Source, Decoder]:
        if url not in self._opened:
            address, decoding = split_options(without_commands(url)[0], OPTIONS)
            self._opened[url] = self._fake(address), open_decoder(decoding, url)
        return self._opened[url]

    def open_command_queue(self, url: str) -> Sender:
        return self._command_queues.setdefault(url, self._fake(url))

    def _fake(self, address: str) -> FakeSource:
        name = address_of(address).partition(":")[2].rpartition("/")[2] or address
        return FakeSource(
            name, visibility_timeout=self.settings.visibility_timeout, clock=self.clock
        )


class FirstError:
    """The first error of a function of the app that the test has not got yet."""

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def noting(self, function: Handler) -> Handler:
        """The function, whose errors are noted. A refusal is an answer, and no error."""

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            with self._noting():
                return function(*arguments)

        @functools.wraps(function)
        async def call_later(*arguments: Any) -> Any:
            with self._noting():
                return await function(*arguments)

        return call_later if inspect.iscoroutinefunction(function) else call

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except Refused:
            raise
        except Exception as error:
            self._error = self._error or error
            raise

    def raise_it(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


class CallerPool:
    """Makes calls in the thread of the caller."""

    def try_submit(self, call: Callable[[], object]) -> bool:
        call()
        return True

    def close(self) -> None:
        """It has no thread."""


class InProcessHub(Hub):
    """The viewers of a test, and the handlers, whose errors the test gets."""

    def __init__(
        self, broadcaster: Broadcaster, settings: Settings, readers: Readers, errors: FirstError
    ) -> None:
        self._errors = errors
        super().__init__(
            broadcaster, settings, readers=readers, namespaces=settings.namespaces, inline=True
        )

    def on(self, event: str, handler: Handler, namespace: str = "/") -> None:
        super().on(event, self._errors.noting(handler), namespace)

    def check_may_wait(self) -> None:
        """The viewers of a test answer at once, so nothing waits."""

    def wait_for(self, answer: Any, timeout: float) -> Any:
        if not answer.done():
            raise TimeoutError(
                "The viewer did not acknowledge the event. Say in the test what it answers: "
                'viewer.on("question", lambda *data: "answer").'
            )
        return answer.result()


class AppUnderTest:
    """One app, from ``start`` to ``stop``. Use it in the thread of the test."""

    def __init__(self, app: Flask, store: str = "memory:") -> None:
        """``store`` is the URL of its store for the test. Raises BadSetting."""
        self.app = app
        self.clock = AppClock(self.advance)
        self.runtime: Runtime = runtime_of(app)
        self.viewers: list[PageViewer] = []
        self._store = store
        self._thread = threading.get_ident()
        self._settling = False
        self._errors = FirstError()
        self._reactions_pause: float | None = None
        """Seconds until a reaction is due; None: there is none."""
        self._leases: list[tuple[Consumer, Lease]] = []
        self._dispatchers: list[tuple[CommandDispatcher, Lease]] = []
        self._until_stop = ExitStack()

    # Start and stop

    def start(self) -> None:
        check_no_loop()
        runtime = self.runtime
        settings = dataclasses.replace(runtime.settings, store=self._store, demo=False)
        self._until_stop.enter_context(runtime.under_test(settings, self.clock, self._uptime))
        runtime.unserved.serving = True
        runtime.on_sent = self.settle
        runtime.outbox = FakeQueues(settings, lambda: runtime.store, self.clock)
        try:
            for url in settings.source:
                runtime.add_source(*runtime.outbox.open(url))
            self._start_serving()
        except BaseException:
            self._until_stop.close()
            raise

    def stop(self) -> None:
        """Afterwards the app is as it was. Raises what a handler of ``disconnect`` raises."""
        try:
            self._stop_serving()
        finally:
            self._until_stop.close()

    def restart(self) -> None:
        """Stop the process and start another on the same store; pages come back by themselves.

        What the app keeps in its own variables stays, because its module is not imported again.
        """
        self._stop_serving()
        if not self._store.startswith("memory:"):
            self.runtime.close_store()
        self._start_serving()
        for viewer in self.viewers:
            if viewer.returns:
                viewer.connect()

    def _start_serving(self) -> None:
        runtime = self.runtime
        self.loop = VirtualLoop(self.clock)
        self.broadcaster = runtime.broadcaster()
        readers = runtime.readers(self.broadcaster, inline=True, monotonic=self._uptime)
        self.hub = InProcessHub(self.broadcaster, runtime.settings, readers, self._errors)
        runtime.viewers.take_for_test(self.hub)
        runtime.viewers.count = lambda: sum(viewer.connected for viewer in self.viewers)
        self.hub.start(self.loop)
        self.broadcaster.start(self.loop, follow=False)
        self._start_reactions()
        self._start_dispatchers()
        self._report()
        self.settle()

    def _start_dispatchers(self) -> None:
        runtime = self.runtime
        for url in runtime.outbox.command_routes.queues:
            lease = runtime.store.lease(command_lease(address_of(url)))
            assert lease is not None, "one app under test uses the store"
            self._dispatchers.append((runtime.make_dispatcher(url), lease))

    def _start_reactions(self) -> None:
        registered, runtime = self.runtime.reactions.registered, self.runtime
        runtime.reactions = Reactions(
            lambda: runtime.store, lambda: 1, self.clock, self._runner, follow=False
        )
        for reaction in registered:
            runtime.reactions.add(reaction)
        runtime.reactions.start()

    def _runner(self, reaction: Reaction, *arguments: Any) -> ReactionRunner:
        noting = dataclasses.replace(reaction, function=self._errors.noting(reaction.function))
        return ReactionRunner(noting, *arguments, monotonic=self._uptime, pool=CallerPool())

    def _uptime(self) -> float:
        return self.clock.running / 1000

    def _stop_serving(self) -> None:
        try:
            for viewer in self.viewers:
                viewer.cut("server restart")
        finally:
            self._stop_parts()

    def _stop_parts(self) -> None:
        self.runtime.reactions.stop(0)
        for consumer, lease in self._leases:
            lease.release()
            self.runtime.consumers.remove(consumer)
        self._leases.clear()
        for _, lease in self._dispatchers:
            lease.release()
        self._dispatchers.clear()
        self.broadcaster.stop()
        self.hub.close_threads()
        cancel_tasks(self.loop)
        self.loop.close()

    def _report(self) -> None:
        self.runtime.process_reports.exchange()
        self.loop.call_later(REPORTS, self._report)

    # What a test does

    @property
    def client(self) -> FlaskClient:
        """A Flask test client, with cookies of its own: another browser."""
        return self.app.test_client()

    @property
    def source(self) -> FakeSource:
        """The queue of the app, which ``live.send`` writes to."""
        queue = self.runtime.queue
        if not isinstance(queue, FakeSource):
            raise BadSetting("The app has no source, so no queue: see the setting source.")
        return queue

    def command_queue(self, url: str) -> FakeSource:
        """A command queue of the app, by its URL in the settings: what a device receives.

        Raises BadSetting if the settings name no such queue.
        """
        outbox = self.runtime.outbox
        for one in outbox.command_routes.queues:
            queue = outbox.open_command_queue(one)
            if address_of(one) == address_of(url) and isinstance(queue, FakeSource):
                self.settle()
                return queue
        raise BadSetting(f"The settings of the app name no command queue {address_of(url)!r}.")

    def viewer(
        self,
        *patterns: str,
        namespace: str = "/",
        client: FlaskClient | None = None,
        auth: Any = None,
        query: str = "",
        headers: Any = None,
    ) -> PageViewer:
        """A further page, which watches ``patterns`` (``"*"``: every device, the default).

        It has the cookies of ``client``, a Flask test client. Raises ConnectionRefused if the
        app's connect handler refuses it.
        """
        viewer = PageViewer(self, patterns or ("*",), namespace, client, auth, query, headers)
        viewer.connect()
        self.viewers.append(viewer)
        return viewer

    def advance(self, seconds: float) -> None:
        """Let time pass: timers and polled functions run when they are due."""
        until = self.clock.running + round(seconds * 1000)
        self.settle()
        while self.clock.running < until:
            self.clock.step(min(until, self._next_stop()) - self.clock.running)
            self.settle()

    def _next_stop(self) -> int:
        """When something is due next, in ms of uptime."""
        polls = [one.due for one, _ in self.runtime.sources if isinstance(one, PolledFunction)]
        pauses = [one for one in (self.loop.pause, self._reactions_pause) if one is not None]
        due = min([*polls, *(self._uptime() + pause for pause in pauses)])
        return max(self.clock.running + 1, math.ceil(due * 1000))

    def settle(self) -> None:
        """Let everything take effect that was done so far. Whatever looks at a viewer calls it."""
        if self._settling or threading.get_ident() != self._thread or self.loop.is_running():
            return  # it goes on until nothing is left, also what this call is about
        self._settling = True
        try:
            while self._step():
                pass
        finally:
            self._settling = False
        self._errors.raise_it()

    def _step(self) -> bool:
        """Whether something may be left."""
        self._consume_new_sources()
        moved = sum([consumer.step_now(lease) for consumer, lease in self._leases])
        moved += sum([dispatcher.step(lease.term) for dispatcher, lease in self._dispatchers])
        if self.runtime.reactions.names:
            self._reactions_pause = self.runtime.reactions.step()
            moved += not self._reactions_pause
        self.loop.settle()
        before = self.broadcaster.position
        self.broadcaster.read_changes()
        self.loop.settle()
        return bool(moved) or self.broadcaster.position != before

    def _consume_new_sources(self) -> None:
        consumed = {consumer.name for consumer, _ in self._leases}
        for source, decode in self.runtime.sources:
            if source.name not in consumed:
                lease = self.runtime.store.lease(source.name)
                assert lease is not None, "one app under test uses the store"
                consumer = self.runtime.add_consumer(source, decode)
                self._leases.append((consumer, lease))

    # For the sentences of failures

    def explain(self) -> list[str]:
        """Why a state may be missing, in sentences."""
        sentences = []
        for consumer, _ in self._leases:
            if consumer.current().sentence:
                sentences.append(f"Source {consumer.name}: {consumer.current().sentence}")
        for row in self.runtime.store.quarantined(limit=3, newest=True):
            sentences.append(f"In quarantine: {row.body[:200]!r}, because: {row.reason}")
        return sentences


def check_no_loop() -> None:
    """Raises BadSetting inside a coroutine."""
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise BadSetting(
            "Statecast's test kit has an event loop of its own: write `def test_...`, not "
            "`async def test_...`."
        )


def cancel_tasks(loop: VirtualLoop) -> None:
    """End coroutines that still wait, as a stopping server does."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.settle()
