"""Sightings: messages of devices that made no version. Without them a page shows silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from statecast.broadcast import encoding
from statecast.broadcast.event_output import EventOutput
from statecast.broadcast.latest_states import LatestStates
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.progress import Progress
from statecast.broadcast.subscriber import Subscriber
from statecast.broadcast.subscriptions import Audience, Audiences

SEEN_INTERVAL = 1.0
"""Seconds between two ``seen`` events."""


class SightingFeed:
    """When devices were seen last, and which viewers know it."""

    def __init__(
        self,
        states: LatestStates,
        audiences: Audiences,
        output: EventOutput,
        call_later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._states = states
        self._audiences = audiences
        self._output = output
        self._call_later = call_later
        self._waiting: set[str] = set()
        """Devices of which a sighting waits for the next ``seen`` event."""
        self._sent = Progress()

    def note(self, seen: Mapping[str, int]) -> None:
        """Take over when devices were seen; viewers learn of it with the next event."""
        for device, seen_at in seen.items():
            entry = self._states.see(device, seen_at)
            if entry is None:
                continue
            for audience in self._audiences.watching([device]):
                audience.outdated += 1  # its messages carry the time before
            if entry.has_deadline:
                if not self._waiting:
                    self._call_later(SEEN_INTERVAL, self._send)
                self._waiting.add(device)

    def forget(self, devices: Iterable[str]) -> None:
        """These were removed, and the store has forgotten them."""
        self._waiting.difference_update(devices)

    def start_over(self) -> None:
        """The store was set back."""
        self._waiting.clear()

    def reached(self, audience: Audience) -> int:
        """The last sighting that the up-to-date viewers of an audience have."""
        return self._sent.of(audience)

    def _send(self) -> None:
        """Send the sightings since the last ``seen`` event to up-to-date viewers."""
        seen, self._waiting = self._waiting, set()
        newest, watching = self._states.sightings, self._audiences.watching(list(seen))
        for audience, devices in watching.items():
            times = {device: self._states.seen_at(device) for device in devices}
            self._sent.serve(audience, newest)
            message = OutgoingMessage("seen", encoding.seen(times))
            message.compressible = self._output.compresses(audience, times)
            self._output.to_current(audience, message)
        self._sent.end(newest)

    def send_missed(self, subscriber: Subscriber, head: int) -> None:
        """Send the sightings that a viewer missed; its page would show the devices as silent.

        ``head`` is the offset up to which it has the states.
        """
        known, newest = subscriber.sighting, self._states.sightings
        subscriber.sighting = newest
        if known == newest:
            return
        audience, key = subscriber.audience, (known, newest, head)
        if audience.missed_seen is None or audience.missed_seen[0] != key:
            times = self._states.seen_since(audience, known)
            message = OutgoingMessage("seen", encoding.seen(times)) if times else None
            audience.missed_seen = key, message
        message = audience.missed_seen[1]
        if message is not None:
            self._output.to_one(subscriber.viewer, message)
