"""A process killed in the middle of shared transactions: no confirmed write is lost, none is half
there, and nobody was told of one that is not on the disk.
"""

from __future__ import annotations

import json
import random
import signal
from contextlib import closing
from pathlib import Path

import pytest
from server_process import ScriptProcess
from writing_program import THREADS

from statecast.stores import open_store
from statecast.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.bare

LIVES = 20
STATEMENTS = 800
"""A process is killed before one of so many statements: a few transactions, or a few dozen."""


def test_no_confirmed_write_is_lost(tmp_path: Path) -> None:
    # given threads that edit and send, whose process is killed at any statement, again and again
    path, confirmed = tmp_path / "store.db", tmp_path / "confirmed"
    with closing(open_store(f"sqlite:///{path}")):
        pass
    chance = random.Random(1)
    known = dict.fromkeys(range(THREADS), 0)
    program = ScriptProcess("writing_program.py", path, confirmed)
    try:
        for _ in range(LIVES):
            assert program.ask(str(chance.randrange(60, STATEMENTS))) == str(-signal.SIGKILL)
            known = check(path, confirmed, known)
    finally:
        program.end()
    # then transactions had one write and many
    sizes = {int(line[1]) for line in lines(confirmed) if line[0] == "group"}
    assert 1 in sizes
    assert max(sizes) > THREADS // 2


def check(path: Path, confirmed: Path, known: dict[int, int]) -> dict[int, int]:
    """What was confirmed is there, and of each thread at most the one write that was under way.

    ``known`` are the versions by thread before this life; those after it are returned.
    """
    store = open_store(f"sqlite:///{path}", begin_epoch=False)
    assert isinstance(store, SqliteStore)
    with closing(store):
        assert store.check() == []
        found = lines(confirmed)
        with store.database.read() as connection:
            bodies = connection.execute("SELECT body FROM queue ORDER BY id").fetchall()
        sent = [tuple(json.loads(body)) for (body,) in bodies]
        assert len(sent) == len(set(sent))
        for thread in range(THREADS):
            edits, sends = (
                [int(line[2]) for line in found if line[:2] == [what, str(thread)]]
                for what in ("edit", "send")
            )
            update = store.get(f"device/{thread}")
            version = 0 if update is None else update.version
            assert version - max(known[thread], *edits, 0) in (0, 1)
            known[thread] = version
            if update is not None and update.state is not None:
                assert json.loads(update.state) == {"n": version}
                assert store.history_size(f"device/{thread}")[0] == min(version, 1_000)
            own = [number for one, number in sent if one == thread]
            assert set(sends) <= set(own)
            assert own == sorted(own)
    return known


def lines(confirmed: Path) -> list[list[str]]:
    return [line.split() for line in confirmed.read_text().splitlines()]
