"""Tells what was left out of messages that are applied all the same.

A source may allow it: a time that cannot be read (``time=optional``), a field that is no JSON
(``on_bad_field=drop``). It is a notice about the device until a whole message of it arrives.
"""

from __future__ import annotations

from collections.abc import Iterable

from statecast.model import Change, Message
from statecast.problems import MAX_PER_KIND, Problems

KIND = "left-out"
SENTENCE = "Part of its last message could not be read and was left out; the log says what."


class LeftOut:
    """What one source left out, per device."""

    def __init__(self, problems: Problems | None) -> None:
        self.problems = problems
        self._devices: set[str] = set()
        """With a notice. Bound: as many as are kept; a further one reaches the log only."""

    def note(self, messages: Iterable[Message]) -> None:
        """Report what was left out of committed messages, and clear what is over."""
        if self.problems is None:
            return
        for message in messages:
            for change in message.changes:
                if change.left_out:
                    self._report(self.problems, change)
                elif change.device in self._devices:
                    self._devices.discard(change.device)
                    self.problems.clear(KIND, f"device {change.device}")

    def _report(self, problems: Problems, change: Change) -> None:
        if len(self._devices) < MAX_PER_KIND:
            self._devices.add(change.device)
        detail = " ".join(change.left_out)
        problems.report(KIND, f"device {change.device}", SENTENCE, severity="notice", detail=detail)
