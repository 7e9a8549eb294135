"""Where ``statecast send`` puts messages: a queue of the settings, or a running server."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Protocol
from urllib.parse import urlsplit

from statecast.cli.store import missing_file, opened_outbox, store_name
from statecast.errors import BadSetting, Malformed, SourceUnavailable
from statecast.outbox import Outbox, examine
from statecast.program.commands import command
from statecast.settings import Settings
from statecast.sources.embedded_queue import EmbeddedQueue

TIMEOUT = 30.0
"""Seconds for one answer of a server."""
MAX_ANSWER = 1_048_576


STARTING = 2.0
"""Seconds that a server has to report its sources, before it is said that it reads no such queue:
it may have begun just now."""


class Destination(Protocol):
    """Takes messages one by one, and sends what it has taken."""

    def add(self, body: bytes) -> Sequence[str]:
        """Take a message; a sentence for each part of it that will be left out, if that is known.

        Raises Refused with the reason if it would go to quarantine.
        """

    def flush(self) -> list[str]:
        """Send what was taken and return the ids. Raises Unavailable."""

    def where(self) -> str:
        """Says where the messages are, and what is missing for them to be read."""


class QueueDestination:
    """The queue of the settings, without a server. A refused message does not create a store."""

    def __init__(self, settings: Settings, open_outbox: Callable[[], Outbox]) -> None:
        self.settings = settings
        self._open = open_outbox
        self._made = False
        """The store did not exist before."""
        self._waiting: list[bytes] = []

    @cached_property
    def outbox(self) -> Outbox:
        self._made = missing_file(self.settings) is not None
        return self._open()

    def add(self, body: bytes) -> Sequence[str]:
        checked, left_out = examine(self.settings, body)
        self._waiting.append(checked)
        return left_out

    def flush(self) -> list[str]:
        bodies, self._waiting = self._waiting, []
        if not bodies:
            return []
        return self.outbox.queue.send_many(bodies)

    def where(self) -> str:
        queue = self.outbox.queue
        if not isinstance(queue, EmbeddedQueue):
            return f"Sent to the queue of the source {queue.name!r}."
        name = store_name(self.settings)
        made = f"Made a new store {name}, and sent" if self._made else "Sent"
        place = "its queue" if self._made else f"the queue of the store {name}"
        return f"{made} to {place}. {self._unread(queue.name)}".rstrip()

    def _unread(self, queue: str) -> str:
        """What is missing for a server to read the queue; empty if one does."""
        deadline = time.monotonic() + STARTING
        while reports := self.outbox.store().reports().values():
            if any(queue in report.get("sources", {}) for report in reports):
                return ""
            if time.monotonic() > deadline:
                break
            self.outbox.store().wait(0.05)
        run = command(self.settings, "run", flags=("store", "source"))
        if reports:
            return (
                f"The server of this store does not read its queue {queue!r}; "
                f"start it with --source embedded:{queue} too."
            )
        return f"No server reads it now; `{run}` would."


class ServerDestination:
    """A running server, which puts the messages into its own queue."""

    def __init__(self, url: str) -> None:
        """Raises BadSetting."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise BadSetting(
                f"--server takes the address of a server, like http://127.0.0.1:8000; it is {url}."
            )
        self.url = url.rstrip("/")
        self._ids: list[str] = []

    def add(self, body: bytes) -> Sequence[str]:
        request = urllib.request.Request(  # noqa: S310 - the scheme is http or https
            f"{self.url}/api/messages", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
                answer = json.loads(response.read(MAX_ANSWER))
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise SourceUnavailable(
                    f"The certificate of {self.url} is not trusted here ({reason.verify_message}); "
                    "name the file of its authority in SSL_CERT_FILE."
                ) from None
            raise SourceUnavailable(
                f"The server {self.url} cannot be reached ({reason}); is it running there?"
            ) from None
        self._ids += answer.get("ids") or [answer["id"]]
        return ()

    def _refusal(self, error: urllib.error.HTTPError) -> Malformed | SourceUnavailable:
        try:
            detail = str(json.loads(error.read(MAX_ANSWER))["detail"])
        except (OSError, ValueError, KeyError, TypeError):
            detail = f"{self.url} answered {error.code}; is it a server of Statecast?"
        return SourceUnavailable(detail) if error.code >= 500 else Malformed(detail)

    def flush(self) -> list[str]:
        ids, self._ids = self._ids, []
        return ids

    def where(self) -> str:
        return f"Sent to the server {self.url}."


@contextmanager
def opened_destination(settings: Settings, server: str | None) -> Iterator[Destination]:
    """The server at this address, else the first source of the settings that can be sent to."""
    if server is not None:
        yield ServerDestination(server)
        return
    with ExitStack() as stack:
        yield QueueDestination(settings, lambda: stack.enter_context(opened_outbox(settings)))
