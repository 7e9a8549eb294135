"""All errors of Statecast, as one tree::

StatecastError               one sentence: what happened, and what to do
|-- Refused                  permanent: this message or request cannot be accepted
|   |-- Malformed            it cannot be read
|   |-- TooLarge             it exceeds a limit
|   |-- ConnectionRefused    a connect handler refuses a viewer, and says more than a sentence
|   |-- DevicesFull          the store takes no new device
|   |-- TooManyCommands      the device has as many open commands as it may
|   |-- NotTaken             the device does not take such a command
|   |-- WrongWay             the device takes its commands elsewhere: from its command queue
|   |-- NotAuthenticated     the credentials that were given are wrong, expired or revoked
|   |   `-- TooManyGuesses     so many were wrong that the next ones must wait
|   |-- TooManyRequests      who asks does so more often than one may
|   |-- Forbidden            who asks may not do this
|   |-- NotFound             the thing it names does not exist
|   `-- Conflict             it was changed since the caller read it
|-- Unavailable              temporary: the same call may work later; nothing was lost
|   |-- StoreUnavailable     the store cannot be used for now: locked, or its disk failed
|   |   |-- DiskFull         there is no space for what should be written
|   |   `-- StoreReadOnly    rights or the file system forbid to write
|   |-- RowDamaged           one row of the store is damaged; the rest can be used
|   |-- SourceUnavailable    the queue cannot be reached
|   `-- QueueFull            the embedded queue has reached its bound
|-- LeaseLost                another process took over; this one must stop writing
|-- StoreUnusable            the store's file is not ours, damaged, gone, or of another version
|   `-- StoreDamaged         pages of it are damaged: only a backup helps
|-- UnsupportedSystem        the operating system lacks what Statecast needs
|-- UnsupportedLibrary       an installed library lacks what Statecast needs of it
`-- BadSetting               a setting, option or URL is wrong
"""

from __future__ import annotations


class StatecastError(Exception):
    """Base of all errors of Statecast; its text is a sentence for people."""

    PUBLIC: str | None = None
    """The sentence for viewers, of a kind whose sentences name files."""

    def __init__(self, sentence: str = "", *, public: str | None = None) -> None:
        """``public`` is the sentence for viewers, if ``sentence`` says more than they may see."""
        super().__init__(sentence)
        self._public = public

    @property
    def public(self) -> str:
        """The sentence as every viewer may see it: without paths, accounts and addresses."""
        return self._public or self.PUBLIC or str(self)

    @property
    def detail(self) -> str:
        """The sentence for the operator, if it says more than the one for viewers; else nothing."""
        return str(self) if str(self) != self.public else ""


class Refused(StatecastError):
    """Permanent: this message or request cannot be accepted as it is."""


class Malformed(Refused):
    """It cannot be read."""


class TooLarge(Refused):
    """It exceeds a limit."""


class ConnectionRefused(Refused):
    """A connect handler refuses a viewer; ``data`` is what the viewer gets beside the sentence."""

    def __init__(self, sentence: str, data: object = None) -> None:
        super().__init__(sentence)
        self.data = data


class DevicesFull(Refused):
    """The store holds as many devices as it may."""


class TooManyCommands(Refused):
    """The device has as many open commands as it may."""


class NotTaken(Refused):
    """The device is known not to take such a command."""


class WrongWay(Refused):
    """The device takes its commands elsewhere: from its command queue."""


class NotAuthenticated(Refused):
    """Credentials were given, and they are forged, expired or revoked."""

    def __init__(self, sentence: str, *, is_guess: bool = True) -> None:
        """``is_guess`` is false for what was good once, or is good elsewhere."""
        super().__init__(sentence)
        self.is_guess = is_guess


class TooManyGuesses(NotAuthenticated):
    """So many keys or passwords were wrong that the next ones must wait."""

    def __init__(self, sentence: str, retry_after: int) -> None:
        """``retry_after`` is in seconds."""
        super().__init__(sentence)
        self.retry_after = retry_after


class TooManyRequests(Refused):
    """A user or a key does something more often than one may."""

    def __init__(self, sentence: str, retry_after: int) -> None:
        """``retry_after`` is in seconds."""
        super().__init__(sentence)
        self.retry_after = retry_after


class Forbidden(Refused):
    """Who asks is known, and may not do this."""


class NotFound(Refused):
    """The thing it names does not exist."""


class Conflict(Refused):
    """The device was changed since the caller read it."""


class Unavailable(StatecastError):
    """Temporary: the same call may work later; nothing was lost."""

    may_have_arrived = False
    """Of a message that was sent: the queue may have it all the same."""


class StoreUnavailable(Unavailable):
    """The store cannot be read or written just now."""

    PUBLIC = "The server cannot use its store just now; its log says why."
    kind = "store-away"
    """The kind of the problem that it is; see ``Problems``."""


class DiskFull(StoreUnavailable):
    """There is no space for what should be written."""

    kind = "disk-full"


class StoreReadOnly(StoreUnavailable):
    """The rights of the file, or its file system, forbid to write."""

    kind = "read-only"


class RowDamaged(Unavailable):
    """One row of the store is damaged; the rest can be used."""


class SourceUnavailable(Unavailable):
    """The queue cannot be reached just now."""

    may_have_arrived = True


class QueueFull(Unavailable):
    """The embedded queue has reached its bound of messages or bytes."""


class LeaseLost(StatecastError):
    """Another process has taken over this source."""


class StoreUnusable(StatecastError):
    """The store's file cannot be used by this program."""

    PUBLIC = "The server cannot use its store; its log says why."
    kind = "store-unusable"
    """The kind of the problem that it is; see ``Problems``."""


class StoreDamaged(StoreUnusable):
    """Pages of the store's file are damaged. Some requests may succeed; only a backup helps."""

    kind = "store-damaged"


STORE_ERRORS = (StoreUnavailable, StoreUnusable)
STORE_FAILURES = ("store-away", "disk-full", "read-only", "store-unusable")
"""The kinds of problems that are over as soon as a write succeeds. A damaged page is none of them:
a write need not touch it."""


class UnsupportedSystem(StatecastError):
    """The operating system lacks what Statecast needs."""

    def __init__(self) -> None:
        super().__init__("Statecast needs Linux or another Unix; on Windows use WSL.")


class UnsupportedLibrary(StatecastError):
    """An installed library lacks what Statecast needs of it."""

    def __init__(self, name: str, version: str, missing: list[str], tested: str) -> None:
        """``missing`` are the names that this version lacks; version ``tested`` has them."""
        super().__init__(
            f"Statecast cannot serve with {name} {version}: it lacks {', '.join(missing)}; "
            f"install a version that has them (pip install '{name}=={tested}')."
        )


class BadSetting(StatecastError):
    """A setting, option or URL is wrong."""
