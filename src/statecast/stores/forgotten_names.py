"""What stands for the names of devices and people that were forgotten for good."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

from statecast.access.identity import PERSONS
from statecast.model import Speaker

FORGOTTEN = "forgotten"
Changes = Mapping[str, Mapping[str, str]]
"""By column, the new texts of old ones."""


def changes_of_person(name: str) -> dict[str, Changes]:
    """By table, where a person of this name can stand; in the order in which rows are locked."""
    senders = renamed_senders(name)
    causes = {
        f"{by} {sender}": f"{by} {new}"
        for by in get_args(Speaker)
        for sender, new in senders.items()
    }
    asked = {name: FORGOTTEN, **senders}
    return {
        "devices": {"cause_by": causes},
        "queue": {"sender": senders},
        "history": {"cause_by": causes},
        "commands": {"by": asked, "asker": senders},
        "audit": {"by": senders, "target": asked},
        "quarantine": {"sender": senders},
    }


def without_same(columns: Changes) -> dict[str, dict[str, str]]:
    """The changes without texts that stay as they are: those would be found again and again."""
    return {
        name: {text: new for text, new in texts.items() if new != text}
        for name, texts in columns.items()
    }


def renamed_senders(name: str) -> dict[str, str]:
    """The senders that a person of this name can be, and what stands for each; see ``Identity``."""
    return {f"{kind} {name}": f"{kind} {FORGOTTEN}" for kind in PERSONS}


def without_name(detail: str, device: str) -> str:
    """The detail of an entry of the audit, like ``read send pillow, read lamp``, without a device.

    The name is the end of a part. A pattern of several devices stays: it names none of them.
    """
    return re.sub(rf"(^|(?<= )){re.escape(device)}(?=, |$)", FORGOTTEN, detail)
