"""How long every store keeps what no setting bounds, and how many rows one write changes.

Events and reports are of processes that run now, so their age is by the uptime of the host: a step
of the clock makes none of them old.
"""

from __future__ import annotations

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS

CONFIRMED_IDS_MS = HOUR_MS
"""Message ids, after the queue has confirmed that the message is deleted."""
EVENT_IDS_MS = DAY_MS
"""Ids of vendors' events: the same event may come twice under different message ids."""
MAX_IDS = 1_000_000
"""Message ids, and as many event ids. Beyond it the oldest go; stamps make repetitions harmless."""
TOMBSTONE_MS = 7 * DAY_MS
"""Rows of removed devices."""
COMMAND_MS = 7 * DAY_MS
"""Commands that are at their end."""
COMMANDS_AT_ONCE = 32
"""Old commands that a new one deletes."""
SESSION_MS = DAY_MS
"""Sessions of people, after they have expired: no clock of another process is a day behind."""
REMOVED_ACCESS_MS = 30 * DAY_MS
"""Marks of removed users, keys and share links: every process has read them long before."""
MAX_EPOCHS = 1_000
EVENT_MS = 60_000
"""Application events."""
REPORT_MS = 10_000
"""The report of a serving process; one without a newer report counts as dead."""
FORGET_AT_ONCE = 5_000
"""Rows of a table that one transaction forgets: other writers wait for it."""
DEADLINES_AT_ONCE = 2_000
"""Commands of all devices whose deadlines one write notes: other writers wait for it."""
