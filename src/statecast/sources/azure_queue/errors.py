"""What went wrong between us and the service, in one sentence that says what to do.

Only status, code and the kind of an error are read: the texts of the SDK quote addresses, and an address may carry a
signature that opens the queue.
"""

from __future__ import annotations

BUSY = frozenset({408, 429, 500, 502, 503, 504})
GONE = frozenset({"MessageNotFound", "PopReceiptMismatch", "QueueNotFound"})
"""Codes of a deletion that has nothing to delete: somebody else's now, or gone already (Azurite says the second)."""


def of_answer(status: int | None, code: str, queue: str, host: str, right: str) -> str:
    """For an answer that is an error. ``right`` says what was tried, like "receive from"."""
    said = f"({status}{f' {code}' if code else ''})"
    if code == "AuthorizationPermissionMismatch":
        return (
            f"The credentials may not {right} the queue “{queue}” {said}: give them the role Storage Queue Data "
            "Message Processor, or a SAS with the permission p."
        )
    if code == "AuthorizationFailure":
        return f"The storage account at {host} refuses this machine's address {said}: look at its firewall."
    if status in (401, 403):
        return (
            f"The storage account at {host} refuses the key or signature {said}: it is wrong or has expired, or this "
            "machine's clock is more than 15 minutes off."
        )
    if code == "QueueNotFound":
        return f"There is no queue “{queue}” at {host} {said}; make it with: az storage queue create --name {queue}"
    if code == "QueueBeingDeleted":
        return f"The queue “{queue}” is being deleted {said}; Azure lets one of its name be made half a minute later."
    if code == "InvalidHeaderValue":
        return f"The service at {host} does not understand us {said}; if it is Azurite, start a newer one."
    if status in BUSY:
        return f"The storage account at {host} is busy or ill {said}; asking again."
    return f"The storage account at {host} gave an answer that was not expected {said}."


def of_failure(kind: str, host: str) -> str:
    """For a question without an answer; ``kind`` is the class of the error."""
    if kind in ("ServiceResponseTimeoutError", "TimeoutError"):
        return f"The queue's service at {host} does not answer."
    if kind.startswith(("ServiceResponse", "IncompleteRead")):
        return f"The queue's service at {host} broke off in the middle of its answer."
    if kind.startswith("ServiceRequest"):
        return f"The queue's service at {host} cannot be reached."
    if kind in ("CredentialUnavailableError", "ClientAuthenticationError"):
        return (
            f"No identity was found that opens {host}: log in with `az login`, give this machine a managed identity, "
            "or set AZURE_STORAGE_CONNECTION_STRING."
        )
    return f"What came from {host} cannot be read ({kind})."


def of_stranger(host: str) -> str:
    return (
        f"Somebody else answers in the place of {host}: a proxy, or a network that wants a login. "
        "Its answers are not the queue's."
    )
