"""Takes over the lease of a process whose network loses all packets, and brings that back.

That process has locked the counters, too, in a transaction that will never end, and two more of its
transactions wait for them. When it is their turn they must not lock them for as long again.

It needs a network of its own: ``unshare --net python vanishing_holder.py POSTGRES``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psycopg

sys.path.append(str(Path(__file__).resolve().parent.parent))

from loopback import set_loopback
from postgres_server import USER, PostgresServer
from statecast.errors import StoreUnavailable
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.testing import change, message

SECONDS = 10.0
"""Within which another process must have the lease, and can write."""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
HOLDER = """
import sys
import threading
from statecast.errors import LeaseLost, StoreUnavailable
from statecast.stores import open_store
from statecast.testing import change, message
store = open_store(sys.argv[1])
lease = store.lease("queue")
pool = store.database.pool
def lock(connection):
    connection.execute("BEGIN")
    connection.execute("SELECT FROM counters FOR UPDATE")
def wait(connection):
    try:
        lock(connection)
    except Exception:  # the server has ended it
        pass
busy = [pool.take() for _ in range(3)]
lock(busy[0])
for waiting in busy[1:]:
    threading.Thread(target=wait, args=[waiting], daemon=True).start()
print("held", flush=True)
sys.stdin.readline()
while True:
    try:
        store.commit("queue", 1, [message("a", change("pillow", {"n": 1}))], term=lease.term)
        print("written", flush=True)
    except StoreUnavailable:
        continue
    except LeaseLost:
        print("fenced", flush=True)
    break
store.close()
"""


def has_written(store: Store, term: int) -> bool:
    """A lock is waited for, for a few seconds."""
    try:
        store.commit("queue", 1, [message("b", change("pillow", {"n": 2}))], term=term)
    except StoreUnavailable:
        return False
    return True


def main(program: str) -> None:
    set_loopback(up=True)
    server = PostgresServer(program, listen_addresses="127.0.0.1")
    server.start()
    name = server.create()
    store = open_store(server.url(name))  # by a socket of its own host
    remote = f"postgresql://{USER}@127.0.0.1/{name}"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDER, remote], text=True, **pipes) as holder:
        assert holder.stdin and holder.stdout
        print(holder.stdout.readline().strip(), flush=True)
        assert store.lease("queue") is None
        with psycopg.connect(server.url(name), autocommit=True) as looking:
            while looking.execute(WAITING).fetchone() != (2,):
                pass
        set_loopback(up=False)
        began = time.monotonic()
        while (lease := store.lease("queue")) is None:  # the test has a time limit
            time.sleep(0.05)
        seconds = time.monotonic() - began
        print("taken" if seconds < SECONDS else f"only after {seconds:.1f} s", flush=True)
        while not has_written(store, lease.term):
            pass
        seconds = time.monotonic() - began
        print("written" if seconds < SECONDS else f"only after {seconds:.1f} s", flush=True)
        set_loopback(up=True)
        print("go", file=holder.stdin, flush=True)
        print(holder.stdout.readline().strip(), flush=True)
        lease.release()
    store.close()
    server.remove()


if __name__ == "__main__":
    main(sys.argv[1])
