"""What stands for the names of devices and people that were forgotten for good."""

from __future__ import annotations

import re

from statecast.access.identity import PERSONS

FORGOTTEN = "forgotten"


def renamed_senders(name: str) -> dict[str, str]:
    """The senders that a person of this name can be, and what stands for each; see ``Identity``."""
    return {f"{kind} {name}": f"{kind} {FORGOTTEN}" for kind in PERSONS}


def without_name(detail: str, device: str) -> str:
    """The detail of an entry of the audit, like ``read send pillow, read lamp``, without a device.

    The name is the end of a part. A pattern of several devices stays: it names none of them.
    """
    return re.sub(rf"(^|(?<= )){re.escape(device)}(?=, |$)", FORGOTTEN, detail)
