"""In any store a state is its messages folded by stamp, however they arrived and were batched."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statecast import strict_json
from statecast.model import Change, Message, Stamp
from statecast.stores import open_store
from statecast.stores.changes import ReadCursor
from statecast.stores.limits import Limits
from statecast.testing import VirtualClock, change, message, oracle
from statecast.testing.values import START

values = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
patches = st.dictionaries(st.sampled_from("xyz"), values, max_size=3)
changes = st.builds(
    change,
    st.sampled_from(["pillow", "chair"]),
    patches,
    kind=st.sampled_from(["merge", "merge", "merge", "replace", "delete"]),
    time=st.none() | st.integers(START - 5, START + 5),
    sequence=st.integers(0, 2),
)


def state_by_definition(messages: Sequence[Message], device: str) -> Any:
    stamped = []
    for one in messages:
        (said,) = one.changes
        if said.device == device:
            sent_at, order = one.delivery.sent_at, one.delivery.order or 0
            time = sent_at if said.time is None else min(said.time, sent_at + 1)
            stamped.append((Stamp(time, said.sequence, order), said))
    return oracle.folded(stamped)


@pytest.mark.parametrize("scheme", ["memory:", "sqlite:///{}/store.db"])
def test_batches_and_order_do_not_matter(scheme: str) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(changes, st.integers(0, 9)), max_size=12), st.data())
    def check(said: list[tuple[Change, int]], data: st.DataObject) -> None:
        clean = [
            (
                Change(
                    one.device,
                    one.kind,
                    {} if one.kind == "delete" else tidy(one),
                    one.time,
                    one.sequence,
                ),
                at,
            )
            for one, at in said
        ]
        messages = [
            message(f"m{n}", one, sent_at=START + at, order=n + 1)
            for n, (one, at) in enumerate(sorted(clean, key=lambda pair: pair[1]))
        ]  # an embedded queue numbers its messages as they are sent
        arrived = data.draw(st.permutations(messages + messages[:3]))
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(open_store(scheme.format(folder), Limits(), VirtualClock(START + 20))) as store,
        ):
            versions = 0
            while arrived:
                size = data.draw(st.integers(1, len(arrived)))
                versions += store.commit("queue", 1, arrived[:size]).versions
                arrived = arrived[size:]
            for device in ("pillow", "chair"):
                update = store.get(device)
                state = (
                    None
                    if update is None or update.state is None
                    else strict_json.decode(update.state)
                )
                assert state == state_by_definition(messages, device)
                assert [row.version for row in store.history(device)] == list(
                    range(update.version if update else 0, 0, -1)
                )
            assert store.read(ReadCursor()).position.offset == versions

    check()


def tidy(one: Change) -> dict[str, Any]:
    """A whole state has no nulls: they would mean "removed"."""
    state = dict(one.state)
    return oracle.merged({}, state) if one.kind == "replace" else state
