"""A simulated device for ``--demo``, a pillow. It sends messages to the embedded queue.

It takes the command ``hug``, and it takes what others say of it as its own state: a mood that
somebody sent stays, until somebody removes the field. So it reads what the store has of it, like a
real device that reads its twin.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
FULL, FIRST, EMPTY = 100, 82, 5
"""Percent of the battery: at most, at the first start, and when it is charged."""
TAKES = ["hug"]
MOST_READ = 1_000
"""Versions that are read at once, to find what others said."""

log = logging.getLogger(__name__)


class DemoPillow:
    """One process at a time simulates the pillow: the one that holds the lease ``demo``."""

    def __init__(self, store: Store, queue: EmbeddedQueue, clock: Callable[[], int]) -> None:
        self.store = store
        self.queue = queue
        self.clock = clock
        self.battery: Any = FIRST
        self.hugs, self.mood, self.moods = 0, 0, 0
        self.kept_mood: object | None = None
        """The mood that others gave it; None: it has moods of its own."""
        self.next_mood_at = self.next_heartbeat_at = 0
        self.hug_ends_at: int | None = None
        self._own: deque[str] = deque(maxlen=MOST_READ)
        """The ids of its newest messages."""
        self._read_version = 0
        """Up to here it knows what others said."""
        self._taken: str | None = None
        """The id of the newest command that it took."""
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
            self.begin()
            while not self._stop.is_set():
                self.send_due()
                self.store.wait(0.5)
        finally:
            lease.release()

    def begin(self) -> None:
        """Go on from what the store knows; commands that were not answered are taken again."""
        self._taken = None
        update = self.store.get("pillow")
        if update is None or update.state is None:
            return
        state = strict_json.decode(update.state)
        changes = [_decoded(row.change) for row in self.store.history("pillow", limit=MOST_READ)]
        self.kept_mood = None if is_own_mood(changes) else state.get("mood")
        self._adopt({name: state[name] for name in state.keys() - {"mood"}})
        self._read_version = update.version

    def send_due(self) -> None:
        """Take commands, and send the messages that are due."""
        self._read_others()
        self._take_commands()
        now = self.clock()
        if self.hug_ends_at is not None and now >= self.hug_ends_at:
            self.hug_ends_at = None
            self._send(hugged=False)
        if now >= self.next_mood_at:
            self._live_on()
            self.next_mood_at = now + (SHORT_MOOD if self.moods <= SHORT_MOODS else LONG_MOOD)
        elif now >= self.next_heartbeat_at:
            self._send(battery=self.battery)

    def _live_on(self) -> None:
        """Use some of the battery, and have the next mood unless others gave it one."""
        self.battery = used(self.battery)
        self.moods += 1
        if self.kept_mood is not None:
            self._send(battery=self.battery)
            return
        self.mood = (self.mood + 1) % len(MOODS)
        self._send(mood=MOODS[self.mood], battery=self.battery)

    def _read_others(self) -> None:
        """Take what others said since the last look as its own state."""
        update = self.store.get("pillow")
        if update is None or update.version == self._read_version:
            return
        count = max(1, min(update.version - self._read_version, MOST_READ))
        for row in reversed(self.store.history("pillow", limit=count)):
            change = _decoded(row.change)
            if row.cause.id not in self._own:
                self._adopt(change)
            elif self.kept_mood not in (None, change.get("mood", self.kept_mood)):
                # It was under way when the other mood came.
                self._send(mood=self.kept_mood)
        self._read_version = update.version

    def _adopt(self, change: Mapping[str, Any]) -> None:
        if "mood" in change:
            self.kept_mood = change["mood"]
        if "battery" in change:
            self.battery = FULL if change["battery"] is None else change["battery"]
        if "hugs" in change:
            self.hugs = change["hugs"] if isinstance(change["hugs"], int) else 0
        if "hugged" in change:
            hug_ends_at = self.clock() + HUG_DURATION
            self.hug_ends_at = hug_ends_at if change["hugged"] is True else None

    def _take_commands(self) -> None:
        """Do what is asked of it. A command that comes again is answered again, with the same id:
        the answer counts once."""
        for command in self.store.hand_out("pillow", after=self._taken):
            self._taken = command.id
            said = {"command": command.id, "id": f"demo-{command.id}"}
            if command.name == "hug":
                self.hugs += 1
                self.hug_ends_at = self.clock() + HUG_DURATION
                self._send(said | {"outcome": "done"}, hugged=True, hugs=self.hugs)
            else:
                reason = "The simulated pillow only takes hugs."
                self._send(said | {"outcome": "refused", "reason": reason})

    def _send(self, said: Mapping[str, Any] | None = None, **state: object) -> None:
        message = {"device": "pillow", "silent_after": 30, "commands": TAKES, **(said or {})}
        if state:
            message["state"] = state
        self._own.append(self.queue.send(strict_json.encode(message)))
        self.next_heartbeat_at = self.clock() + HEARTBEAT


def used(battery: Any) -> Any:
    """The battery after a while; one that is no number stays as it is."""
    if not isinstance(battery, (int, float)) or isinstance(battery, bool):
        return battery
    return battery - 1 if battery > EMPTY else FULL


def is_own_mood(changes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the pillow itself, in an earlier process, had the newest mood of these changes.

    ``changes`` begin with the newest. Each of its own moods comes with a step of the battery. Its
    moods change so often that one of which no change tells is not its own.
    """
    place = next((place for place, one in enumerate(changes) if "mood" in one), None)
    if place is None:
        return False
    newest, *older = changes[place:]
    before = next((one["battery"] for one in older if "battery" in one), FIRST)
    return newest.keys() == {"mood", "battery"} and newest["battery"] == used(before)


def _decoded(change: bytes | None) -> dict[str, Any]:
    """A merge patch; of a removal all fields that the pillow has, removed."""
    if change is None:
        return dict.fromkeys(("mood", "battery", "hugs", "hugged"))
    decoded: dict[str, Any] = strict_json.decode(change)
    return decoded
