"""What a client of the tests holds.

The rules of ``docs/wire.md``, for whatever library brings the events.
"""

from __future__ import annotations

from typing import Any


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
        self._offsets: dict[str, int] = {}

    def apply(self, event: dict[str, Any]) -> None:
        if event.get("reset"):
            self.resets += 1
            self.states.clear()
            self._offsets.clear()
            self.position = None
        for item in event["states"]:
            self._apply_item(item)
        before = self.position
        if (
            before is None
            or event["scope"] != before["scope"]
            or event["offset"] > before["offset"]
        ):
            self.position = {member: event[member] for member in ("epoch", "offset", "scope")}

    def _apply_item(self, item: dict[str, Any]) -> None:
        device = item["device"]
        if item.get("gone"):
            self.states.pop(device, None)
            self._offsets.pop(device, None)
            return
        offset = item["offset"]
        held = self._offsets.get(device, 0)
        if offset <= held:
            if offset < held:
                self.overtaken.append(f"{device} went back from offset {held} to {offset}")
            return
        self._offsets[device] = offset
        if item["state"] is None:
            self.states.pop(device, None)
        else:
            self.states[device] = item["state"]

    @property
    def since(self) -> dict[str, Any]:
        """What a ``watch`` says of it."""
        return {} if self.position is None else {"since": self.position}
