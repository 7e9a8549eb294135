"""Each write of a store in PostgreSQL, with its connection cut during COMMIT.

An outcome that is not known is looked up: what was committed is answered as ever, and what was not
is done, or fails with a sentence that says so. It is never done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from postgres_proxy import Cut, PostgresProxy
from postgres_server import PostgresServer
from statecast.access.records import AuditEntry
from statecast.commands.life import NewCommand
from statecast.errors import StoreUnavailable
from statecast.model import Answer, Message
from statecast.stores import open_store
from statecast.stores.changes import ReadCursor
from statecast.stores.leases import command_lease
from statecast.stores.postgres.driver import OutcomeUnknown
from statecast.stores.postgres.store import PostgresStore
from statecast.testing import VirtualClock
from statecast.testing.values import change, message, refused

ASKED = NewCommand("c3", "pillow", "hug", expires=60_000, key="k3")
NOTED = AuditEntry("ada", "did", "pillow")
TERM = 1
"""Of the lease under which commands are put into a queue."""


class Write(NamedTuple):
    """One way to write, which keeps the id of its transaction."""

    method: str
    """Of the store, or of its queue."""
    run: Callable[[PostgresStore], Any]
    prepare: Callable[[PostgresStore], Any] = lambda store: None


def again() -> Message:
    return message("bad", change("lamp", {"n": 1}))


def answer(status: Any) -> Message:
    return message("answer", replace(change("pillow", {"n": 2}), answer=Answer("c1", status)))


def dispatch(store: PostgresStore) -> Any:
    return store.begin_dispatch("commands", TERM, lambda *_: True, 9)


def end_dispatch(store: PostgresStore) -> Any:
    return store.end_dispatch("commands", TERM, ["c1"], ["c2"])


def to_commit(store: PostgresStore) -> Any:
    """A batch whose outcome is more than states."""
    return store.commit("source", 1, [answer("done")])


WRITES = {
    "an answer": Write("commit", to_commit, lambda store: store.hand_out("pillow")),
    "a refusal": Write(
        "commit",
        lambda store: store.commit("source", 1, [answer("refused")]),
        lambda store: store.hand_out("pillow"),
    ),
    "quarantine": Write("commit", lambda store: store.commit("source", 1, [refused("worse")])),
    "an edit": Write(
        "edit", lambda store: store.edit(change("pillow", {"n": 5}, by="user"), cause_id="e")
    ),
    "an edit with its entry": Write(
        "edit",
        lambda store: store.edit(change("pillow", {"n": 5}, by="user"), cause_id="e", audit=NOTED),
    ),
    "a removal": Write(
        "edit", lambda store: store.edit(change("pillow", kind="delete", by="user"), cause_id="e")
    ),
    "a replay": Write("replay", lambda store: store.replay(1, again(), 1, audit=NOTED)),
    "a drop": Write("drop", lambda store: store.drop(1, audit=NOTED)),
    "a command": Write("begin_command", lambda store: store.begin_command(ASKED, audit=NOTED)),
    "a repeated command": Write(
        "begin_command",
        lambda store: store.begin_command(replace(ASKED, id="c4"), audit=NOTED),
        lambda store: store.begin_command(ASKED, audit=NOTED),
    ),
    "handing out": Write("hand_out", lambda store: store.hand_out("pillow")),
    "dispatch": Write("begin_dispatch", dispatch),
    "the end of dispatch": Write("end_dispatch", end_dispatch, dispatch),
    "deadlines": Write(
        "pass_deadlines",
        lambda store: store.pass_deadlines(),
        lambda store: store.clock.advance(61),
    ),
    "an entry of the audit": Write("note", lambda store: store.note(NOTED)),
    "a key": Write(
        "put_access", lambda store: store.put_access("token", "t2", {"name": "b"}, audit=NOTED)
    ),
    "the end of a key": Write(
        "put_access", lambda store: store.put_access("token", "t1", None, audit=NOTED)
    ),
    "forgetting a device": Write("forget_device", lambda store: store.forget_device("pillow")),
    "forgetting a person": Write("forget_person", lambda store: store.forget_person("ada")),
    "sending": Write("append", lambda store: len(store.queue("queue").append([b"3", b"4"]))),
    "removing from a queue": Write(
        "remove", lambda store: store.queue("queue").remove(lambda one: one.body == b"1")
    ),
    "what was refused": Write(
        "announce", lambda store: store.announce("p", {}), lambda store: store.count_refused("mqtt")
    ),
}


@pytest.fixture
def other(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.created() as made:
        yield made


def opened(url: str) -> closing[Any]:
    store = open_store(url, clock=VirtualClock())
    assert isinstance(store, PostgresStore)
    store.commit("queue", 1, [message("good", change("pillow", {"n": 1})), refused("bad")])
    for id_ in ("c1", "c2"):
        store.begin_command(NewCommand(id_, "pillow", "blink", expires=60_000, by="ada"))
    store.put_access("token", "t1", {"name": "a"})
    store.note(replace(NOTED, action="prepared"))
    store.queue("queue").append([b"1", b"2"])
    lease = store.lease(command_lease("commands"))
    assert lease is not None
    assert lease.term == TERM
    return closing(store)


def all_of(store: PostgresStore) -> tuple[Any, ...]:
    """What writes change."""
    kept = store.read(ReadCursor())
    return (
        [replace(update, offset=0) for update in kept.updates],
        store.history("pillow"),
        store.commands(),
        [replace(row, number=0, order=0) for row in store.quarantined()],
        store.totals(),
        store.audit_rows(),
        store.access_records(),
        store.queue("queue").size(),
        kept.cursor,
    )


@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_is_done_once_or_not_at_all_wherever_its_commit_is_cut(
    postgres_server: PostgresServer,
    name: str,
    other: str,
    proxy: PostgresProxy,
    write: Write,
    cut: Cut,
) -> None:
    with opened(postgres_server.url(other)) as uncut, opened(proxy.url(name)) as store:
        for one in (uncut, store):
            write.prepare(one)
        before = all_of(store)
        expected = write.run(uncut)
        after = all_of(uncut)
        # when the connection breaks during the commit
        store.database.pool.suspect()  # of a prepared COMMIT the proxy sees no text
        proxy.cut = cut
        try:
            done = write.run(store)
        except StoreUnavailable as error:
            # then nothing was written, and it is said
            assert cut is Cut.BEFORE and not isinstance(error, OutcomeUnknown)
            assert "nothing of it was written" in str(error)
            assert all_of(store) == before
            done = write.run(store)
        # then it was done once, with the answer that it has without a cut
        assert proxy.cuts == 1
        assert done == expected
        assert all_of(store) == after
        assert store.check() == []
