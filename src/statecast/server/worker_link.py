"""Where the workers of one server reach each other: Unix sockets in a private folder.

A request of long polling needs the worker that has its session. The session's id begins with the
id of that worker, and so do the names of its sockets. So no worker keeps a list of the others, and
the sockets of one that has ended refuse at once.

Each worker has two: one for requests, and one for connections, which come as file descriptors. The
parent makes the folder with mode 0700 and listens on both before it starts the worker, which
inherits them. Where the system tells the user of a peer, others than ours are refused too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import string
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from statecast.model import value_class
from statecast.server.sockets import BACKLOG

ID_LENGTH = 2
ID_CHARACTERS = string.ascii_lowercase + string.digits
"""Characters that session ids have too. No capitals: some file systems do not tell them apart."""
LONGEST_PATH = 100
"""Bytes of a socket's path. Linux takes 107, other systems 103."""
REQUESTS, CONNECTIONS = ".requests", ".connections"
"""How the names of the two sockets end."""


log = logging.getLogger(__name__)


class WorkerGone(Exception):
    """No worker listens under this id."""


class WorkerBusy(Exception):
    """The worker accepts no further connection now."""


class WorkerFolder:
    """The sockets of a server's workers, as its parent keeps them."""

    def __init__(self) -> None:
        """Raises OSError when no folder can be made."""
        self.path = make_folder()
        self._ids: set[str] = set()

    def add(self) -> WorkerLink:
        """The sockets of a new worker. Raises OSError."""
        worker_id = new_id(self._ids)
        self._ids.add(worker_id)
        path = self.path / worker_id
        requests = listen(path.with_suffix(REQUESTS))
        try:
            return WorkerLink(path, requests, listen(path.with_suffix(CONNECTIONS)))
        except OSError:
            requests.close()
            raise

    def forget(self, worker_id: str) -> None:
        """The worker has ended."""
        self._ids.discard(worker_id)
        remove_sockets(self.path / worker_id)

    def close(self) -> None:
        """Remove the folder and what is in it."""
        for worker_id in self._ids:
            remove_sockets(self.path / worker_id)
        remove_folder(self.path)


def make_folder() -> Path:
    """A new folder that only this user can enter. Raises OSError."""
    failure = OSError("its path would be too long")
    for parent in _parents():
        longest = os.fsencode(f"{parent}/statecast-12345678/{'x' * ID_LENGTH}{CONNECTIONS}")
        if len(longest) > LONGEST_PATH:
            continue
        try:
            return Path(tempfile.mkdtemp(prefix="statecast-", dir=parent))
        except OSError as error:
            failure = error
    raise failure


def _parents() -> Iterator[str]:
    """The folders for files that live as long as a program, the best first."""
    for variable in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):  # of systemd, of a user's session
        folder = os.environ.get(variable, "")
        if os.path.isabs(folder) and ":" not in folder:
            yield folder
    yield tempfile.gettempdir()


def listen(path: Path) -> socket.socket:
    """A listening socket. Raises OSError."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def remove_sockets(path: Path) -> None:
    for kind in (REQUESTS, CONNECTIONS):
        path.with_suffix(kind).unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove the folder, unless the socket of another worker is in it still."""
    with contextlib.suppress(OSError):
        path.rmdir()


def new_id(taken: set[str]) -> str:
    """An id by which nothing can be told about a worker but that two sessions are in the same."""
    while True:
        worker_id = "".join(secrets.choice(ID_CHARACTERS) for _ in range(ID_LENGTH))
        if worker_id not in taken:
            return worker_id


@value_class
class WorkerLink:
    """A worker's own sockets, and the way to those of others."""

    path: Path
    """Of the sockets, without their endings."""
    requests: socket.socket
    connections: socket.socket

    @property
    def worker_id(self) -> str:
        return self.path.name

    def elsewhere(self, sid: str) -> str | None:
        """The id of the other worker that a session id names; None if it names none."""
        worker_id = sid[:ID_LENGTH]
        plain = len(worker_id) == ID_LENGTH and all(one in ID_CHARACTERS for one in worker_id)
        return worker_id if plain and worker_id != self.worker_id else None

    def connect(self, worker_id: str, kind: str = REQUESTS) -> socket.socket:
        """A connection to a socket of another worker. Raises WorkerGone or WorkerBusy."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(str(self.path.with_name(worker_id + kind)))
        except OSError as error:
            connection.close()
            # A socket in the file system connects at once or not at all.
            raise (WorkerBusy if isinstance(error, BlockingIOError) else WorkerGone) from None
        return connection

    def close(self) -> None:
        """The worker ends. The last one removes the folder, where its parent was killed."""
        self.requests.close()
        self.connections.close()
        remove_sockets(self.path)
        remove_folder(self.path.parent)


def admits(connection: Any) -> bool:
    """Whether the peer runs as our user; if not, the log says so."""
    if is_ours(connection):
        return True
    log.warning("a process of another user connected to the sockets of the workers")
    return False


def is_ours(connection: Any) -> bool:
    """Whether the peer runs as our user. Where the system does not say, the folder decides."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return bool(user == os.geteuid())
