"""A serving process inside of a test: a runtime, its hub and its viewers, on a store that others
share. The loop is fake, so the test says when it turns; the store and the relay are the real ones.
"""

from __future__ import annotations

import queue
from collections.abc import Sequence

from statecast.broadcast.change_feed import ChangeFeed
from statecast.model import Event
from statecast.runtime import Runtime
from statecast.settings import Settings
from tests.fakes.fake_loop import FakeLoop
from tests.fakes.harness import FakeClient, Harness


class ServingProcess:
    """One of several. ``close`` it."""

    def __init__(self, store: str) -> None:
        """``store`` is the URL. Its viewers are of other machines."""
        self.runtime = Runtime(Settings(store=store, allow_public=True))
        self.written: queue.Queue[str] = queue.Queue()
        """The names of the events that its relay has written."""
        self._write = self.runtime.store.emit
        self.runtime.store.emit = self.emit  # type: ignore[method-assign]
        self._asked: queue.Queue[None] = queue.Queue()
        """Each time that its relay has asked for other processes."""
        self._others_take_events = self.runtime.store.others_take_events
        self.runtime.store.others_take_events = self.others_take_events  # type: ignore[method-assign]
        broadcaster = self.runtime.broadcaster()
        self.hub = self.runtime.hub(broadcaster)
        self.loop = FakeLoop()
        self.harness = Harness(loop=self.loop, hub=self.hub)
        self._feed = ChangeFeed(self.runtime.store, self.loop, dict, broadcaster)  # type: ignore[arg-type]
        broadcaster._change_feed = self._feed
        self.runtime.store.take_events()
        self._feed.read_once()

    def emit(self, events: Sequence[Event]) -> None:
        """What the relay calls."""
        self._write(events)
        for event in events:
            self.written.put(event.name)

    def others_take_events(self) -> bool:
        """What the relay asks, for each batch that it has taken."""
        found = self._others_take_events()
        self._asked.put(None)
        return found

    def wait_until_decided(self) -> None:
        """Until its relay has asked for other processes after all that was emitted so far.

        It takes the second event only after it has decided about all before.
        """
        for _ in range(2):
            self.runtime.viewers.emit("decide", to="empty room")
            while self.runtime.viewers.relay._events:
                self._asked.get(timeout=10)

    def client(self) -> FakeClient:
        """A viewer that has not joined yet."""
        return self.harness.client().open()

    def wait_until_written(self, name: str) -> None:
        """Until its relay has written an event."""
        while self.written.get(timeout=10) != name:
            pass

    def read(self) -> None:
        """Take over what the others have written."""
        self._feed.read_once()
        self.settle()

    def settle(self) -> None:
        """Make the calls of all threads."""
        while not self.loop._calls.empty():
            self.loop.take_call()
        self.loop.settle()

    def close(self) -> None:
        self.hub.close_threads()
        self.runtime.viewers.relay.close()
        self.runtime.store.close()
