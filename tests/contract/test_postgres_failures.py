"""What a store in PostgreSQL does when the connection or the server fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg
import pytest

from postgres_proxy import Cut, PostgresProxy
from postgres_server import PostgresServer
from statecast.access.records import AuditEntry
from statecast.broadcast.change_feed import ChangeFeed
from statecast.commands.life import NewCommand
from statecast.decoders.decoder import Decoder
from statecast.errors import (
    DiskFull,
    StatecastError,
    StoreDamaged,
    StoreReadOnly,
    StoreUnavailable,
    StoreUnusable,
)
from statecast.ingest.pipeline import Pipeline
from statecast.model import Position
from statecast.stores import open_store
from statecast.stores.changes import ReadCursor
from statecast.stores.limits import Limits
from statecast.stores.postgres import database, epochs
from statecast.stores.postgres.driver import Connection, OutcomeUnknown, translate
from statecast.stores.postgres.store import PostgresStore
from statecast.stores.totals import Totals
from statecast.testing import FakeSource
from statecast.testing.values import change, message
from tests.conftest import installed
from tools import system_parts


def opened(url: str) -> closing[PostgresStore]:
    store = open_store(url, Limits())
    assert isinstance(store, PostgresStore)
    return closing(store)


# -- the outcome of a commit is not known


@pytest.mark.parametrize("cut", Cut)
def test_an_edit_is_done_once_wherever_its_commit_is_cut(
    name: str, proxy: PostgresProxy, cut: Cut
) -> None:
    with opened(proxy.url(name)) as store:
        store.edit(change("lamp", {"n": 0}, by="user"))
        # when the connection breaks during the commit of an edit
        proxy.cut = cut
        update = store.edit(change("pillow", {"n": 1}, by="user"))
        # then it was looked up what became of it: it is there, once, and the answer is right
        assert proxy.cuts == 1 and update is not None
        assert (update.version, update.offset) == (1, 2)
        assert update == store.get("pillow")
        assert [row.version for row in store.history("pillow")] == [1]
        assert store.totals()["api"].messages == 2
        assert store.check() == []


@pytest.mark.parametrize("cut", Cut)
def test_a_command_is_given_once_or_not_at_all(name: str, proxy: PostgresProxy, cut: Cut) -> None:
    with opened(proxy.url(name)) as store:
        proxy.cut = cut
        new = NewCommand("c1", "pillow", "blink", b"{}", 60_000)
        if cut is not Cut.BEFORE:
            command = store.begin_command(new)
            assert store.commands() == [command]
        else:
            with pytest.raises(StoreUnavailable, match="nothing of it was written"):
                store.begin_command(new)
            assert store.commands() == []
        assert proxy.cuts == 1


@pytest.mark.parametrize("cut", Cut)
def test_messages_are_delivered_again_and_count_once(
    name: str, proxy: PostgresProxy, cut: Cut
) -> None:
    with opened(proxy.url(name)) as store:
        page = [message(f"m{number}", change("pillow", {"n": number})) for number in range(3)]
        proxy.cut = cut
        with pytest.raises(OutcomeUnknown, match="not known whether"):
            store.commit("queue", 1, page)
        done = store.commit("queue", 1, page)
        assert (done.versions, done.duplicates) == ((3, 0) if cut is Cut.BEFORE else (0, 3))
        assert [row.version for row in store.history("pillow")] == [3, 2, 1]
        assert store.totals()["queue"].messages == 3


@pytest.mark.parametrize("cut", Cut)
def test_what_goes_to_quarantine_goes_once_and_is_said_once(
    name: str, proxy: PostgresProxy, cut: Cut
) -> None:
    with opened(proxy.url(name)) as store:
        # given messages that cannot be read, beside none that change a device, and a queue whose
        # own dead letters are copies of those in quarantine
        source = DeadLetters("queue")
        source.send_many([b"no JSON", b"[]x"])
        pipeline = Pipeline(source, Decoder(), store, batch_size=9)
        store.count_refused("mqtt")
        # when the connection breaks during the commit
        proxy.cut = cut
        with suppress(StoreUnavailable):
            pipeline.step(0, 0)
        assert proxy.cuts == 1 and (len(source.copied) > 0) is (cut is not Cut.BEFORE)
        pipeline.step(0, 0)
        # then each has one row and one copy, and is counted once, as what was refused before is
        assert [row.body for row in store.quarantined()] == [b"no JSON", b"[]x"]
        assert source.copied == [row.id for row in store.quarantined()]
        assert store.totals() == {
            "mqtt": Totals(refused=1),
            "queue": Totals(messages=2, quarantined=2),
        }
        assert store.check() == [] and source.waiting() == 0


@pytest.mark.parametrize("cut", Cut)
def test_the_driver_says_nothing_beside_the_error(
    name: str, proxy: PostgresProxy, cut: Cut, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(proxy.url(name)) as store:
        proxy.cut = cut
        with pytest.raises(OutcomeUnknown):
            store.commit("queue", 1, [message("m", change("pillow", {"n": 1}))])
    # given a connection that broke in a pipeline, the driver has said so for itself
    own = [one for one in caplog.records if one.name.startswith("psycopg")]
    # then that is for those who debug, and nobody reads it beside the sentence of the error
    assert all(one.levelname == "DEBUG" for one in own)


class DeadLetters(FakeSource):
    """A queue that copies what is refused."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.copied: list[str] = []

    def refused(self, ids: Iterable[str]) -> None:
        self.copied += ids


