"""From a queue's texts to the state: whatever the queue does, the state is that of the oracle.

The queue repeats and swaps messages, its writers repeat events under new ids, and the store is
closed and opened again between two batches. The oracle sorts what arrived first by stamp and folds
it by RFC 7396; it shares no code with the decoders or with apply.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statecast import strict_json, timestamps
from statecast.decoders import open_decoder
from statecast.decoders.decoder import Decoder
from statecast.model import Delivery
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.testing import VirtualClock, oracle
from statecast.testing.values import START

RESOLUTION = 1000
DEVICES = ("pillow", "floor2/chair")


@dataclass(frozen=True)
class Written:
    """One message as it was written; ``key`` is its id, if it has one."""

    form: str
    device: str
    patch: dict[str, Any]
    time: int | None
    sequence: int
    key: str | None
    wrapped: bool

    def body(self) -> bytes:
        time = None if self.time is None else timestamps.iso(self.time)
        said: dict[str, Any]
        if self.form == "plain":
            said = {
                "device": self.device,
                "state": self.patch,
                "sequence": self.sequence,
                "time": time,
                "id": self.key,
            }
        else:
            said = {
                "specversion": "1.0",
                "type": "t",
                "source": "/hub",
                "id": self.key,
                "subject": f"/{self.device}",
            }
            said |= {"data": self.patch, "sequence": f"{self.sequence:04x}", "time": time}
        text = json.dumps(said).encode()
        return base64.b64encode(text) if self.wrapped else text


values = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


def writers(form: str) -> st.SearchStrategy[Written]:
    return st.builds(
        Written,
        form=st.just(form),
        device=st.sampled_from(DEVICES),
        patch=st.dictionaries(st.sampled_from("xyz"), values, max_size=3),
        time=st.none() | st.integers(START - 5, START + 2 * RESOLUTION),
        sequence=st.integers(0, 3) | st.sampled_from([2**53 - 1]),
        key=st.just("named") if form == "cloud" else st.none() | st.just("named"),
        wrapped=st.booleans(),
    )


def expected(arrived: Sequence[tuple[Written, Delivery]], device: str, by_sequence: bool) -> Any:
    seen: set[str] = set()
    stamped = []
    for order, (said, delivery) in enumerate(arrived):
        names = {f"message {delivery.id}"} | ({f"event {said.key}"} if said.key else set())
        if not names & seen and said.device == device:
            time = (
                delivery.sent_at
                if said.time is None
                else min(said.time, delivery.sent_at + RESOLUTION)
            )
            stamp = (said.sequence, time, order) if by_sequence else (time, said.sequence, order)
            stamped.append((stamp, said.patch))
        seen |= names
    state: Any = None
    for _, patch in sorted(stamped, key=lambda pair: pair[0]):
        state = oracle.merged(state, patch)
    return state


def state_of(store: Store, device: str) -> Any:
    update = store.get(device)
    return None if update is None or update.state is None else strict_json.decode(update.state)


def check(
    said: list[Written], data: st.DataObject, decode: Decoder, scheme: str, by_sequence: bool
) -> None:
    named = [
        Written(**{**vars(one), "key": one.key and f"k{number}"}) for number, one in enumerate(said)
    ]
    copies = [
        (
            one,
            Delivery(
                f"m{number}.{copy}", one.body(), START + data.draw(st.integers(0, RESOLUTION))
            ),
        )
        for number, one in enumerate(named)
        for copy in range(data.draw(st.integers(1, 2)))  # the writer repeats it
    ]
    again = (
        data.draw(st.lists(st.sampled_from(copies), max_size=4)) if copies else []
    )  # the queue delivers it twice
    arrived = data.draw(st.permutations(copies + again))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        url = scheme.format(folder)

        def reopened() -> Store:
            opened.close()
            clock = VirtualClock(START + 10 * RESOLUTION)  # later than every message
            return opened.enter_context(closing(open_store(url, Limits(), clock)))

        store = reopened()
        left = arrived
        while left:
            size = data.draw(st.integers(1, len(left)))
            committed = store.commit(
                "queue", RESOLUTION, [decode(delivery) for _, delivery in left[:size]]
            )
            assert not committed.quarantined
            left = left[size:]
            if not url.startswith("memory:") and data.draw(st.booleans()):
                store = reopened()
        for device in DEVICES:
            assert state_of(store, device) == expected(arrived, device, by_sequence)


@pytest.mark.parametrize("order", ["time", "sequence"])
@pytest.mark.parametrize("forms", [("plain",), ("cloud",), ("plain", "cloud")])
@pytest.mark.parametrize("scheme", ["memory:", "sqlite:///{}/store.db"])
def test_whatever_the_queue_does_the_state_is_that_of_the_oracle(
    scheme: str, forms: tuple[str, ...], order: str
) -> None:
    decode = open_decoder({"order": order}, "azure-queue:pillow")

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of(*map(writers, forms)), max_size=8), st.data())
    def run(said: list[Written], data: st.DataObject) -> None:
        check(said, data, decode, scheme, order == "sequence")

    run()
