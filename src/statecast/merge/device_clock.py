"""How far the clock of a device is off, and when a message of it happened. Pure.

A message that arrives was delayed by some time, which is never below zero. So of the differences
between arrival and the message's own time, the smallest shows best how far the clock is behind.
A message that arrives late and one of a slow clock look the same. They differ when more follow: the
difference of a slow clock stays, and that of messages which had waited does not.

Rule: an arrival is the insertion into the queue, by the queue's clock: how long a message waits
for us says nothing about the device.
"""

from __future__ import annotations

from struct import Struct

from statecast.model import value_class

YEAR_2020 = 1_577_836_800_000
"""Timestamps before 2020 (in ms) mean that the device's clock was never set."""
SAMPLES = 8
"""Messages per device from which its clock's error is taken."""
PROMPT_MS = 1_000
"""A message that arrives within it needs no correction."""
SAMPLE = Struct("<Iq")
FORMATS = [Struct("<" + "Iq" * count) for count in range(SAMPLES + 1)]
MIN_ERROR_MS = 30_000
"""Less may be the network, or a queue that writes whole seconds."""


@value_class
class DeviceClock:
    """The last messages of a device that brought a time of its own."""

    samples: tuple[int, ...] = ()
    """For each of them the second of its arrival, and by how many ms it arrived later than it says.

    Messages of one second count as one, the least late: a burst says no more than that.
    """

    @classmethod
    def load(cls, data: bytes) -> DeviceClock:
        """Read what ``dump`` wrote. Raises ValueError or TypeError for damaged data."""
        count, rest = divmod(len(data), SAMPLE.size)
        if rest or count > SAMPLES:
            raise ValueError(f"{len(data)} bytes are no samples of a clock")
        return cls(FORMATS[count].unpack(data)) if count else NO_CLOCK

    def dump(self) -> bytes:
        return FORMATS[len(self.samples) // 2].pack(*self.samples) if self.samples else b""

    def noted(self, own: int, arrival: int) -> DeviceClock:
        """The clock after a message."""
        samples, late = self.samples, arrival - own
        second = min(max(0, arrival // 1000), 2**32 - 1)
        if samples and second == samples[-2]:
            if late >= samples[-1]:
                return self
            samples = samples[:-2]
        return DeviceClock((*samples[2 - 2 * SAMPLES :], second, late))

    @property
    def behind(self) -> int | None:
        """By how many ms the clock is behind at most (below 0: ahead); None: no message told."""
        return min(self.samples[1::2]) if self.samples else None

    @property
    def error(self) -> int:
        """By how many ms the clock is known to be behind; below 0: ahead.

        It is known to be behind when two messages agree on it, although time passed between them:
        they may differ by half of that time.
        """
        behind = self.behind
        if behind is None or behind <= 0:
            return behind or 0
        seconds, lates = self.samples[::2], self.samples[1::2]
        second = seconds[lates.index(behind)]
        agreed = any(
            late - behind <= min(abs(other - second) * 500, MIN_ERROR_MS)
            for other, late in zip(seconds, lates, strict=True)
            if other != second
        )
        return behind if agreed else 0

    def put_right(self, own: int, arrival: int) -> int:
        """When a message happened that says ``own`` and arrived at ``arrival``.

        What arrives within a second is left alone. A clock that was ahead and says the right time
        now has been set: its time counts as it is.
        """
        late = arrival - own
        if late <= PROMPT_MS:
            return min(own, arrival)
        error = self.error
        if error < 0 and late < MIN_ERROR_MS:
            return own
        return min(own + error, arrival)


NO_CLOCK = DeviceClock()
"""Of a device that has not told a time."""


def is_usable(own: int, arrival: int, resolution: int) -> bool:
    """Whether a message's own time can be right: after 2020, and not after its arrival."""
    return YEAR_2020 <= own <= arrival + resolution
