"""A store of one kind, copied into another: what was known, is known; nothing is applied twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from postgres_server import PostgresServer
from statecast.access.records import AuditEntry
from statecast.cli import copying as command
from statecast.cli.main import main
from statecast.commands.life import NewCommand
from statecast.errors import BadSetting, StoreUnavailable, StoreUnusable
from statecast.model import Event
from statecast.stores import copying, open_store
from statecast.stores.changes import ReadCursor
from statecast.stores.contract import Store
from statecast.stores.copying import TABLES, CopiedTable, Row
from statecast.stores.postgres import schema
from statecast.stores.sqlite.tables import described
from statecast.testing import change, message
from statecast.testing.values import refused
from statecast.timestamps import now

NewUrl = Callable[[str], str]
LEFT_OUT = {
    *("events", "reports", "watch_counts"),  # they live for seconds
    *("receipts", "in_flight", "leases", "requests"),  # of processes that do not run any more
    *("counters", "epochs"),  # written at the end
    *("known", "page_ids"),  # they come with pages
}


@pytest.fixture
def new_url(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[NewUrl]:
    """The URL of a store of a kind that does not exist yet."""
    made: list[str] = []

    def new(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{len(list(tmp_path.iterdir()))}.db"
        made.append(postgres_server.create())
        return postgres_server.url(made[-1])

    yield new
    for name in made:
        postgres_server.drop(name)


def fill(url: str) -> None:
    """Something of everything that is kept."""
    store = open_store(url)
    at = now()
    for number in range(7):
        device = f"floor{number % 2}/pillow"
        said = change(device, {"n": number, "text": "a\0b"}, silent_after=60, commands=("hug",))
        store.commit("queue", 1000, [message(f"m{number}", said, sent_at=at)], confirmed=["m1"])
    store.commit("queue", 1, [refused("bad", sent_at=at)])
    store.edit(
        change("lamp", {"on": True}, by="user"), audit=AuditEntry("user ada", "edit", "lamp")
    )
    store.edit(change("lamp", None, kind="delete", by="user"))
    store.begin_command(NewCommand("c1", "floor0/pillow", "hug", key="k1"))
    store.hand_out("floor0/pillow")
    store.put_access("user", "ada", {"role": "operator", "password": "x"})
    store.put_access("key", "old", {"grants": {}})
    store.put_access("key", "old", None)
    queue = store.queue("commands")
    queue.append([b"first", b"second"], sender="user ada")
    assert len(queue.acknowledge_and_receive({}, 1, 30_000)) == 1
    lease = store.lease("reaction:r")
    assert lease is not None
    reaction = store.reaction("r", ["*"])
    reaction.begin(lease.term)
    lease.release()
    store.emit([Event("/", "gone")])
    store.close()


def content(store: Store) -> dict[str, Any]:
    """What can be read of a store."""
    devices = store.read(ReadCursor()).updates
    return {
        "devices": devices,
        "history": [store.history(one.device, limit=1_000) for one in devices],
        "quarantine": store.quarantined(limit=1_000),
        "totals": store.totals(),
        "commands": store.commands(),
        "access": store.read(ReadCursor(access=0)).access,
        "audit": store.audit_rows(),
        "queue": store.queue("commands").size(),
        "offset": store.read_position().offset,
        "history size": store.sizes().history_rows,
        "reaction": store.reaction("r", ["*"]).unhandled(),
    }


def copy(source: str, target: str) -> dict[str, int]:
    with (
        closing(command.open_source(source)) as reader,
        closing(command.open_target(target)) as writer,
    ):
        return copying.copy(reader, writer, lambda done, total: None)


@pytest.mark.parametrize(
    ("kind", "other"),
    [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("postgresql", "postgresql")],
)
def test_a_copy_has_all_that_was_kept(kind: str, other: str, new_url: NewUrl) -> None:
    # given a store with something of everything
    source, target = new_url(kind), new_url(other)
    fill(source)
    # when it is copied
    copy(source, target)
    before, after = open_store(source, begin_epoch=False), open_store(target)
    # then all of it is there, and fits together
    assert content(after) == content(before)
    assert after.check() == []
    # but positions of before are not valid: viewers are reset, once
    assert not after.is_valid(before.read_position())
    # and it goes on as the first one would have: what was committed is known,
    again = message("m3", change("floor1/pillow", {"n": 100}), sent_at=now())
    assert after.commit("queue", 1, [again]).duplicates == 1
    assert after.begin_command(NewCommand("c2", "floor0/pillow", "hug", key="k1")).id == "c1"
    # offsets, versions, numbers and terms rise
    offset = before.read_position().offset
    edited = after.edit(change("floor1/pillow", {"n": 9}, by="user"))
    assert edited is not None and edited.offset == offset + 1 and edited.version == 4
    created = after.edit(change("another", {"n": 9}, by="user"))
    assert created is not None and created.offset == offset + 2
    lease = after.lease("reaction:r")
    assert lease is not None and lease.term == 2
    # and what was in flight is received again, before what comes later
    queue = after.queue("commands")
    assert queue.append([b"third"]) > [0]
    bodies = [one.body for one in queue.acknowledge_and_receive({}, 10, 30_000)]
    assert bodies == [b"first", b"second", b"third"]
    assert after.check() == []
    before.close()
    after.close()


@pytest.mark.parametrize(("kind", "other"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_an_interrupted_copy_goes_on(
    kind: str, other: str, new_url: NewUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = new_url(kind), new_url(other)
    fill(source)
    monkeypatch.setattr(copying, "PAGE", 2)
    # given a copy that fails, and fails again when it goes on
    written: list[tuple[str, int]] = []
    for allowed in (3, 4, 5):
        reader, writer = command.open_source(source), command.open_target(target)
        write, left = writer.write, allowed

        def failing(of: CopiedTable, rows: list[Row], write: Any = write) -> None:
            nonlocal left
            if not left:
                raise StoreUnavailable("The network is away.")
            left -= 1
            write(of, rows)
            written.append((of.name, len(rows)))

        monkeypatch.setattr(writer, "write", failing)
        with pytest.raises(StoreUnavailable):
            copying.copy(reader, writer, lambda done, total: None)
        reader.close()
        writer.close()
    # when it is begun again, then it goes on where it was
    sizes = copy(source, target)
    rows = sum(number for _, number in written)
    assert 0 < rows < sum(sizes.values())
    before, after = open_store(source, begin_epoch=False), open_store(target)
    assert content(after) == content(before) and after.check() == []
    before.close()
    after.close()
    # and a store that is there is never overwritten
    with pytest.raises(BadSetting, match="already"):
        copy(source, target)


@pytest.mark.parametrize(("kind", "other"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_a_source_that_is_used_is_not_copied(
    kind: str, other: str, new_url: NewUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = new_url(kind), new_url(other)
    fill(source)
    # given a process that serves from it
    server = open_store(source)
    server.announce("p", {})
    with pytest.raises(BadSetting, match="1 processes use"):
        copy(source, target)
    server.withdraw("p")
    # given one that writes during the copy
    reader, writer = command.open_source(source), command.open_target(target)
    monkeypatch.setattr(
        reader,
        "page",
        lambda *given, page=reader.page: (
            server.edit(change("pillow", {"at": given[0].name}, by="user")),
            page(*given),
        )[1],
    )
    with pytest.raises(StoreUnusable, match="was written to"):
        copying.copy(reader, writer, lambda done, total: None)
    reader.close()
    writer.close()
    # then the next attempt begins again, and has all of it
    server.edit(change("late", {"n": 1}, by="user"))
    copy(source, target)
    after = open_store(target)
    assert content(after) == content(server) and after.check() == []
    after.close()
    server.close()


def test_every_column_of_every_table_is_copied() -> None:
    copied = {of.name: set(of.columns) for of in TABLES}
    # of SQLite, whose pages of ids are two tables
    copied["pages"] -= {"ids", "open"}
    found = {name: set(one.names) for name, one in described().items() if name not in LEFT_OUT}
    assert found.pop("pages") - {"size"} == copied.pop("pages")
    assert found == copied
    # and of PostgreSQL, whose tables have the same names
    text = "".join(step.sql for step in schema.STEPS)
    for name in copied:
        assert f"CREATE TABLE {name} (" in text


def test_the_command_says_what_it_did(new_url: NewUrl) -> None:
    source, target = new_url("sqlite"), new_url("postgresql")
    fill(source)
    ended = CliRunner().invoke(main, ["store", "copy", source, target])
    assert ended.exit_code == 0, ended.output
    assert "Copied 3 devices, 9 versions, 2 waiting messages" in ended.output
    # a second time it is refused, and so are a password that others can read and what is no store
    again = CliRunner().invoke(main, ["store", "copy", source, target])
    assert again.exit_code == 2 and "already" in again.output
    shown = target.replace("statecast@", "statecast:secret@")
    ended = CliRunner().invoke(main, ["store", "copy", source, shown])
    assert ended.exit_code == 2 and "PGPASSWORD" in ended.output and "secret" not in ended.output
    for wrong in ("memory:", "sqlite:///", "/tmp/file.db"):
        ended = CliRunner().invoke(main, ["store", "copy", source, wrong])
        assert ended.exit_code == 2 and "no store that can be copied" in ended.output
