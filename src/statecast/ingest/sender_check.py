"""Whether the key with which a message was sent may say what the message says, by its rights now.

The server has checked it when it took the message. Since then the key may have been revoked, or its
rights may have been narrowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from statecast.access.actions import Action
from statecast.access.grants import Grants
from statecast.model import Change, Message, Refusal

GrantsOfSender = Callable[[str], Grants | None]
"""The rights of a sender now; None: it has none any more. Raises StoreUnavailable."""


def no_sender(sender: str) -> Grants | None:
    """For a pipeline of queues whose messages have no senders."""
    return None


class SenderCheck:
    """Checks the messages of one batch. The rights of each sender are asked for once."""

    def __init__(self, grants_of: GrantsOfSender) -> None:
        self._grants_of = grants_of
        self._known: dict[str, Grants | None] = {}

    def __call__(self, message: Message) -> Message:
        """The message with what its sender may say; the rest is refused with a sentence.

        Raises StoreUnavailable.
        """
        sender = message.delivery.sender
        if not sender or not message.changes:
            return message
        if sender not in self._known:
            self._known[sender] = self._grants_of(sender)
        grants = self._known[sender]
        kept: list[tuple[Change, tuple[int | None, bytes]]] = []
        refusals = list(message.refusals)
        parts = message.items or ((None, message.delivery.body),) * len(message.changes)
        for change, (item, body) in zip(message.changes, parts, strict=True):
            if sentence := why_not(sender, grants, change):
                refusals.append(Refusal(sentence, body, item, change.device))
            else:
                kept.append((spoken(change, grants), (item, body)))
        changes, items = tuple(one for one, _ in kept), tuple(part for _, part in kept)
        return Message(message.delivery, changes, items, tuple(refusals))


def why_not(sender: str, grants: Grants | None, change: Change) -> str:
    """Why a sender may not say this, as a sentence; "" if it may."""
    if grants is None:
        return f"Its sender, {sender}, was revoked or has expired."
    if not grants.allows(Action.SEND, change.device):
        return f"Its sender, {sender}, may not send messages of this device."
    return ""


def spoken(change: Change, grants: Grants | None) -> Change:
    """The change as its sender may say it: one that may not write speaks as the device."""
    if change.by == "device" or (grants and grants.allows(Action.WRITE, change.device)):
        return change
    return replace(change, by="device")
