"""What a test leaves behind: processes, threads, open files, files. It fails, and says what by
name.

Fixtures of a wider scope are set up before a test is looked at, and taken down after it: what they
hold is theirs until their own scope ends, which is looked at in the same way.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import uvloop

GRACE = 5.0
"""Seconds for what is already ending; they are spent only by a test that fails."""

MADE_BY_TOOLS = {
    *(".git", ".venv", ".tools", "node_modules", "__pycache__"),
    *(".hypothesis", ".pytest_cache", ".mypy_cache", ".ruff_cache"),
}
OPEN_FILES = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """On Linux a process whose parent has ended becomes a child of ours, and so is found."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def open_lasting_files() -> None:
    """libuv opens a pipe for signals with its first loop, and keeps it: once per process."""
    uvloop.new_event_loop().close()


class Folders:
    """The files of the clone, and what lies in the folder for temporary files.

    To look again costs little while nothing came or went. What happens inside a temporary folder is
    the business of the program that made it, which may be that of a fixture of a wider scope.
    """

    def __init__(self, clone: Path | None, temporary: Path) -> None:
        self._clone = clone
        self._temporary = temporary
        self._times: dict[str, int] = {}
        self._files: set[Path] = set()

    def files(self) -> set[Path]:
        if not self._times or any(modified(path) != at for path, at in self._times.items()):
            self._times, self._files = {}, set()
            self._look()
        return self._files

    def _look(self) -> None:
        for path, inner, names in os.walk(self._clone) if self._clone else ():
            self._times[path] = modified(path)  # of the folder: a file that comes changes it
            inner[:] = [name for name in inner if name not in MADE_BY_TOOLS]
            self._files.update(Path(path, name) for name in names)
        self._times[str(self._temporary)] = modified(str(self._temporary))
        self._files.update(self._temporary.iterdir())


def modified(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


class Leftovers:
    """What is there beyond what was there when this was made."""

    def __init__(self, folders: Folders, lazy: tuple[str, ...] = ()) -> None:
        """``lazy`` begins the names of threads that may begin: those of a pool of a wider scope."""
        self._folders = folders
        self._lazy = lazy
        self._files = folders.files()
        self._processes = children()
        self._threads = set(threading.enumerate())
        self._descriptors = open_descriptors()

    def found(self) -> list[str]:
        """A line for each thing that is left; processes are ended."""
        return [
            *(f"the process {ended(one)}" for one in self._new_processes()),
            *(f"the thread {one.name}" for one in self._new_threads()),
            *(f"the open file {target}" for _, target in sorted(self._new_descriptors())),
            *(f"the file {path}" for path in sorted(self._new_files())),
        ]

    def _new_processes(self) -> list[psutil.Process]:
        _, left = psutil.wait_procs(
            [one for one in children() - self._processes if is_running(one)], timeout=GRACE
        )
        return [one for one in left if is_running(one)]

    def _new_threads(self) -> list[threading.Thread]:
        new = [
            one
            for one in threading.enumerate()
            if one not in self._threads and not one.name.startswith(self._lazy)
        ]
        for thread in new:
            thread.join(GRACE)
        return [one for one in new if one.is_alive()]

    def _new_descriptors(self) -> set[tuple[str, str]]:
        """After those that another thread is just closing; what nothing refers to is collected."""
        until = time.monotonic() + GRACE
        while left := open_descriptors() - self._descriptors:
            gc.collect()
            if time.monotonic() > until:
                break
        return left

    def _new_files(self) -> set[Path]:
        """After those in the clone that a test in another process will remove."""
        until = time.monotonic() + GRACE
        while left := self._folders.files() - self._files:
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        return left


def children() -> set[psutil.Process]:
    """Of this process, without their own children: those are theirs, until they are orphans."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # none; psutil would look at every process of the machine
        return set()
    return set(psutil.Process().children())


def is_running(process: psutil.Process) -> bool:
    """Not one that has ended and was never waited for."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ended(process: psutil.Process) -> str:
    """Kill it, so that it spoils no other test; its name."""
    try:
        name = f"{process.pid}: {' '.join(process.cmdline())[:200]}"
        process.kill()
        process.wait(GRACE)
    except psutil.NoSuchProcess:
        return f"{process.pid}"
    return name


def open_descriptors() -> set[tuple[str, str]]:
    """Number and path of each open file.

    Sockets and pipes have no path. They are left out: libraries keep connections in objects that
    live as long as the fixtures of a test, and what is not closed then is a ResourceWarning.
    """
    found = set()
    for number in os.listdir(OPEN_FILES):
        try:
            target = os.readlink(OPEN_FILES / number)
        except OSError:  # the one that lists them, which is closed by now
            continue
        if target.startswith("/"):
            found.add((number, target))
    return found


def private_folder(folder: Path) -> None:
    """Temporary files of this process, and of all that it starts, lie there from now on."""
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
