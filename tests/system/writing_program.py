"""Threads that edit and send until the process kills itself, many times over.

    python writing_program.py STORE CONFIRMED

Each line on standard input is the number of the SQL statement at which a forked child ends with
SIGKILL; it is answered when the child has ended. What a thread's call has returned for is appended
to the file CONFIRMED at once, which survives the process.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from statecast import strict_json
from statecast.model import Change
from statecast.stores import open_store
from statecast.stores.sqlite import connections
from statecast.stores.sqlite.store import SqliteStore

THREADS = 8


def end_at_statement(number: int) -> None:
    """End the process before it executes the statement with this number, of any connection."""
    left = itertools.count(number, -1)

    def trace(cursor: Any, sql: str, bindings: Any) -> bool:
        if next(left) <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    class Connection(connections.StoreConnection):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.exec_trace = trace

    connections.StoreConnection = Connection  # type: ignore[misc]


def note_groups(store: SqliteStore, confirmed: int) -> None:
    """Note how many writes each transaction has."""
    commit = store._writes._commit

    def noting(group: Any) -> None:
        os.write(confirmed, b"group %d\n" % len(group))
        commit(group)

    store._writes._commit = noting


def write(store: SqliteStore, thread: int, confirmed: int) -> None:
    queue = store.queue("queue")
    begun = store.get(f"device/{thread}")
    first = 1 if begun is None else begun.version + 1
    for number in itertools.count(first):
        store.edit(Change(f"device/{thread}", "merge", {"n": number}))
        os.write(confirmed, b"edit %d %d\n" % (thread, number))
        queue.append([strict_json.encode([thread, number])])
        os.write(confirmed, b"send %d %d\n" % (thread, number))


def live(path: str, confirmed: int, statement: int) -> None:
    end_at_statement(statement)
    store = open_store(f"sqlite:///{path}", begin_epoch=False)
    assert isinstance(store, SqliteStore)
    note_groups(store, confirmed)
    threads = [
        threading.Thread(target=write, args=(store, thread, confirmed)) for thread in range(THREADS)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def main(path: str, confirmed: Path) -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            live(path, os.open(confirmed, os.O_WRONLY | os.O_APPEND | os.O_CREAT), int(line))
            os._exit(1)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
