"""What a signal makes readable: so a parent need not look for ended children time and again."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from typing import Any


class SignalWakeup:
    """A socket that can be read after each signal that Python handles, and after a child's end.

    A context manager, in the main thread.
    """

    socket: socket.socket

    def __enter__(self) -> SignalWakeup:
        self.socket, self._written = socket.socketpair()
        self.socket.setblocking(False)
        self._written.setblocking(False)
        # A full buffer is no loss: what is in it ends the wait.
        self._before = signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)
        # Only a signal with a handler of Python's is written into the socket.
        self._handler_before: Any = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGCHLD, self._handler_before)
        signal.set_wakeup_fd(self._before)
        self.socket.close()
        self._written.close()

    def clear(self) -> None:
        """Forget the signals so far."""
        with suppress(BlockingIOError):
            while self.socket.recv(4096):
                pass
