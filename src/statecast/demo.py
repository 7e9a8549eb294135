"""A simulated pillow for ``--demo``. It is a device: it sends messages into the embedded queue and nothing else.

It looks at the store only as a real device would look at its twin, to notice that somebody hugged it.
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
LIVELY = 10
"""So many moods are short, for whoever has just started the demo; later ones leave room for a word in the timeline."""
SHORT_MOOD, LONG_MOOD = 12_000, 45_000
HUG_LASTS = 6_000
BEAT = 5_000
"""Milliseconds between two signs of life."""

log = logging.getLogger(__name__)


class DemoPillow:
    """Only one process at a time plays the pillow: whoever holds the lease ``demo``."""

    def __init__(self, store: Store, queue: EmbeddedQueue, clock: Callable[[], int]) -> None:
        self.store = store
        self.queue = queue
        self.clock = clock
        self.battery, self.mood, self.moods = 82, 0, 0
        self.changes_at = self.hears_at = 0
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
                self._play()
            except StatecastError as error:
                log.warning("the demo's pillow cannot reach its queue: %s", error)
                self._stop.wait(1.0)

    def _play(self) -> None:
        lease = self.store.lease("demo")
        if lease is None:
            return
        try:
            self.wake_up()
            while not self._stop.is_set():
                self.live()
                self.store.wait(0.5)
        finally:
            lease.release()

    def wake_up(self) -> None:
        """A hug from before is not answered again."""
        self.answered = self._hugged_at()

    def live(self) -> None:
        """Say what is due by now."""
        now = self.clock()
        if self.hug_ends_at is not None and now >= self.hug_ends_at:
            self.hug_ends_at = None
            self._say(hugged=False)
        hugged_at = self._hugged_at()
        if hugged_at is not None and hugged_at != self.answered:
            self.answered = hugged_at
            self.hug_ends_at = now + HUG_LASTS
            self._say(hugs=self._hugs() + 1)
        if now >= self.changes_at:
            self.battery = self.battery - 1 if self.battery > 5 else 100
            self.mood = (self.mood + 1) % len(MOODS)
            self._say(mood=MOODS[self.mood], battery=self.battery)
            self.moods += 1
            self.changes_at = now + (SHORT_MOOD if self.moods <= LIVELY else LONG_MOOD)
        elif now >= self.hears_at:
            self._say(battery=self.battery)

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

    def _say(self, **state: object) -> None:
        self.queue.send(
            strict_json.encode({"device": "pillow", "state": state, "silent_after": 30})
        )
        self.hears_at = self.clock() + BEAT
