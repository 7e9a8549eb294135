"""A simulated device for ``--demo``, a pillow. It sends messages to the embedded queue.

It reads its state only to notice a hug, like a real device that reads its twin.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from statecast import strict_json
from statecast.errors import StatecastError
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.contract import Store

MOODS = ("happy", "calm", "sleepy", "calm", "happy", "sad", "calm", "angry")
SHORT_MOODS = 10
"""The first moods are short, so that something changes soon. Later ones are long enough for a word
in the timeline."""
SHORT_MOOD, LONG_MOOD = 12_000, 45_000
"""Durations in ms, like those below."""
HUG_DURATION = 6_000
HEARTBEAT = 5_000
"""Between two messages."""

log = logging.getLogger(__name__)


class DemoPillow:
    """One process at a time simulates the pillow: the one that holds the lease ``demo``."""

    def __init__(self, store: Store, queue: EmbeddedQueue, clock: Callable[[], int]) -> None:
        self.store = store
        self.queue = queue
        self.clock = clock
        self.battery, self.mood, self.moods = 82, 0, 0
        self.next_mood_at = self.next_heartbeat_at = 0
        self.hug_ends_at: int | None = None
        self.answered: object = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-pillow", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.store.wake()

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            try:
                self._simulate()
            except StatecastError as error:
                log.warning("the demo's pillow cannot reach its queue: %s", error)
                self._stop.wait(1.0)

    def _simulate(self) -> None:
        lease = self.store.lease("demo")
        if lease is None:
            return
        try:
            self.ignore_old_hug()
            while not self._stop.is_set():
                self.send_due()
                self.store.wait(0.5)
        finally:
            lease.release()

    def ignore_old_hug(self) -> None:
        """Do not answer a hug from before the start."""
        self.answered = self._hugged_at()

    def send_due(self) -> None:
        """Send the messages that are due."""
        now = self.clock()
        if self.hug_ends_at is not None and now >= self.hug_ends_at:
            self.hug_ends_at = None
            self._send(hugged=False)
        hugged_at = self._hugged_at()
        if hugged_at is not None and hugged_at != self.answered:
            self.answered = hugged_at
            self.hug_ends_at = now + HUG_DURATION
            self._send(hugs=self._hugs() + 1)
        if now >= self.next_mood_at:
            self.battery = self.battery - 1 if self.battery > 5 else 100
            self.mood = (self.mood + 1) % len(MOODS)
            self._send(mood=MOODS[self.mood], battery=self.battery)
            self.moods += 1
            self.next_mood_at = now + (SHORT_MOOD if self.moods <= SHORT_MOODS else LONG_MOOD)
        elif now >= self.next_heartbeat_at:
            self._send(battery=self.battery)

    def _state(self) -> dict[str, object]:
        update = self.store.get("pillow")
        return (
            strict_json.decode(update.state)
            if update is not None and update.state is not None
            else {}
        )

    def _hugged_at(self) -> object:
        state = self._state()
        return state.get("hugged_at") if state.get("hugged") is True else None

    def _hugs(self) -> int:
        hugs = self._state().get("hugs")
        return hugs if isinstance(hugs, int) else 0

    def _send(self, **state: object) -> None:
        self.queue.send(
            strict_json.encode({"device": "pillow", "state": state, "silent_after": 30})
        )
        self.next_heartbeat_at = self.clock() + HEARTBEAT
