"""What a client of the tests holds.

The rules of ``docs/wire.md``, for whatever library brings the events.
"""

from __future__ import annotations

from typing import Any

from statecast.testing import oracle

MEMBERS = ("epoch", "offset", "scope")
"""Of a position."""


class HeldStates:
    """States by device, and the position up to which they are complete."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.position: dict[str, Any] | None = None
        self.resets = 0
        self.overtaken: list[str] = []
        """Items that came after a newer one of their device, as sentences.

        None, if events are handled in order.
        """
        self.unfit: list[str] = []
        """Patches of a version that it does not hold, as sentences."""
        self.patches = 0
        self._offsets: dict[str, int] = {}
        self._versions: dict[str, int] = {}

    def apply(self, event: dict[str, Any]) -> None:
        if event.get("reset"):
            self.resets += 1
            self.states.clear()
            self._offsets.clear()
            self._versions.clear()
            self.position = None
        for item in event["states"]:
            self._apply_item(item)
        before = self.position
        named = {member: event[member] for member in MEMBERS if member in event}
        if before is None or named.get("scope", before["scope"]) != before["scope"]:
            assert len(named) == len(MEMBERS), f"a position is not named: {named}"
            self.position = named
        elif event["offset"] > before["offset"]:
            self.position = {**before, **named}

    def _apply_item(self, item: dict[str, Any]) -> None:
        device = item["device"]
        if item.get("gone"):
            self.states.pop(device, None)
            self._offsets.pop(device, None)
            self._versions.pop(device, None)
            return
        offset = item["offset"]
        held = self._offsets.get(device, 0)
        if offset <= held:
            if offset < held:
                self.overtaken.append(f"{device} went back from offset {held} to {offset}")
            return
        if "from" in item:
            self.patches += 1
            if self._versions.get(device) != item["from"]:
                held_version = self._versions.get(device)
                self.unfit.append(f"{device}: a patch of {item['from']}, held {held_version}")
                return
            state = oracle.merged(self.states[device], item["patch"])
        else:
            state = item["state"]
        self._offsets[device] = offset
        self._versions[device] = item["version"]
        if state is None:
            self.states.pop(device, None)
            self._versions.pop(device, None)
        else:
            self.states[device] = state

    @property
    def since(self) -> dict[str, Any]:
        """What a ``watch`` says of it."""
        return {} if self.position is None else {"since": self.position}
