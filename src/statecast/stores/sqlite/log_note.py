"""Notices a log that lies beside the wrong file: a backup was put in the place of the store.

SQLite applies the log to the file beside which it finds it, whatever file that is. A backup that is
copied over a store whose server was killed would silently become the newest state again, or would
be damaged. So the lock file has a note about file and log, and both must fit it at opening.

The note is written when a store is opened, when a log begins, before and after a checkpoint. A
process may be killed between any two of these, and a power cut may take a note back. So the rules
are such that what an older note says stays true. Each needs the log that the note is about, or one
that followed it:

Rule 1: the change counter of a file never falls. The note has one that is on the disk for sure. A
file with a smaller one is an older file.
Rule 2: log and lock file are the noted ones, and the file is another: it was replaced.
Rule 3: the file was written after the log, since the note and in the same boot of the machine, but
not by a checkpoint. For a checkpoint of ours the note has no time. One of another program would
have written at least the first commit of the log into the file.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from statecast.errors import StoreUnusable
from statecast.model import value_class
from statecast.program.unix import pread
from statecast.stores.sqlite.file_errors import cut_off, unusable
from statecast.stores.sqlite.store_file import Identity, StoreFile, identity_of

LOG_HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
FOLLOWING = 100_000
"""SQLite adds 1 to the first salt whenever the log begins again: so many logs may have followed."""
LOCKED_BYTE = 0x40000000
"""SQLite locks this byte, and never uses the page that has it."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Salts(NamedTuple):
    """Two numbers that tell one log from the next; in its header and in each of its frames."""

    first: int
    second: int

    @classmethod
    def parse(cls, data: bytes) -> Salts:
        return cls(int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big"))


@value_class
class Note:
    """What is known of a store's file and log."""

    changes: int
    """The file's change counter; it is on the disk."""
    file: Identity
    lock: Identity | None
    log: Identity | None
    salts: Salts | None
    """Of the log; None: there was none."""
    written: int | None
    """When the file was last written (mtime), in ns; None: a checkpoint is writing it."""
    boot: str

    def encode(self) -> bytes:
        text = json.dumps(asdict(self)).encode()
        return b"%08x %s\n" % (zlib.crc32(text), text)

    @classmethod
    def decode(cls, line: bytes) -> Note | None:
        """None for what is no note, or half of one."""
        checksum, _, text = line.partition(b"\n")[0].partition(b" ")
        if not text or checksum != b"%08x" % zlib.crc32(text):
            return None
        fields = json.loads(text)
        pair = {name: tuple(fields[name]) if fields[name] else None for name in ("lock", "log")}
        salts = Salts(*fields["salts"]) if fields["salts"] else None
        return cls(**fields | pair | {"file": tuple(fields["file"]), "salts": salts})


def write_note(
    file: StoreFile, before: Note | None, *, complete: bool = False, writing: bool = False
) -> Note:
    """The note about what is there now. ``writing``: a checkpoint is about to begin.

    With ``complete`` the file holds all of the log, or there is none, and its change counter is
    noted; this waits for the disk.
    """
    assert file.identity is not None
    changes = before.changes if before is not None and before.file == file.identity else 0
    if complete and (header := file.header()) is not None:
        changes = header.changes
        file.sync()
    return Note(
        changes,
        file.identity,
        identity_of(f"{file.path}.lock"),
        identity_of(f"{file.path}-wal"),
        log_salts(file.path),
        None if writing else os.stat(file.path).st_mtime_ns,
        boot_id(),
    )


def boot_id() -> str:
    """The running boot of the machine; empty where the system does not name it."""
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def log_salts(path: Path) -> Salts | None:
    """The salts of the log beside the store; None without a log."""
    try:
        with open(f"{path}-wal", "rb") as log:
            head = log.read(LOG_HEADER_BYTES)
    except OSError:
        return None
    return Salts.parse(head[16:24]) if len(head) == LOG_HEADER_BYTES else None


def check_log(file: StoreFile, note: Note | None) -> None:
    """Raises StoreUnusable if the log beside the file belongs to another file.

    It raises too if the file was cut off and the log does not have what is missing.
    """
    salts = log_salts(file.path)
    if salts is not None and is_cut_off(file) and _missing(file, salts):
        raise cut_off(file.path)
    if note is None or note.salts is None or salts is None or not _follows(salts, note.salts):
        return
    header = file.header()
    if header is not None and header.changes < note.changes:
        raise _wrong_log(file.path)
    same_place = (note.lock, note.log) == tuple(
        identity_of(f"{file.path}{suffix}") for suffix in (".lock", "-wal")
    )
    if not same_place or salts != note.salts:
        return
    if file.identity != note.file or _overwritten(file, note, salts):
        raise _wrong_log(file.path)


def _follows(salts: Salts, noted: Salts) -> bool:
    return (salts.first - noted.first) % 2**32 < FOLLOWING


def _overwritten(file: StoreFile, note: Note, salts: Salts) -> bool:
    """Rule 3. Cutting off writes a file too; then the log has all that is missing."""
    if is_cut_off(file):
        return False
    written, log = os.stat(file.path), os.stat(f"{file.path}-wal")
    if not note.boot or note.boot != boot_id() or note.written is None:
        return False
    if written.st_mtime_ns == note.written or written.st_ctime_ns <= log.st_mtime_ns:
        return False
    frames = list(_frames(file.path, salts))
    size = next((at + 1 for at, frame in enumerate(frames) if frame.commits), 0)
    first_commit = {frame.page for frame in frames[:size]}
    for frame in frames:
        if file.read(len(frame.data), (frame.page - 1) * len(frame.data)) == frame.data:
            first_commit.discard(frame.page)
    return bool(first_commit)


def is_cut_off(file: StoreFile) -> bool:
    """Whether the file is shorter than it says. An interrupted checkpoint leaves it so as well."""
    header = file.header()
    return header is None or header.size > file.size


def _missing(file: StoreFile, salts: Salts) -> bool:
    """Whether neither the file nor its log has a page that the store consists of."""
    frames = list(_frames(file.path, salts))
    last = next((at for at in reversed(range(len(frames))) if frames[at].commits), -1)
    if last < 0:
        return True
    size = len(frames[last].data)
    pages = range(file.size // size + 1, frames[last].pages + 1)
    unused = LOCKED_BYTE // size + 1
    return bool(set(pages) - {unused} - {frame.page for frame in frames[: last + 1]})


class Frame(NamedTuple):
    """One page in the log."""

    page: int
    pages: int
    """How many pages the store has after the commit of which this is the last one; else 0."""
    data: bytes

    @property
    def commits(self) -> bool:
        return self.pages > 0


def _frames(path: Path, salts: Salts) -> Iterator[Frame]:
    number = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
    try:
        page_size = int.from_bytes(pread(number, 4, 8), "big")
        at = LOG_HEADER_BYTES
        while len(frame := pread(number, FRAME_HEADER_BYTES + page_size, at)) > FRAME_HEADER_BYTES:
            if Salts.parse(frame[8:16]) != salts:
                return
            page, pages = (int.from_bytes(frame[start : start + 4], "big") for start in (0, 4))
            yield Frame(page, pages, frame[FRAME_HEADER_BYTES:])
            at += len(frame)
    finally:
        os.close(number)


def _wrong_log(path: Path) -> StoreUnusable:
    return unusable(
        path,
        "{store} is not the file of its log ({store}-wal): was a backup put in its place? "
        "`statecast store restore FILE` puts a backup in the place of both. "
        "If they do belong together, delete {store}.lock.",
    )