@pytest.mark.parametrize("cut", Cut)
def test_what_was_refused_before_is_counted_once(name: str, proxy: PostgresProxy, cut: Cut) -> None:
    with opened(proxy.url(name)) as store:
        store.count_refused("mqtt")
        proxy.cut = cut
        store.announce("process", {})
        assert proxy.cuts == 1
        assert store.totals() == {"mqtt": Totals(refused=1)}


@pytest.mark.parametrize("cut", Cut)
def test_a_message_is_sent_once(name: str, proxy: PostgresProxy, cut: Cut) -> None:
    with opened(proxy.url(name)) as store:
        queue = store.queue("queue")
        proxy.cut = cut
        ids = queue.append([b"1", b"2"])
        assert proxy.cuts == 1 and queue.size() == (2, 2)
        assert [one.id for one in queue.acknowledge_and_receive({}, 9, 30_000)] == [*map(str, ids)]


@pytest.mark.parametrize("cut", Cut)
def test_what_a_cut_receive_hid_is_received_at_once(
    name: str, proxy: PostgresProxy, cut: Cut
) -> None:
    with opened(proxy.url(name)) as store:
        queue = store.queue("queue")
        queue.append([b"1", b"2", b"3"])
        (done,) = queue.acknowledge_and_receive({}, 1, 30_000)
        store.database.pool.suspect()  # of a prepared COMMIT the proxy sees no text
        proxy.cut = cut
        with pytest.raises(OutcomeUnknown):
            queue.acknowledge_and_receive({done.receipt: [done.id]}, 1, 30_000)
        # then the next receive begins with what that one hid, and deletes what it acknowledged
        found = queue.acknowledge_and_receive({done.receipt: [done.id]}, 9, 30_000)
        attempt = 1 if cut is Cut.BEFORE else 2
        assert [(one.body, one.attempt) for one in found] == [(b"2", attempt), (b"3", 1)]
        # and nothing else is received twice
        assert queue.acknowledge_and_receive({}, 9, 30_000) == []
        assert queue.size() == (2, 2)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.AdminShutdown("terminating connection due to administrator command"),
        psycopg.OperationalError("cannot exit pipeline mode while busy"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_server_ends_after_the_commit_is_looked_up(
    postgres_server: PostgresServer,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    error: psycopg.Error,
) -> None:
    with opened(postgres_server.url(name)) as store:
        # given a server that ends the connection just after its commit: the driver has read that
        # it does, and not yet that the connection is closed
        pipeline, errors = psycopg.Connection.pipeline, [error]

        @contextmanager
        def ended(connection: Connection) -> Iterator[psycopg.Pipeline]:
            with pipeline(connection) as made:
                yield made
            if errors:
                raise errors.pop()

        monkeypatch.setattr(psycopg.Connection, "pipeline", ended)
        # when
        update = store.edit(change("pillow", {"n": 1}, by="user"))
        # then the edit is known to be there, and is there once
        assert not errors
        assert update == store.get("pillow")
        assert store.totals()["api"].messages == 1


def test_a_server_that_stays_away_leaves_the_outcome_open(
    name: str, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "RESOLVE_SECONDS", 0.0)
    with opened(proxy.url(name)) as store:
        proxy.cut = Cut.AFTER
        monkeypatch.setattr(proxy, "path", "/nowhere")
        with pytest.raises(OutcomeUnknown, match="look, before you do it again"):
            store.edit(change("pillow", {"n": 1}, by="user"))
        assert OutcomeUnknown.may_have_arrived


def test_without_the_look_up_an_edit_would_be_repeated(
    name: str, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the planted bug: an unknown outcome counts as "not committed"
    monkeypatch.setattr(database.PostgresDatabase, "outcome", lambda *_: None)
    with opened(proxy.url(name)) as store:
        proxy.cut = Cut.AFTER
        store.edit(change("pillow", {"n": 1}, by="user"))
        assert store.totals()["api"].messages == 2


# -- each failure has its sentence


@pytest.mark.parametrize(
    ("sqlstate", "kind", "sentence"),
    [
        ("53100", DiskFull, "disk of the store .* is full; free some space"),
        ("25006", StoreReadOnly, "Name the primary"),
        ("0A000", StoreReadOnly, "it is a standby .* Name the primary"),
        ("42501", StoreUnavailable, "GRANT"),
        ("40P01", StoreUnavailable, "waited for each other"),
        ("40001", StoreUnavailable, "came first each time"),
        ("55P03", StoreUnavailable, "held a lock for 5 seconds"),
        ("25P03", StoreUnavailable, "stood still in a transaction"),
        ("53300", StoreUnavailable, "raise its max_connections"),
        ("57014", StoreUnavailable, "ended a statement"),
        ("57P01", StoreUnavailable, "broke .* it is tried again"),
        ("57P03", StoreUnavailable, "broke .* it is tried again"),
        ("XX001", StoreDamaged, "restore a backup"),
        ("XX002", StoreDamaged, "REINDEX"),
        ("58030", StoreUnavailable, "disk of the store .* failed"),
        ("42P01", StoreUnusable, "statecast store migrate"),
        ("42703", StoreUnusable, "restore a backup"),
        ("22012", StoreUnavailable, "failed: as the server says it"),
    ],
)
def test_a_failure_says_what_to_do(
    sqlstate: str, kind: type[StatecastError], sentence: str
) -> None:
    error = translate("postgresql://db/x", psycopg.errors.lookup(sqlstate)("as the server says it"))
    assert type(error) is kind and "postgresql://db/x" in str(error)
    assert re.search(sentence, str(error), re.IGNORECASE | re.DOTALL), str(error)
    assert "postgresql" not in error.public


# -- the server is another one


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    server = PostgresServer(installed(system_parts.POSTGRESQL))
    server.start()
    yield server
    server.remove()


def test_a_standby_can_be_read_and_refuses_what_is_written(own_server: PostgresServer) -> None:
    name = own_server.create()
    with opened(own_server.url(name)) as store:
        store.edit(change("pillow", {"n": 1}, by="user"))
        # when the server comes back as a standby
        own_server.stop()
        signal_file = own_server.folder / "data" / "standby.signal"
        signal_file.touch()
        own_server.own(signal_file)
        own_server.start()
        # then pages go on, and writers learn what it is
        assert [one.device for one in store.devices()] == ["pillow"]
        for write in (
            lambda: store.edit(change("pillow", {"n": 2}, by="user")),
            lambda: store.commit("queue", 1, [message("a", change("pillow", {"n": 2}))]),
            lambda: store.note(AuditEntry("ada", "edit", "pillow")),
        ):
            with pytest.raises(StoreReadOnly, match="standby"):
                write()
        # and when it is promoted, they write again, in a new epoch
        with own_server.connect() as connection:
            connection.execute("SELECT pg_promote()")
        update = store.edit(change("pillow", {"n": 3}, by="user"))
        assert update is not None and update.version == 2
        assert len(store.epoch_history().epochs) == 2


def fail_over(
    server: PostgresServer,
    name: str,
    store: PostgresStore,
    after_each: Callable[[int], object] = lambda number: None,
) -> Position:
    """Replace the server by a copy that lacks three commits; a reader's position after these."""
    standby = server.folder / "standby"
    server.back_up(standby)
    for number in range(3):
        store.edit(change("pillow", {"lost": number}, by="user"))
        after_each(number)
    position = store.read_position()
    server.kill()
    (server.folder / "data").rename(server.folder / "lost")
    standby.rename(server.folder / "data")
    server.start()
    return position


@pytest.mark.parametrize("is_planted", [False, True])
def test_a_server_that_lacks_commits_begins_an_epoch(
    own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, is_planted: bool
) -> None:
    name = own_server.create()
    with opened(own_server.url(name)) as store:
        store.edit(change("pillow", {"n": 1}, by="user"))
        if is_planted:  # the planted bug: no new epoch
            monkeypatch.setattr(epochs, "begin", lambda *_, **__: None)
        # given a reader with commits that the promoted server lacks
        position = fail_over(own_server, name, store)
        assert not store.is_valid(position)
        # when its head passes the position of that reader
        for number in range(9):
            store.edit(change("lamp", {"n": number}, by="user"))
        # then the position is still not taken for one of this history
        assert store.read_position().offset > position.offset
        assert store.is_valid(position) is is_planted
        known = store.epoch_history().epochs
        if not is_planted:
            # and the epoch has begun with the first commit, in the same transaction
            assert known[-1][1] == position.offset - 3 + 1
            assert len(known) == 2
        assert store.read(ReadCursor()).position.epoch == known[-1][0]
        assert store.check() == []


def test_what_a_store_lacks_is_said_when_all_that_had_read_further_have_restarted(
    own_server: PostgresServer,
) -> None:
    name = own_server.create()
    loop, listener = DirectLoop(), Listener()
    with opened(own_server.url(name)) as store, opened(own_server.url(name)) as behind:
        store.edit(change("pillow", {"n": 1}, by="user"))
        # given two processes, one of which has read two of the three commits that get lost
        feeds = [ChangeFeed(one, loop, dict, listener) for one in (store, behind)]
        for feed in feeds:
            feed.read_once()
        fail_over(
            own_server,
            name,
            store,
            lambda n: [one.read_once() for one in feeds[: 2 if n < 2 else 1]],
        )
        # when both find what the promoted server lacks
        for feed in feeds:
            feed.read_once()
        assert "the last 3 changes" in said_of(store)[0]
        assert "the last 2 changes" in said_of(behind)[0]
    with opened(own_server.url(name)) as later:
        # then one that starts later says how much that is
        ChangeFeed(later, loop, dict, listener).read_once()
        (sentence,) = said_of(later)
        assert "lacks the last 3 changes" in sentence
        # and no longer after a day
        with later.database.write() as connection:
            connection.execute("UPDATE epochs SET set_back_at = set_back_at - interval '25 h'")
        assert later.epoch_history().lacks is None


class DirectLoop:
    """The test is the thread of the loop."""

    def call_soon(self, call: Any, *arguments: Any) -> None:
        call(*arguments)


class Listener:
    def on_changes(self, *arguments: Any) -> None:
        """Deliveries are none of these tests' business."""


def said_of(store: PostgresStore) -> list[str]:
    return [one.sentence for one in store.problems.current() if one.kind == "store-set-back"]
