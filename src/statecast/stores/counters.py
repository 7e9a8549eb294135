"""The rising numbers of a store, and running totals, so that no commit has to count rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Each rising number is the last one that was given out."""

    arrival: int = 0
    """Order of arrival: the last part of a stamp, and the ids of the embedded queues."""
    offset: int = 0
    """One per visible version."""
    seen: int = 0
    """One per device that was seen in a commit without a new version."""
    event: int = 1
    """One per application event. It starts at 1 because a cursor at 0 means "from now on"."""
    page: int = 0
    """One per commit with new message ids."""
    receipt: int = 0
    """One per receive of a queue that returned messages."""
    forgotten: int = 0
    """Offset of the newest tombstone that was deleted."""
    history_rows: int = 0
    history_bytes: int = 0
    known_ids: int = 0
    known_events: int = 0
    quarantine_rows: int = 0
    devices: int = 0
    """Devices that are present: without those that were removed."""
    clock: int = 0
    """The reading of the clock at the newest commit, in ms."""
    doubted_at: int = 0
    """When a step of the clock was noticed last, by the clock after it, in ms; 0: never."""
    doubted_by: int = 0
    """By how many ms the clock went forward then; below 0: back."""
    command: int = 0
    """One per change of a command, its beginning included."""
    doubted_offset: int = 0
    """``offset`` then: the versions up to it were written before the step."""
    doubted_seen: int = 0
    """``seen`` then."""
    watch: int = 0
    """One per change of what the viewers of a process watch."""
    access: int = 0
    """One per change of a user, key, share link or session."""
    audit: int = 0
    """One per entry of the audit."""

    def coming_arrival(self) -> int:
        """What ``next_arrival`` will return."""
        return self.arrival + 1

    def next_arrival(self) -> int:
        """A new number in the order of arrival."""
        self.arrival += 1
        return self.arrival
