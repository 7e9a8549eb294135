"""How far reactions have come, in dicts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from statecast import names
from statecast.model import Update
from statecast.stores.batch import DeviceState
from statecast.stores.leases import reaction_lease


@dataclass(slots=True)
class ReactionRecord:
    """What the store keeps for one reaction."""

    patterns: tuple[str, ...] | None = None
    """None: it has not begun."""
    last: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """By device, the offset and the state of the last successful call."""


class MemoryReaction:
    """One reaction of a store in memory; under the lock of the store."""

    def __init__(
        self,
        name: str,
        patterns: tuple[str, ...],
        record: ReactionRecord,
        devices: Mapping[str, DeviceState],
        check_term: Callable[[str, int], None],
        lock: threading.RLock,
    ) -> None:
        self.name = name
        self.patterns = patterns
        self._record = record
        self._devices = devices
        self._check_term = check_term
        self._lock = lock

    def begin(self, term: int) -> bool:
        """Begin with the present states, or continue; True if it begins. Raises LeaseLost."""
        with self._lock:
            self._check_term(reaction_lease(self.name), term)
            record = self._record
            before, record.patterns = record.patterns, self.patterns
            record.last = {
                device: one for device, one in record.last.items() if self._watches(device)
            }
            for device, loaded in self._devices.items():
                known = names.match_any(before or (), device)
                if loaded.state is not None and self._watches(device) and not known:
                    record.last[device] = (loaded.offset, loaded.state)
            return before is None

    def unhandled(self) -> list[str]:
        """Names of devices that may have changed since their last call."""
        with self._lock:
            last = self._record.last
            changed = [
                (loaded.offset, device)
                for device, loaded in self._devices.items()
                if self._watches(device)
                and loaded.offset > 0
                and loaded.offset != last.get(device, (0, b""))[0]
                and (loaded.state is not None or device in last)
            ]
            gone = [device for device in last if device not in self._devices]
        return [*(device for _, device in sorted(changed)), *gone]

    def last(self, device: str) -> bytes | None:
        """The state of the last successful call; None: none."""
        with self._lock:
            found = self._record.last.get(device)
        return None if found is None else found[1]

    def note(self, device: str, update: Update | None, term: int) -> None:
        """Note a successful call. Raises LeaseLost."""
        with self._lock:
            self._check_term(reaction_lease(self.name), term)
            if update is None or update.state is None:
                self._record.last.pop(device, None)
            else:
                self._record.last[device] = (update.offset, update.state)

    def _watches(self, device: str) -> bool:
        return names.match_any(self.patterns, device)
