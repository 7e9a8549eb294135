"""An event loop whose time is the clock of a test. It never waits."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable

from statecast.testing.values import VirtualClock


class IdleSelector(selectors.DefaultSelector):
    """Never waits. Its loop asks it to wait when no call is ready."""

    def __init__(self) -> None:
        super().__init__()
        self.on_idle: Callable[[], None] = lambda: None
        self.pause: float | None = None
        """Seconds until the next timer of the loop; None: it has none."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout != 0:
            self.pause = timeout
            self.on_idle()
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """``settle`` makes the calls that are ready and those of the timers that are due."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._idle = IdleSelector()
        super().__init__(self._idle)
        self._idle.on_idle = self.stop

    def time(self) -> float:
        return self._clock.running / 1000

    @property
    def pause(self) -> float | None:
        """Seconds until the next timer, as of the last ``settle``; None: there is none."""
        return self._idle.pause

    def settle(self) -> None:
        """Make calls until none is ready. Inside one of them, or in another thread: does nothing,
        because it happens anyway."""
        if not self.is_running():
            self.run_forever()
