"""How many rows one response of REST has: the default of ``limit`` and its maximum, by list."""

from __future__ import annotations

DEVICES, MAX_DEVICES = 10_000, 10_000
HISTORY, MAX_HISTORY = 50, 1_000
CHANGES, MAX_CHANGES = 1_000, 10_000
COMMANDS, MAX_COMMANDS = 50, 1_000
MAX_WHOLE = 2**53
"""The largest number in an argument: what JSON holds exactly."""
