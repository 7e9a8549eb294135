"""The wait for the lease of a source: the kernel says when its holder has released it, or died.

A thread waits for the lock of the lease file, and keeps it for no time: who was waiting then asks
for the lease. Several processes may wait: they wait for a shared lock, which the holder excludes.
The thread cannot be stopped: only the lock or a signal ends a wait in the kernel, and to close the
file does not. It ends with the process, or once the lease is free; until then it keeps a descriptor
and some KB. Who stands by again meanwhile has a second one. docs/design/store.md has alternatives.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from statecast.program.unix import fcntl, in_children
from statecast.stores.sqlite.file_lock import lease_file


class FileLeaseWait:
    """One wait for one lease."""

    def __init__(self, store: Path, source: str, on_free: Callable[[], None]) -> None:
        """``on_free`` is called once, in another thread. Raises OSError: there is nothing to wait
        for, or no thread to do so."""
        self._on_free = on_free
        self._file = os.open(lease_file(store, source), os.O_RDONLY | os.O_CLOEXEC)
        self.is_over = False
        """The lease was free, or the system cannot wait for it."""
        # Else a child would have the lock that its parent waited for, and keep it.
        in_children(self, FileLeaseWait._close)
        thread = threading.Thread(target=self._wait, name=f"standby-{source}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._close()
            raise OSError(str(error)) from error

    def _wait(self) -> None:
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_SH)
            # By name: closing alone would leave the lock with a child that was forked meanwhile.
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._close()
        self.is_over = True
        self._on_free()

    def _close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
