"""A real PostgreSQL of the tests' own: Debian's program, a data directory, a Unix socket.

Rule 1: it listens on no port, and its files and its socket lie in a folder of its user only.
PostgreSQL does not run as root; then it runs as ``nobody``.
Rule 2: on Linux the kernel ends it with the process that started it, however that ends.
Rule 3: its settings are those that the store asks for (fsync too). Where the system has memory for
files, the data are there: so it is quick all the same.
Rule 4: databases sort texts as people in the USA do. What must be sorted by bytes has to say so.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

USER = "statecast"
"""The owner of every database."""
TEMPLATE = "template_of_tests"
SHORT = 30.0
"""Seconds after which a test gives up; nothing takes that long."""
SETTINGS = {"shared_buffers": "32MB", "max_connections": "200", "wal_level": "replica"}
READY = "is ready to accept"  # connections, or read-only ones


class PostgresServer:
    """One server with its data directory; ``start`` after ``stop`` or ``kill`` continues it."""

    def __init__(self, program: str, within: str | None = None, **settings: str) -> None:
        """``program`` is the path of ``postgres``; ``settings`` are those of ``postgresql.conf``.

        Its folder is made ``within`` another one, else in memory where that has room.
        """
        self._programs = Path(program).resolve().parent
        self._settings = SETTINGS | settings
        # A socket's path may have 107 characters, and nobody must be able to reach it: so it is
        # not in pytest's own folder.
        self.folder = Path(tempfile.mkdtemp(prefix="statecast-pg-", dir=within or roomy_folder()))
        self.options: dict[str, Any] = {}
        """For a process of the same user."""
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self.options = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self.own(self.folder)
        self._made = 0
        self._prepared = False
        """The template is there."""
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._initialise()

    def _initialise(self) -> None:
        command = [
            *(self._programs / "initdb", "--pgdata", self.folder / "data", "--username", USER),
            *("--auth=trust", "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=icu", "--icu-locale=en-US"),
        ]
        made = subprocess.run(command, capture_output=True, text=True, cwd="/", **self.options)
        assert made.returncode == 0, made.stdout + made.stderr

    def start(self) -> None:
        """Returns when it accepts connections."""
        settings = {"listen_addresses": "", "unix_socket_directories": self.folder}
        words = [f"{name}={value}" for name, value in (settings | self._settings).items()]
        command = [
            *(DIE_WITH_PARENT if sys.platform == "linux" else ()),
            *(self._programs / "postgres", "-D", self.folder / "data"),
            *(word for one in words for word in ("-c", one)),
        ]
        self._process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd="/", **self.options
        )
        ready, lines = threading.Event(), list[str]()
        self._reader = threading.Thread(
            target=self._read_log, args=(lines, ready), name="postgres log"
        )
        self._reader.start()
        assert ready.wait(SHORT) and self._process.poll() is None, "".join(lines)

    def _read_log(self, lines: list[str], ready: threading.Event) -> None:
        """The last lines are kept for the sentence of a failed start."""
        assert self._process is not None and self._process.stderr is not None
        with self._process.stderr as log:
            for line in log:
                lines[:-20] = []
                lines.append(line)
                if READY in line:
                    ready.set()
        ready.set()  # it ended

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts clients and closes cleanly, SIGQUIT leaves a recovery to do."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(SHORT)
            self._process = None
        if self._reader is not None:
            self._reader.join(SHORT)
            self._reader = None

    def kill(self) -> None:
        """As ``pg_ctl stop -m immediate`` does: as after a crash."""
        self.stop(signal.SIGQUIT)

    def back_up(self, folder: Path) -> None:
        """Copy the running server, as a standby begins with."""
        words = ["--pgdata", folder, "--host", self.folder, "--username", USER]
        command = [self._programs / "pg_basebackup", *words, "--checkpoint=fast", "--no-sync"]
        made = subprocess.run(command, capture_output=True, text=True, cwd="/", **self.options)
        assert made.returncode == 0, made.stdout + made.stderr

    def remove(self) -> None:
        """End it, and delete its files."""
        self.kill()
        shutil.rmtree(self.folder)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def own(self, path: Path) -> None:
        """Give a file to the user of the server."""
        if self.options:
            os.chown(path, self.options["user"], self.options["group"])

    def url(self, database: str, pooler: str = "") -> str:
        """The URL of a database, as ``--store`` takes it; see ``pgbouncer_server``."""
        return f"postgresql://{USER}@/{database}?host={pooler or self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection without transactions."""
        return psycopg.connect(self.url(database), autocommit=True)

    def create(self, prepare: Callable[[str], None] | None = None) -> str:
        """The name of a new database.

        ``prepare`` fills the one of which all others are copies; it gets the URL, and is called
        once.
        """
        with self.connect() as connection:
            if prepare is not None and not self._prepared:
                connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")
                connection.execute(f"CREATE DATABASE {TEMPLATE}")
                prepare(self.url(TEMPLATE))
                self._prepared = True
            self._made += 1
            name = f"test_{self._made}"
            template = TEMPLATE if prepare is not None else "template1"
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")  # type: ignore[arg-type]
        return name

    @contextmanager
    def created(self, prepare: Callable[[str], None] | None = None) -> Iterator[str]:
        """The name of a new database, which lasts as long as the block; see ``create``."""
        name = self.create(prepare)
        try:
            yield name
        finally:
            self.drop(name)

    def drop(self, database: str) -> None:
        """Delete a database; whoever still uses it is cut off."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE {database} WITH (FORCE)")  # type: ignore[arg-type]


def roomy_folder() -> str:
    """In memory, if that has room for a gigabyte."""
    memory = "/dev/shm"
    if os.path.isdir(memory) and shutil.disk_usage(memory).free > 2**30:
        return memory
    return "/tmp"


DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "QUIT")
