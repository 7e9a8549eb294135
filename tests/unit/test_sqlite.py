"""The SQLite store as a file: what it refuses, restarts and crashes, migrations."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner

from statecast.cli.main import main
from statecast.commands.request import new_command
from statecast.errors import BadSetting, Conflict, StoreUnavailable, StoreUnusable
from statecast.model import Position
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.changes import ReadCursor
from statecast.stores.limits import Limits
from statecast.stores.sqlite import commands, file_check, file_lock, schema
from statecast.stores.sqlite.connection_pool import Purpose
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock, change, message
from waiting import wait_for

Opener = Callable[..., SqliteStore]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def opened(path: Path, clock: VirtualClock) -> Iterator[Opener]:
    stores: list[SqliteStore] = []

    def opener(file: Path = path, **more: object) -> SqliteStore:
        stores.append(SqliteStore(file, Limits(), clock, **more))  # type: ignore[arg-type]
        return stores[-1]

    yield opener
    for store in stores:
        store.close()


def say(store: SqliteStore, id_: str, state: dict[str, object], **more: object) -> None:
    store.commit("queue", 1, [message(id_, change("pillow", state), sent_at=store.clock(), **more)])  # type: ignore[arg-type]


def crash(store: SqliteStore) -> None:
    """Close and unlock everything without a mark, as the end of a killed process does."""
    store.database._close_connections()
    store.database._file.close()
    store.database._lock.abandon()
    store.database._closed = True


def test_a_commit_compiles_none_of_its_statements_again(
    opened: Opener, clock: VirtualClock
) -> None:
    # given a store whose thread has written before, so that its statements are known
    store = opened()

    def write(number: int) -> None:
        store.edit(change("chair", {"count": number}))
        say(store, f"message {number}", {"count": number})

    for number in range(3):
        write(number)
    # when SQLite says what it compiles
    compiled: list[object] = []

    def note(kind: int, name: str | None, *more: str | None) -> int:
        compiled.append(name if kind == apsw.SQLITE_PRAGMA else (kind, name, *more))
        return apsw.SQLITE_OK

    with store.database._use(Purpose.WRITE) as writer:
        writer.authorizer = note  # from here on each statement is compiled once more
    write(3)
    compiled.clear()
    write(4)
    # then the next commits need nothing of it
    assert compiled == []
    writer.authorizer = None


def pragma(path: Path, sql: str) -> object:
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


# What is not a store stays as it is


@pytest.mark.parametrize(
    "content", [b"hello", b"x" * 5000, b"SQLite format 3\0", b"SQLite format 3\0" + b"\0" * 4080]
)
def test_a_file_that_is_no_database_is_refused_and_kept(
    path: Path, opened: Opener, content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreUnusable, match=r"store\.db"):
        opened()
    assert path.read_bytes() == content


def test_another_programs_database_is_refused(path: Path, opened: Opener) -> None:
    pragma(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match="another program"):
        opened()
    pragma(path, "PRAGMA application_id = 77")
    with pytest.raises(StoreUnusable, match="another program"):
        opened()
    assert b"theirs" in before and b"theirs" in path.read_bytes()


def test_a_truncated_store_is_refused(path: Path, opened: Opener) -> None:
    store = opened()
    say(store, "a", {"n": 1})
    store.close()
    whole = path.read_bytes()
    for size in (100, 1000, 4096, 3 * 4096, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises((StoreUnusable, StoreUnavailable)):
            opened().read(ReadCursor())
        assert path.stat().st_size == size


def test_an_interrupted_checkpoint_is_repaired_from_the_log(path: Path, opened: Opener) -> None:
    store = opened()
    for number in range(50):
        say(store, f"m{number}", {"text": "x" * 500, "n": number})
    log = Path(f"{path}-wal").read_bytes()
    pragma(path, "PRAGMA wal_checkpoint(PASSIVE)")
    crash(store)
    # given the file of a machine that lost power while the log was copied into it
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 + 100])
    Path(f"{path}-wal").write_bytes(log)
    Path(f"{path}-shm").unlink(missing_ok=True)
    # then nothing is missing
    assert opened().history_size("pillow")[0] == 50


def test_an_emptied_store_is_not_replaced_by_a_new_one(path: Path, opened: Opener) -> None:
    store = opened()
    say(store, "a", {"n": 1})
    store.close()
    path.write_bytes(b"")
    with pytest.raises(StoreUnusable, match="empty although it held a store"):
        opened()
    path.unlink()
    assert opened().devices() == []


def test_an_empty_file_is_a_new_store(path: Path, opened: Opener) -> None:
    path.touch()
    say(opened(), "a", {"n": 1})


def test_paths_that_cannot_be_a_store(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreUnusable, match="does not exist"):
        opened(tmp_path / "missing" / "store.db")
    with pytest.raises(StoreUnusable, match="not a file"):
        opened(tmp_path)
    monkeypatch.setattr(file_check, "file_system", lambda folder: "nfs4")
    with pytest.raises(StoreUnusable, match=r"network file system \(nfs4\)"):
        opened()


def test_a_store_without_access_rights_is_refused(
    path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened().close()
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    with pytest.raises(StoreUnusable, match="may not be written by this user"):
        opened()


def test_a_read_only_file_system_is_not_a_matter_of_rights(
    path: Path, opened: Opener, tmp_path: Path
) -> None:
    # given a store on a file system that is mounted read-only, where not even root may write
    store = opened()
    say(store, "a", {"n": 1})
    store.close()
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for command in (["--bind", path.parent, mounted], ["-o", "remount,ro,bind", mounted]):
        made = subprocess.run(["mount", *command], capture_output=True, text=True)
        if made.returncode:
            pytest.skip("needs root rights, to mount a folder read-only")
    # then the sentence says that, and not that the owner is wrong
    try:
        with pytest.raises(StoreUnusable, match="on a read-only file system; mount it for writing"):
            opened(mounted / path.name)
        # and commands that only read can read it
        for words, text in ((["devices"], "pillow"), (["get", "pillow"], "version 1")):
            read = CliRunner().invoke(main, [*words, "--store", f"sqlite:///{mounted / path.name}"])
            assert (read.exit_code, text in read.output) == (0, True), read.output
        read = CliRunner().invoke(main, ["doctor", "--store", f"sqlite:///{mounted / path.name}"])
        assert "it knows 1 device" in read.output
        # but not while a server writes it through another mount
        store = opened()
        read = CliRunner().invoke(main, ["devices", "--store", f"sqlite:///{mounted / path.name}"])
        assert read.exit_code == 1 and "a process that can write it uses it" in read.output
        store.close()
    finally:
        subprocess.run(["umount", mounted], check=True)


def test_the_kernel_names_the_file_system() -> None:
    assert file_check.file_system(Path("/proc")) == "proc"


@pytest.mark.parametrize(
    "url", ["", "nowhere", "mysql://x", "sqlite:", "sqlite:store.db", "sqlite:///"]
)
def test_a_wrong_url_is_refused_with_the_right_form(url: str) -> None:
    with pytest.raises(BadSetting, match="sqlite"):
        open_store(url)


def test_absolute_and_relative_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///relative.db", f"sqlite:///{tmp_path}/absolute.db"):
        open_store(url).close()
    assert (tmp_path / "relative.db").exists() and (tmp_path / "absolute.db").exists()


def test_no_other_user_may_read_it(path: Path, opened: Opener) -> None:
    store = opened()
    say(store, "a", {"n": 1})
    lease = store.lease("queue/1")
    assert lease is not None
    files = list(path.parent.iterdir())
    assert {file.name for file in files} >= {
        "store.db",
        "store.db-wal",
        "store.db.lock",
        "store.db.lease-queue%2F1",
    }
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


# Restarts, crashes, damage


def test_everything_survives_a_restart(opened: Opener) -> None:
    store = opened()
    say(store, "a", {"n": 1})
    EmbeddedQueue(store).send(b"waiting")
    update, position = store.get("pillow"), store.read_position()
    store.close()
    again = opened()
    assert again.get("pillow") == update
    assert again.is_valid(position)
    assert again.read_position().epoch != position.epoch
    assert update is not None and again.position_of(update) == position
    assert [one.body for one in EmbeddedQueue(again).receive(10, 0)] == [b"waiting"]
    assert again.commit("queue", 1, [message("a", change("pillow", {"n": 1}))]).duplicates == 1


def test_a_crash_has_the_file_checked(path: Path, opened: Opener) -> None:
    store = opened()
    for number in range(200):
        say(store, f"m{number}", {"text": "x" * 500, "n": number})
    pragma(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    crash(store)
    whole = path.read_bytes()
    # given damage that opening the file does not meet
    middle = len(whole) // 4096 // 2 * 4096
    path.write_bytes(whole[:middle] + b"\xff" * 4096 + whole[middle + 4096 :])
    for leftover in ("-wal", "-shm"):
        Path(f"{path}{leftover}").unlink(missing_ok=True)
    with pytest.raises(StoreUnusable, match="damaged"):
        opened()
    # when it is restored, the store opens
    path.write_bytes(whole)
    assert opened().history_size("pillow")[0] == 200


def test_a_full_disk_is_temporary(opened: Opener) -> None:
    store = opened()
    say(store, "a", {"n": 1})
    with store.database._use(Purpose.WRITE) as writer:
        pages = writer.execute("PRAGMA page_count").fetchall()[0][0]
        writer.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    with pytest.raises(StoreUnavailable, match="full"):
        for number in range(200):
            say(store, f"m{number}", {"text": "x" * 5000, "n": number})
    # the connection is opened again, and the next commit succeeds
    assert store.commit("queue", 1, [message("b", change("pillow", {"n": 2}))]).versions == 1


def test_a_closed_store_is_an_error(opened: Opener) -> None:
    store = opened()
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.devices()


def test_a_restored_backup_is_noticed(path: Path, opened: Opener) -> None:
    store = opened()
    say(store, "a", {"n": 1})
    say(store, "b", {"n": 2})
    kept = store.read_position()
    store.close()
    shutil.copy(path, f"{path}.backup")
    # given readers with positions after the backup, of the old epoch and of a newer one
    store = opened()
    say(store, "c", {"n": 3})
    beyond = store.read_position()
    claimed = store.position_of(store.read(ReadCursor()).updates[0])
    store.close()
    shutil.copy(f"{path}.backup", path)
    # when the backup is restored, their positions are invalid at once and stay so
    store = opened()
    for _ in range(3):
        assert store.is_valid(kept)
        assert not store.is_valid(beyond)
        assert not store.is_valid(Position(kept.epoch, kept.offset + 1))
        with pytest.raises(Conflict):
            store.edit(change("pillow", {"n": 9}, by="user"), if_match=claimed)
        say(store, f"d{store.read_position().offset}", {"n": store.read_position().offset + 100})


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_is_not_the_one_that_was_opened_is_noticed_at_once(
    path: Path, opened: Opener, how: str
) -> None:
    # given a store, in use on two threads, and a backup
    store = opened()
    say(store, "m1", {"mood": "happy"})
    store.close()
    backup = path.with_suffix(".backup")
    shutil.copy(path, backup)
    store = opened()
    say(store, "m2", {"mood": "calm"})
    # when its file is removed, or replaced by the backup, while the store is open
    path.unlink() if how == "removed" else backup.replace(path)
    # then every read, wait and write fails, on any thread: it would be lost after a restart
    calls: list[Callable[[], object]] = [
        lambda: store.get("pillow"), store.read_position, lambda: store.wait(0),
        lambda: say(store, "m3", {"mood": "sad"})
    ]  # fmt: skip
    with ThreadPoolExecutor(1) as other:
        for call in calls:
            with pytest.raises(StoreUnusable, match="removed or replaced"):
                call()
            with pytest.raises(StoreUnusable, match="removed or replaced"):
                other.submit(call).result()
    # and no new database was made, and the file of that name is left alone
    assert path.exists() is (how == "replaced")
    log = path.with_name(f"{path.name}-wal")
    before = log.read_bytes()
    store.close()
    assert log.read_bytes() == before


def test_a_process_that_only_reads_begins_no_epoch(opened: Opener) -> None:
    store = opened()
    epoch = store.read_position().epoch
    guest = opened(begin_epoch=False)
    EmbeddedQueue(guest).send(b"x")
    assert guest.read_position().epoch == epoch
    guest.edit(change("pillow", {"n": 1}, by="user"))
    assert store.read_position().epoch != epoch
    assert store.is_valid(Position(epoch, 0)) and not store.is_valid(Position(epoch, 1))
    assert store.is_valid(store.read_position())
    assert (
        opened(path := guest.path.with_name("new.db"), begin_epoch=False).read_position().epoch
        and path
    )


def test_epochs_are_bounded(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statecast.stores.sqlite.changes.MAX_EPOCHS", 3)
    for _ in range(5):
        store = opened()
        store.close()
    assert len(opened().epoch_history().epochs) == 3


def test_ids_of_the_queue_are_not_reused_when_it_ran_empty(opened: Opener) -> None:
    ids = []
    for _ in range(3):
        store = opened()
        queue = EmbeddedQueue(store)
        ids.append(queue.send(b"x"))
        queue.acknowledge(queue.receive(1, 0))
        queue.close()
        assert queue.waiting() == 0
        store.close()
    assert len(set(ids)) == 3


def test_known_ids_are_bounded(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    from statecast.stores.sqlite import dedup

    trim = dedup.trim
    monkeypatch.setattr(
        dedup,
        "trim",
        lambda connection, counters, now: trim(connection, counters, now, limit=3),
    )
    store = opened()
    for number in range(6):
        say(store, f"m{number}", {"n": number})
    assert store.commit("queue", 1, [message("m0", change("pillow", {"n": 0}))]).duplicates == 0
    assert store.commit("queue", 1, [message("m5", change("pillow", {"n": 0}))]).duplicates == 1


def test_trimming_is_bounded_per_commit(path: Path, clock: VirtualClock) -> None:
    store = SqliteStore(path, Limits(), clock)
    page = [message(f"m{n}", change(f"d{n % 7}", {"n": n})) for n in range(1000)]
    store.commit("queue", 1, page)
    store.close()
    store = SqliteStore(path, Limits(history_rows=10), clock)
    sizes = []
    for number in range(40):
        say(store, f"x{number}", {"n": number})
        sizes.append(
            sum(store.history_size(name)[0] for name in [*(f"d{n}" for n in range(7)), "pillow"])
        )
    assert sizes[0] == 1001 - 33
    assert sizes[-1] == 10
    store.close()


def test_one_write_notes_a_bounded_number_of_deadlines(
    opened: Opener, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "DEADLINES_AT_ONCE", 3)
    store = opened()
    say(store, "m1", {})
    ids = [store.begin_command(new_command("pillow", "hug", expires=1)).id for _ in range(7)]
    clock.advance(2)
    parts = [[one.id for one in store.pass_deadlines()] for _ in range(4)]
    assert parts == [ids[:3], ids[3:6], ids[6:], []]
    # while a device that asks gets none that is too late, however many there are
    for _ in range(7):
        store.begin_command(new_command("pillow", "hug", expires=1))
    clock.advance(2)
    assert store.hand_out("pillow") == []


def test_no_write_about_commands_reads_the_whole_table(opened: Opener, clock: VirtualClock) -> None:
    """A week of commands may be a million rows, and everything else waits for each write."""
    store = opened()
    say(store, "m1", {})
    written: dict[str, object] = {}

    def note(cursor: object, sql: str, values: object) -> bool:
        written[sql] = values
        return True

    with store.database.write() as connection:
        connection.exec_trace = note  # type: ignore[assignment]
    # given every write that there is
    store.begin_command(new_command("pillow", "hug", expires=1, key="k"))
    store.hand_out("pillow")
    clock.advance(2)
    assert [one.status for one in store.pass_deadlines()] == ["unanswered"]
    # then none of them goes through all rows
    with store.database.write() as connection:
        connection.exec_trace = None
        about = {sql: values for sql, values in written.items() if "FROM commands" in sql}
        plans = {
            sql: [step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]  # type: ignore[arg-type]
            for sql, values in about.items()
        }
    assert len(plans) >= 6
    assert [sql for sql, plan in plans.items() if "SCAN commands" in plan] == []


# Versions of the tables


NEXT = (*schema.STEPS, "CREATE TABLE extra (x); INSERT INTO extra SELECT count(*) FROM devices;")


def test_an_older_file_is_migrated_and_keeps_everything(path: Path, opened: Opener) -> None:
    store = opened()
    say(store, "a", {"n": 1})
    store.close()
    newer = opened(steps=NEXT)
    assert newer.get("pillow") is not None
    assert pragma(path, "SELECT x FROM extra") == [(1,)]
    assert pragma(path, "PRAGMA user_version") == [(len(schema.STEPS) + 1,)]
    newer.close()
    with pytest.raises(StoreUnusable, match="newer Statecast"):
        opened()


def test_a_queue_of_the_first_version_keeps_its_messages(
    path: Path, opened: Opener, clock: VirtualClock
) -> None:
    # given a file of version 1: one message received but not acknowledged, and one fresh
    connection = apsw.Connection(str(path))
    connection.execute(schema.FIRST).fetchall()
    connection.execute(
        "INSERT INTO queues VALUES (1, 'queue', 2, 11, 1);"
        "INSERT INTO queue VALUES (1, 1, 5, CAST('first' AS BLOB));"
        "INSERT INTO queue VALUES (1, 2, 6, CAST('second' AS BLOB));"
        "INSERT INTO handouts VALUES (1, 1, 0, :now);"
        "INSERT INTO handed VALUES (1, 1, 1);"
        "UPDATE counters SET arrival = 2, handout = 1;"
        f"PRAGMA application_id = {schema.APPLICATION_ID}; PRAGMA user_version = 1",
        {"now": clock()},
    ).fetchall()
    connection.close()
    # when this version opens it
    queue = opened().queue("queue")
    # then both are received, under a new receipt and with their attempts
    found = queue.acknowledge_and_receive({}, 5, 1_000)
    assert [(one.id, one.attempt, one.receipt) for one in found] == [("1", 2, "2"), ("2", 1, "2")]
    assert queue.acknowledge_and_receive({"2": ["1", "2"]}, 5, 1_000) == []
    assert queue.size() == (0, 0)


def test_a_migration_that_fails_leaves_the_older_file(path: Path, opened: Opener) -> None:
    store = opened()
    say(store, "a", {"n": 1})
    store.close()
    with pytest.raises(StoreUnusable):
        opened(steps=(*schema.STEPS, "CREATE TABLE extra (x); INSERT INTO missing VALUES (1);"))
    assert pragma(path, "PRAGMA user_version") == [(len(schema.STEPS),)]
    assert opened().get("pillow") is not None


def test_a_migration_waits_until_no_process_uses_the_store(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened()
    monkeypatch.setattr(file_lock, "WAIT_SECONDS", 0.0)
    with pytest.raises(StoreUnavailable, match="older version and another process uses it"):
        opened(steps=NEXT)


def test_a_process_that_finds_another_version_stops_writing(path: Path, opened: Opener) -> None:
    store = opened()
    pragma(path, f"PRAGMA user_version = {len(schema.STEPS) + 1}")
    with pytest.raises(StoreUnusable, match="restart it"):
        say(store, "a", {"n": 1})


# Threads and forks


def test_threads_write_and_read_at_the_same_time(opened: Opener) -> None:
    store = opened()

    def work(name: str) -> None:
        for number in range(20):
            store.commit(name, 1, [message(f"{name}{number}", change(name, {"n": number}))])
            store.read(ReadCursor())

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [update.version for update in store.devices()] == [20] * 4
    assert store.read_position().offset == 80


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_waits_for_a_thread_that_writes(opened: Opener) -> None:
    # given a thread in the middle of a transaction, which it ends when somebody wants to fork
    store = opened()
    database = store.database
    writing = threading.Event()

    def write() -> None:
        with database.write():
            writing.set()
            wait_for(lambda: database._forking, "nothing waited for the transaction")

    thread = threading.Thread(target=write)
    thread.start()
    assert writing.wait(10)
    # when this thread forks
    child = os.fork()
    if child == 0:
        done = 1
        try:
            store.edit(change("pillow", {"n": 2}, by="user"))
            done = 0
        finally:
            os._exit(done)
    # then the child writes, for SQLite's record of locks had none of the other thread
    assert os.waitpid(child, 0)[1] == 0
    thread.join(10)
    # and so do the threads of the parent
    store.edit(change("pillow", {"n": 3}, by="user"))
    update = store.get("pillow")
    assert update is not None and (update.version, update.state) == (2, b'{"n":3}')


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_opens_its_own_connections(opened: Opener) -> None:
    store = opened()
    say(store, "a", {"n": 1})
    child = os.fork()
    if child == 0:
        done = 1
        try:
            store.edit(change("pillow", {"n": 2}, by="user"))
            store.close()
            done = 0
        finally:
            os._exit(done)
    assert os.waitpid(child, 0)[1] == 0
    update = store.get("pillow")
    assert update is not None and update.state == b'{"n":2}'
    store.edit(change("pillow", {"n": 3}, by="user"))


def test_what_a_thread_has_read_is_not_kept_in_memory(opened: Opener) -> None:
    # given more states than a reader's cache holds
    store = opened()
    lease = store.lease("queue")
    assert lease is not None
    state = {"text": "x" * 30_000}
    for number in range(200):
        store.commit("queue", lease.term, [message(f"m{number}", change(f"d{number}", state))])
    # when all of them are read, as at a start
    assert len(store.read(ReadCursor()).updates) == 200
    # then the thread keeps a small part of the 6 MB
    with store.database.read() as connection:
        kept, _ = connection.status(apsw.SQLITE_DBSTATUS_CACHE_USED)
    assert kept < 2_500_000
