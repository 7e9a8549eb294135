"""Reactions in real processes: killed between a call and its note, restarted, stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from server_process import ServerProcess

from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.leases import reaction_lease
from statecast.testing import change
from waiting import wait_for

APP = """
import json, os, signal, time
from flask import Flask
from statecast import Statecast

app = Flask(__name__)
live = Statecast(app)

@live.on_change("door", name="log")
def log(device, before, after):
    with open("calls", "a") as calls:
        print(json.dumps([os.getpid(), before, after]), file=calls, flush=True)
    if after.get("n") == "kill" and not os.path.exists("killed"):
        open("killed", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    if after.get("n") == "slow":
        time.sleep(0.5)
        print(json.dumps([os.getpid(), "slept", None]), file=open("calls", "a"), flush=True)
"""


def calls(folder: Path) -> list[list[Any]]:
    path = folder / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_reaction_outlives_its_processes(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    url = f"sqlite:///{tmp_path}/statecast.db"
    # given a reaction that has begun, and a server of two processes
    store = open_store(url)
    lease = store.lease(reaction_lease("log"))
    assert lease is not None
    store.reaction("log", ["door"]).begin(lease.term)
    lease.release()
    options = ("app:app", "--port", "0", "--workers", "2")
    server = ServerProcess(tmp_path, *options)
    try:
        # when the process that calls is killed after the effect and before the note
        say(store, "kill")
        wait_for(lambda: len(calls(tmp_path)) >= 2, lambda: calls(tmp_path), seconds=60)
        # then another process calls again, with the same states
        (killed, *first), (alive, *again) = calls(tmp_path)
        assert first == again == [None, {"n": "kill"}]
        assert killed != alive
        # and what comes then is one call by one process
        say(store, "next")
        wait_for(lambda: len(calls(tmp_path)) >= 3, lambda: calls(tmp_path))
        assert calls(tmp_path)[2][1:] == [{"n": "kill"}, {"n": "next"}]
        # when the server is stopped during a call, then the call ends
        say(store, "slow")
        wait_for(lambda: len(calls(tmp_path)) >= 4, lambda: calls(tmp_path))
        assert server.terminate() == 143
        assert [call[1] for call in calls(tmp_path)[3:]] == [{"n": "next"}, "slept"]
    finally:
        server.kill()
    # when the device changes while no process runs, then the next server calls for it
    say(store, "away")
    server = ServerProcess(tmp_path, *options)
    try:
        wait_for(lambda: len(calls(tmp_path)) >= 6, lambda: calls(tmp_path))
        assert calls(tmp_path)[5][1:] == [{"n": "slow"}, {"n": "away"}]
        assert server.terminate() == 143
        assert len(calls(tmp_path)) == 6
    finally:
        server.kill()

    store.close()


def say(store: Store, n: str) -> None:
    store.edit(change("door", {"n": n}, by="user"))
