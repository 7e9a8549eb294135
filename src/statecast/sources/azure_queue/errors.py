"""Error sentences for failed requests: what happened, and what to do.

They are made from the status, the code and the class of an error. The SDK's own texts are not
used: they quote URLs, and a URL may contain a signature that grants access.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

BUSY = frozenset({408, 429, 500, 502, 503, 504})
GONE = frozenset({"MessageNotFound", "PopReceiptMismatch", "QueueNotFound"})
"""Codes of a deletion without effect: the message has another receipt by now, or was deleted.

Azurite answers with the second code.
"""


class Right(NamedTuple):
    """What allows an action on a queue."""

    permission: str
    """The letter in a SAS."""
    name: str
    """What Azure calls the permission."""
    role: str
    """The role with the least rights that allows it."""


PROCESS = Right("p", "process", "Storage Queue Data Message Processor")
RIGHTS: Mapping[str, Right] = {
    "receive from": PROCESS,
    "delete from": PROCESS,
    "release messages of": Right("u", "update", "Storage Queue Data Contributor"),
    "send to": Right("a", "add", "Storage Queue Data Message Sender"),
    "look into": Right("r", "read", "Storage Queue Data Reader"),
    "create": Right("c", "create, of an account SAS", "Storage Queue Data Contributor"),
}
"""By action, which the sentence names."""


def error_response(status: int | None, code: str, queue: str, host: str, action: str) -> str:
    """For an error response. ``action`` is what was tried, like "receive from"."""
    shown = f"({status}{f' {code}' if code else ''})"
    if code == "AuthorizationPermissionMismatch":
        return missing_right(action, queue, shown)
    if code == "AuthorizationFailure":
        return (
            f"The storage account at {host} refuses this machine's address {shown}: "
            "look at its firewall."
        )
    if status in (401, 403):
        return (
            f"The storage account at {host} refuses the key or signature {shown}: "
            "it is wrong or has expired, or this machine's clock is more than 15 minutes off."
        )
    if code == "QueueNotFound":
        return (
            f"There is no queue “{queue}” at {host} {shown}; "
            f"make it with: az storage queue create --name {queue}"
        )
    if code == "QueueBeingDeleted":
        return (
            f"The queue “{queue}” is being deleted {shown}; "
            "Azure lets one of its name be made half a minute later."
        )
    if code == "InvalidHeaderValue":
        return (
            f"The service at {host} does not understand us {shown}; "
            "if it is Azurite, start a newer one."
        )
    if status in BUSY:
        return f"The storage account at {host} is busy or ill {shown}; asking again."
    return f"The storage account at {host} gave an answer that was not expected {shown}."


def is_refusal(status: int | None) -> bool:
    """Whether a response says for certain that nothing was done."""
    return status is not None and 400 <= status < 500 and status != 408


def was_not_sent(error: Any) -> bool:
    """Whether a request certainly never left: there was no connection to send it on.

    The SDK keeps the error of its HTTP library, and that the one of the connection.
    """
    from requests.exceptions import ConnectTimeout
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    found = getattr(error, "inner_exception", None)
    while found is not None:
        if isinstance(found, ConnectTimeout | ConnectTimeoutError | NewConnectionError):
            return True
        within = [getattr(found, "reason", None), *found.args]
        found = next((one for one in within if isinstance(one, Exception)), None)
    return False


def missing_right(action: str, queue: str, shown: str) -> str:
    """Which right is missing for an action, and what has it."""
    right = RIGHTS[action]
    by_hand = f" Or make it once, with: az storage queue create --name {queue}"
    return (
        f"The credentials may not {action} the queue “{queue}” {shown}: that needs the role "
        f"{right.role}, or a SAS with the permission {right.permission} ({right.name})."
        + (by_hand if action == "create" else "")
    )


def no_response(kind: str, host: str) -> str:
    """For a request without a response; ``kind`` is the name of the error's class."""
    if kind in ("ServiceResponseTimeoutError", "TimeoutError"):
        return f"The queue's service at {host} does not answer."
    if kind.startswith(("ServiceResponse", "IncompleteRead")):
        return f"The queue's service at {host} broke off in the middle of its answer."
    if kind.startswith("ServiceRequest"):
        return f"The queue's service at {host} cannot be reached."
    if kind in ("CredentialUnavailableError", "ClientAuthenticationError"):
        return (
            f"No identity was found that opens {host}: log in with `az login`, "
            "give this machine a managed identity, or set AZURE_STORAGE_CONNECTION_STRING."
        )
    return f"What came from {host} cannot be read ({kind})."


def foreign_response(host: str) -> str:
    """For a response that did not come from Azure."""
    return (
        f"Somebody else answers in the place of {host}: a proxy, or a network that wants a login. "
        "Its answers are not the queue's."
    )


def without_host(sentence: str, host: str) -> str:
    """The sentence for viewers: the host names the account."""
    return sentence.replace(f" at {host}", "").replace(host, "the storage account")
