"""How much a store may hold, and how much it holds."""

from __future__ import annotations

from dataclasses import fields

from statecast.model import value_class
from statecast.settings import Settings


@value_class
class Limits:
    """Bounds of the store. Each is the setting of the same name."""

    history_versions: int = 1_000
    history_days: float = 7.0
    history_rows: int = 1_000_000
    history_bytes: int = 1_000_000_000
    quarantine_rows: int = 10_000
    max_open_commands: int = 100
    """Per device; more are refused."""
    max_open_commands_in_all: int = 10_000
    commands_kept: int = 1_000
    """Per device; beyond it the oldest go that are at their end."""
    max_devices: int = 100_000
    """Present devices: a new one beyond is refused; the existing ones keep working."""
    queue_messages: int = 1_000_000
    queue_bytes: int = 1_000_000_000
    audit_rows: int = 100_000
    """Beyond it the oldest entries of the audit go."""
    late_message_hours: float = 24.0
    """Stamps that are further behind the device's newest one are folded into one floor."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        return cls(**{bound.name: getattr(settings, bound.name) for bound in fields(cls)})

    @property
    def late_message_ms(self) -> int:
        return int(self.late_message_hours * 3_600_000)


@value_class
class Sizes:
    """How much a store holds, and how much room there is."""

    history_rows: int = 0
    history_bytes: int = 0
    file_bytes: int | None = None
    """Of the database file; None for a store in memory, also below."""
    log_bytes: int | None = None
    """Of the log that was not yet copied into the database file."""
    free_bytes: int | None = None
    """Of the file system, for this user."""
