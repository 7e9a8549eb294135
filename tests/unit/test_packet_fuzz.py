"""A grammar fuzzer: packets that are nearly right, many of them, from one seed that replays all.

``TEST_STATECAST_PACKETS`` and ``TEST_STATECAST_SEED`` make it longer and other.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from typing import Any

import pytest

from statecast.realtime.protocol import websocket
from tests.fakes.fake_broadcaster import StrictBroadcaster
from tests.fakes.harness import Harness

PACKETS = int(os.environ.get("TEST_STATECAST_PACKETS", "100000"))
SEED = int(os.environ.get("TEST_STATECAST_SEED", "20260131"))
PER_SESSION = 40
"""Below the burst that a viewer may send."""
CLOSES = {websocket.NORMAL_CLOSURE, websocket.POLICY_VIOLATION}
ANSWER = re.compile(r"4(?:0|4|3)(?:/[^,]*,)?\d*(.*)", re.DOTALL)

# What a name in <> stands for, one of these; the first is taken when the nesting is deep.
GRAMMAR: dict[str, list[str]] = {
    "fair": [
        "6", "3", '42["<word>"]', '42<ack>["<word>",<value>]', '42["<word>",<value>,<value>]',
        '42/,<ack>["<word>"]',
        '40/x,{"<word>":<value>}', '42<ack>["watch",{"devices":["<word>"]}]',
        '42<ack>["watch",<value>]',
        '42<ack>["watch",{"devices":["<word>/*","*"],"since":{"epoch":"e","offset":<ack>}}]',
        "43<ack>[<value>]",
        '450-<ack>["<word>"]',
    ],
    "word": ["a", "pillow", "hug", "lamp-7", "b"],
    "ack": ["0", "1", "2", "10", "999999"],
    "value": ["null", "1", "true", "-2.5", '"é😀"', '{"<word>":<value>}', "[<value>,<value>]"],
    "packet": [
        "6", "3", *["4<message>"] * 5, "1", "2<text>", "5", "0<json>",
    ],
    "message": [
        "2<event>", "2<event>", "2<event>", "2<namespace><id><json>", "0<namespace><json>",
        "1<namespace>",
        "3<namespace><id><array>", "5<digits>-<namespace><id><event>",
        "6<digits>-<namespace><id><array>", "4<json>",
    ],
    "event": ['["hug"]', '["<text>"<more>]', '["watch",<wish>]', '["watch"<more>]',
    '["disconnect"]', "<id><event>"],
    "wish": [
        '{"devices":["*"]}', '{"devices":["<text>"],"since":<json>}', '{"devices":<json>}',
        "<json>",
        '{"devices":["a/*","b"],"since":{"epoch":"e","offset":<number>},"health":<json>}',
    ],
    "more": ["", ",<json>", ",<json><more>", ',{"_placeholder":true,"num":<digits>}'],
    "array": ["[]", "[<json>]", "[<json><more>]"],
    "json": [
        "null", "true", "<number>", '"<text>"', "<array>", '{"<text>":<json>}',
        '{"<text>":<json>,"<text>":<json>}',
        '{"_placeholder":true,"num":<digits>}',
    ],
    "number": ["0", "<digits>", "-<digits>", "<digits>.<digits>", "<digits>e<digits>", "1e999",
    "9007199254740992"],
    "digits": ["0", "1", "2", "10", "11", "<digits><digits>"],
    "namespace": ["", "/,", "/test,", "/x,", "/<text>,", "/test"],
    "id": ["", "0", "<digits>"],
    "text": [
        "", "a", "pillow", "hug", "floor2/*", "é", "😀", "\\u0000", "\\ud800", "__proto__",
        "<text><text>", "\x00",
        "\\",
    ],
}  # fmt: skip
SPICE = [
    "",
    '"',
    "[",
    "]",
    "{",
    "}",
    ",",
    "-",
    "/",
    "\\",
    "0",
    "4",
    "9",
    "\x1e",
    "\x00",
    "\n",
    " ",
    "é",
    "\ufeff",
    "NaN",
]
_NAME = re.compile(r"<(\w+)>")


class Grammar:
    """Makes packets."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def make(self, name: str, depth: int = 0) -> str:
        options = GRAMMAR[name]
        chosen = options[0] if depth > 8 else self.random.choice(options)
        return _NAME.sub(lambda found: self.make(found[1], depth + 1), chosen)

    def spoil(self, packet: str) -> str:
        """Change a place or two, as an accident or a fuzzer does."""
        for _ in range(self.random.choice([0, 1, 1, 2])):
            at = self.random.randint(0, len(packet))
            packet = (
                packet[:at]
                + self.random.choice(SPICE)
                + packet[at + self.random.choice([0, 0, 1, 3]) :]
            )
        return packet

    def packet(self) -> str | bytes:
        """Most are fair, so that what is not comes in the middle of a conversation."""
        dice = self.random.random()
        if dice < 0.75:
            return self.make("fair")
        if dice < 0.77:
            return self.random.randbytes(self.random.choice([0, 1, 30]))
        return self.spoil(self.make("packet" if dice < 0.9 else "fair"))


def check(heard: list[Any]) -> int | None:
    """What the server says is always well-formed; the code if it closed."""
    for said in heard:
        if isinstance(said, tuple):
            assert said[0] == websocket.CLOSE
            return websocket.close_code(said[1])
        found = ANSWER.fullmatch(said)
        assert found is not None, said
        if found[1]:
            json.loads(found[1])
    return None


def test_nearly_right_packets_break_nothing(caplog: pytest.LogCaptureFixture) -> None:
    # given a hub with a namespace, on a loop whose time the test moves
    broadcaster, grammar = StrictBroadcaster(), Grammar(SEED)
    harness = Harness(broadcaster=broadcaster, namespaces=("/test",))
    hub = harness.hub
    outcomes: Counter[int | None] = Counter()
    sent = 0

    # when sessions say such packets until they are closed or have said enough
    while sent < PACKETS:
        client = harness.client().join()
        for _ in range(PER_SESSION):
            packet = grammar.packet()
            sent += 1
            client.send(packet)
            code = check(client.received())
            if code is not None:
                assert code in CLOSES, packet
                break
        outcomes[code] += 1
        client.lose()

    # then nothing of it is left, in memory or as a traceback
    assert hub.viewers == len(hub.wheel) == 0
    assert broadcaster.watching == []
    assert all(not hub.open(name).sockets for name in ("/", "/test"))
    assert not [record for record in caplog.records if record.exc_info]

    # and the fuzzer got behind the first check: most packets were taken
    assert sent / outcomes.total() > 2
