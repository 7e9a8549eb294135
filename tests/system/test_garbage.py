"""A thousand messages, twenty kinds of garbage among them.

The good are applied, the bad set aside with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server_process import ServerProcess, statecast

from statecast import strict_json
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.contract import Store
from statecast.stores.sqlite.store import SqliteStore
from statecast.timestamps import now

GARBAGE: tuple[bytes, ...] = (
    b"",
    b"hello",
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b"null",
    b"[1, 2]",
    b'{"state": {"mood": "happy"}}',
    b'{"device": null, "state": {}}',
    b'{"device": "pillow", "state": 5}',
    b'{"device": "pillow"}',
    b'{"device": "../etc", "state": {}}',
    b'{"device": "' + b"x" * 129 + b'", "state": {}}',
    b'{"device": "pillow", "state": {"a": NaN}}',
    b'{"device": "pillow", "state": {"a": 1e999}}',
    b'{"device": "pillow", "state": {"a": 9007199254740993}}',
    b'{"device": "pillow", "state": {"a": 1, "a": 2}}',
    b'{"device": "pillow", "state": {"a": "\\ud800"}}',
    b"[" * 60_000,
    b'{"device": "pillow", "state": {"a": 1}, "time": "yesterday"}',
    b"PHNvYXA6RW52ZWxvcGU+PC9zb2FwOkVudmVsb3BlPg==",
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], ServerProcess]]:
    started: list[ServerProcess] = []

    def starter() -> ServerProcess:
        started.append(ServerProcess(tmp_path, "--port", "0"))
        return started[-1]

    yield starter
    for one in started:
        one.kill()


def test_the_neighbours_of_garbage_are_applied(
    tmp_path: Path, store: Store, start: Callable[[], ServerProcess]
) -> None:
    # given a thousand messages in the queue, every fiftieth unreadable in a way of its own
    queue = EmbeddedQueue(store)
    good = [
        strict_json.encode({"device": f"d{n % 7}", "state": {f"n{n % 11}": n}}) for n in range(980)
    ]
    bodies = [*good]
    for number, body in enumerate(GARBAGE):
        bodies.insert(number * 50, body)
    queue.send_many(bodies)
    expected: dict[str, dict[str, int]] = {}
    for n in range(980):
        expected.setdefault(f"d{n % 7}", {})[f"n{n % 11}"] = n
    # when a server takes them in
    server = start()
    while queue.waiting():
        store.wait(0.2)
    assert server.terminate() == 143
    # then every good one is applied
    states = {one.device: strict_json.decode(one.state) for one in store.devices() if one.state}
    assert states == expected
    # and each bad one is in quarantine, whole, with a reason a person understands
    rows = store.quarantined(limit=1000)
    assert sorted(row.body for row in rows if row.item is None) == sorted(
        b for b in GARBAGE if b != b"[1, 2]"
    )
    assert [row.body for row in rows if row.item is not None] == [b"1", b"2"], (
        "items of an array stand alone"
    )
    assert len({row.reason for row in rows}) >= 15
    for row in rows:
        assert (row.reason[0].isupper() or row.reason[0] == "“") and row.reason.endswith("."), (
            row.reason
        )
        assert "Traceback" not in row.reason and "Error" not in row.reason, row.reason
    listed = statecast(tmp_path, "quarantine", "list", "--json")
    assert len(listed.stdout.splitlines()) == len(rows), listed.stderr


def put_into_quarantine(store: Store, body: bytes, sent_at: int) -> None:
    """As an older version did, with the first number of arrival."""
    is_sqlite = isinstance(store, SqliteStore)
    mark = "?" if is_sqlite else "%s"
    arrival = (
        "UPDATE counters SET arrival = 1" if is_sqlite else "SELECT setval('arrivals', 1, true)"
    )
    with store.database.write() as connection:  # type: ignore[attr-defined]
        connection.execute(
            "INSERT INTO quarantine (source, id, reason, body, sent_at, arrival, attempts, at) "
            f"VALUES ('queue', 'before', 'Not understood yet.', {mark}, {mark}, 1, 1, 0)",
            (body, sent_at),
        )
        connection.execute("UPDATE counters SET quarantine_rows = 1")
        connection.execute(arrival)


def test_replay_after_a_fix_works_and_does_not_overwrite_what_is_newer(
    tmp_path: Path, store: Store, start: Callable[[], ServerProcess]
) -> None:
    # given a message that an older version could not read, in quarantine, and a newer state since
    body = strict_json.encode({"device": "pillow", "state": {"mood": "old", "colour": "red"}})
    put_into_quarantine(store, body, sent_at=now() - 60_000)
    start()
    assert statecast(tmp_path, "send", "pillow", "mood=new").returncode == 0
    while (update := store.get("pillow")) is None:
        store.wait(0.2)
    # when it is replayed, while the server runs
    (row,) = store.quarantined()
    replayed = statecast(tmp_path, "quarantine", "replay", str(row.number))
    # then fields without a newer value are set, and the rest stays
    assert replayed.returncode == 0, replayed.stderr
    shown = json.loads(statecast(tmp_path, "get", "pillow", "--json").stdout)
    assert shown["state"] == {"mood": "new", "colour": "red"}
    assert store.quarantine_count() == 0
    assert update.version < shown["version"]
