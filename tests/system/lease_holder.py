"""Holds the lease of a source and notes progress until its input ends."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from statecast.stores.limits import Limits
from statecast.stores.sqlite import file_lock
from statecast.stores.sqlite.store import SqliteStore
from statecast.timestamps import now

file_lock.PROGRESS_INTERVAL = 0.02
store = SqliteStore(Path(sys.argv[1]), Limits(), now)
lease = store.lease("queue")
assert lease is not None
print("held", flush=True)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.wait(0.02):
    lease.note_progress()
lease.release()
store.close()
