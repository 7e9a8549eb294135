"""Edits: changes that an application or a user makes, each a write of its own.

Many edits can share one batch. Each is compared with what those before it have left, exactly as if
they had been committed one after the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from statecast.access.records import AuditEntry
from statecast.model import Change, Delivery, Message, Position, Update, value_class
from statecast.stores.batch import Batch
from statecast.stores.epoch_history import EpochHistory


@value_class
class Edit:
    """One edit as it was asked for."""

    change: Change
    cause_id: str | None = None
    if_match: Position | None = None
    """The device must not have changed since."""
    sender: str = ""
    audit: AuditEntry | None = None

    def message(self, now: int) -> Message:
        """The edit as a message of source ``api``."""
        id_ = self.cause_id or os.urandom(16).hex()
        return Message(Delivery(id_, b"", now, sender=self.sender), (self.change,))


def fold(
    batch: Batch, edit: Edit, delivery: Delivery, epochs: Callable[[], EpochHistory]
) -> Update | None:
    """Fold one edit into a batch; the device after it, None if there is no such device.

    Raises Refused, or Conflict for ``if_match``; then nothing has changed.
    """
    name = edit.change.device
    loaded = batch.loaded.get(name)
    if edit.if_match is not None:
        history = epochs()._replace(offset=batch.counters.offset)
        history.check_unchanged(edit.if_match, loaded.offset if loaded else 0)
    batch.edit(edit.change, delivery)
    loaded = batch.loaded.get(name)
    return loaded.update() if loaded is not None and loaded.offset else None
