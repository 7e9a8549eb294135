"""What a key sends is checked again when it is applied, by the rights of the key then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from statecast.access.grants import NOTHING, Grants
from statecast.errors import StoreUnavailable
from statecast.ingest.pipeline import Pipeline, replay
from statecast.ingest.sender_check import SenderCheck
from statecast.model import Answer, Change, Delivery, Message, Refusal
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.contract import Store
from statecast.testing.values import change, message

KEY = "key pillow-1"
SEND = Grants.of({"pillow": "send", "smith/*": "send"})
REVOKED = f"Its sender, {KEY}, was revoked or has expired."
OTHERS = f"Its sender, {KEY}, may not send messages of this device."


def checked(given: Message, grants: Grants | None) -> Message:
    return SenderCheck({KEY: grants}.__getitem__)(given)


@pytest.mark.parametrize(
    ("changes", "grants", "kept", "refused"),
    [
        ([change("pillow")], SEND, ["pillow"], []),
        ([change("smith/lamp")], SEND, ["smith/lamp"], []),
        ([change("smith")], SEND, [], [(None, "smith", OTHERS)]),
        ([change("smithers/lamp")], SEND, [], [(None, "smithers/lamp", OTHERS)]),
        ([change("pillow/left")], SEND, [], [(None, "pillow/left", OTHERS)]),
        ([change("pillow")], None, [], [(None, "pillow", REVOKED)]),
        ([change("pillow")], NOTHING, [], [(None, "pillow", OTHERS)]),
        # another right is not enough
        (
            [change("pillow")],
            Grants.of({"*": "read command write"}),
            [],
            [(None, "pillow", OTHERS)],
        ),
        ([change("pillow")], Grants.of({"*": "operate"}), [], [(None, "pillow", OTHERS)]),
        # the items of an array stand alone
        (
            [change("pillow"), change("lamp"), change("smith/a"), change("b")],
            SEND,
            ["pillow", "smith/a"],
            [(1, "lamp", OTHERS), (3, "b", OTHERS)],
        ),
        # removing and replacing are messages like others
        ([change("lamp", kind="delete")], SEND, [], [(None, "lamp", OTHERS)]),
        ([change("pillow", kind="replace")], SEND, ["pillow"], []),
    ],
)
def test_which_changes_of_a_key_are_applied(
    changes: list[Change], grants: Grants | None, kept: list[str], refused: list[Any]
) -> None:
    found = checked(message("a", *changes, sender=KEY), grants)
    assert [one.device for one in found.changes] == kept
    assert len(found.items) == len(kept)
    assert [(one.item, one.device, one.reason) for one in found.refusals] == refused


@pytest.mark.parametrize("by", ["device", "user", "system"])
@pytest.mark.parametrize(
    ("grants", "may_write"),
    [
        (SEND, False),
        (SEND | Grants.of({"pillow": "write"}), True),
        (SEND | Grants.of({"a": "write"}), False),
    ],
)
def test_a_key_that_may_not_write_speaks_as_the_device(
    by: Any, grants: Grants, may_write: bool
) -> None:
    """Else a device could hide that it is alive, or pose as a person in the history."""
    (found,) = checked(message("a", change("pillow", by=by), sender=KEY), grants).changes
    assert found.by == (by if may_write else "device")


def test_an_answer_to_a_command_is_checked_like_a_state() -> None:
    answers = [
        Change(device, "merge", {}, answer=Answer("c1", "done")) for device in ("pillow", "lamp")
    ]
    found = checked(message("a", *answers, sender=KEY), SEND)
    assert [one.device for one in found.changes] == ["pillow"]
    assert [one.device for one in found.refusals] == ["lamp"]


def test_what_has_no_sender_is_as_trusted_as_its_queue() -> None:
    given = message("a", change("lamp", by="user"))
    assert SenderCheck(lambda sender: pytest.fail("asked"))(given) is given


def test_what_was_refused_before_stays_refused() -> None:
    unread = Refusal("It is not JSON.", b"{", 0)
    found = checked(message("a", change("lamp"), refusals=(unread,), sender=KEY), SEND)
    assert found.refusals[0] == unread and found.refusals[1].reason == OTHERS


def test_a_sender_is_asked_for_once_in_a_batch() -> None:
    asked: list[str] = []
    check = SenderCheck(lambda sender: asked.append(sender))
    for id_ in ("a", "b", "c"):
        check(message(id_, change(), sender=KEY))
    assert asked == [KEY]


# With a store


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    runtime = Runtime(Settings(store=f"sqlite:///{tmp_path / 'a.db'}"))
    runtime.store.put_access("key", "pillow-1", {"digest": "", "grants": {"pillow": "send"}})
    yield runtime
    runtime.stop()


def send(store: Store, *items: dict[str, Any], sender: str = KEY) -> None:
    """As REST does when a key sends."""
    EmbeddedQueue(store).send_many([json.dumps(one).encode() for one in items], sender)


def consume(runtime: Runtime) -> Pipeline:
    """Apply what is in the queue."""
    source, decode = runtime.outbox.open("embedded:queue")
    pipeline = runtime.add_consumer(source, decode).pipeline
    lease = runtime.store.lease("queue")
    assert lease is not None
    pipeline.step(lease.term, 0.0)
    lease.release()
    return pipeline


PILLOW = {"device": "pillow", "state": {"mood": "happy"}, "by": "user"}


def test_what_a_key_sends_says_so_in_the_history(runtime: Runtime) -> None:
    send(runtime.store, PILLOW)
    send(runtime.store, {"device": "pillow", "state": {"n": 1}, "by": "user"}, sender="")
    consume(runtime)
    found = [(row.cause.by, row.cause.sender) for row in runtime.store.history("pillow")]
    assert found == [("user", ""), ("device", KEY)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, REVOKED),
        ({"digest": "", "grants": {"pillow": "send"}, "expires_at": 1}, REVOKED),
        ({"digest": "", "grants": {"lamp": "send"}}, OTHERS),
    ],
)
def test_a_key_that_was_revoked_or_narrowed_meanwhile_changes_nothing(
    runtime: Runtime, body: dict[str, Any] | None, reason: str
) -> None:
    # Given a message that was taken, and a key whose rights went before it is applied
    send(runtime.store, PILLOW)
    send(runtime.store, {"device": "lamp", "state": {"on": True}}, sender="")
    runtime.store.put_access("key", "pillow-1", body)
    # When it is applied
    consume(runtime)
    # Then it is in quarantine with a sentence, and its neighbour is applied
    (row,) = runtime.store.quarantined()
    assert (row.reason, row.sender, row.device) == (reason, KEY, "pillow")
    assert runtime.store.get("pillow") is None and runtime.store.get("lamp") is not None
    # When an operator replays it, it is checked again
    assert runtime.replay(row.number) == reason
    assert runtime.store.get("pillow") is None
    # And it is applied once the key may do it
    runtime.store.put_access("key", "pillow-1", {"digest": "", "grants": {"pillow": "send"}})
    assert runtime.replay(row.number) == ""
    assert [one.cause.sender for one in runtime.store.history("pillow")] == [KEY]


def test_the_table_of_rights_counts_for_a_sender(tmp_path: Path) -> None:
    settings = Settings(
        store=f"sqlite:///{tmp_path / 'a.db'}", rights={"key:pillow-1": {"lamp": "send"}}
    )
    runtime = Runtime(settings)
    try:
        runtime.store.put_access("key", "pillow-1", {"digest": "", "grants": {"pillow": "send"}})
        send(runtime.store, PILLOW, {"device": "lamp", "state": {"on": True}})
        consume(runtime)
        assert runtime.store.quarantined() == [] and runtime.store.get("lamp") is not None
    finally:
        runtime.stop()


def test_a_sender_that_is_no_key_may_nothing(runtime: Runtime) -> None:
    """Whatever wrote it into the file: unknown senders are not trusted."""
    for sender in ("pillow-1", "user ada", "keypillow-1", " ", "key"):
        send(runtime.store, PILLOW, sender=sender)
    consume(runtime)
    assert len(runtime.store.quarantined()) == 5 and runtime.store.get("pillow") is None


def test_a_store_that_fails_meanwhile_sends_nothing_into_quarantine(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a store that cannot say what the key may do
    send(runtime.store, PILLOW)
    source, decode = runtime.outbox.open("embedded:queue")
    pipeline = runtime.add_consumer(source, decode).pipeline
    lease = runtime.store.lease("queue")
    assert lease is not None
    grants_of = pipeline.grants_of

    def unavailable(sender: str) -> Grants | None:
        raise StoreUnavailable("The disk does not answer.")

    pipeline.grants_of = unavailable
    # When a step is tried, the message stays; and when the store is back, it is applied
    with pytest.raises(StoreUnavailable):
        pipeline.step(lease.term, 0.0)
    pipeline.grants_of = grants_of
    pipeline.step(lease.term, 0.0)
    assert runtime.store.quarantined() == [] and runtime.store.get("pillow") is not None


def test_without_rights_to_ask_a_message_with_a_sender_is_not_applied(runtime: Runtime) -> None:
    """A pipeline that someone makes without a policy fails closed."""
    send(runtime.store, PILLOW)
    runtime.store.put_access("key", "pillow-1", None)
    consume(runtime)
    (row,) = runtime.store.quarantined()
    decode, _ = runtime.outbox.decoder_for("queue")
    assert replay(runtime.store, decode, row.number).quarantined == 1


def test_a_delivery_is_without_a_sender_unless_its_queue_says_so() -> None:
    assert Delivery("a", b"", 0).sender == ""
