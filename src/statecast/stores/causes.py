"""The cause of a version in a row: three columns, of which the last names the sender too."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import cast

from statecast.model import Cause, Speaker


def columns(cause: Cause) -> tuple[str, str, str]:
    """``cause_source``, ``cause_id`` and ``cause_by``: ``device``, or ``device key pillow-1``."""
    return cause.source, cause.id, f"{cause.by} {cause.sender}" if cause.sender else cause.by


def cause_of(source: str, id_: str, by: str) -> Cause:
    """The cause in the three columns."""
    # Few different texts in many rows: each of them once in memory.
    return Cause(sys.intern(source), id_, *_speaker_and_sender(by))


@lru_cache(maxsize=1_000)
def _speaker_and_sender(by: str) -> tuple[Speaker, str]:
    speaker, _, sender = by.partition(" ")
    return cast(Speaker, sys.intern(speaker)), sender
