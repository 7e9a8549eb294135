"""Malformed packets, and the answer to each, on a WebSocket and on long polling.

``CLOSES`` is close code 1008 there and status 400 here, ``TOO_BIG`` 1009 and 413; a list is what is
said in answer, and then, as after an empty one, the conversation goes on. Nothing of this may leave
a traceback.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import Any

import pytest

from statecast.realtime.polling import PollingEndpoint
from statecast.realtime.protocol import websocket
from tests.fakes.asgi_client import AsgiRequest
from tests.fakes.fake_broadcaster import StrictBroadcaster
from tests.fakes.fake_loop import settle
from tests.fakes.harness import Harness

CLOSES, TOO_BIG = "closes", "too big"
NO_HANDLER = '[{"error":"No handler is registered for this event."}]'
PLACE = [f'{{"_placeholder":true,"num":{number}}}' for number in range(12)]

Said = str | bytes
Reaction = str | list[str]
CORPUS: dict[str, tuple[list[Said], Reaction]] = {}


def entries(reaction: Reaction, *packets: Said | list[Said]) -> None:
    """Add what all get the same reaction; a list is one conversation."""
    for packet in packets:
        said = packet if isinstance(packet, list) else [packet]
        name = " then ".join(repr(piece)[:40] for piece in said[:3])
        while name in CORPUS:
            name += "'"
        CORPUS[name] = (said, reaction)


def each(pattern: str, *values: str) -> list[str]:
    """The pattern with each value in the place of ``~``."""
    return [pattern.replace("~", value) for value in values]


# Engine.IO: what is no packet, and packets that only the server sends, or none at this time
entries(
    CLOSES,
    "",
    "0",
    '0{"sid":"a"}',
    "2",
    "2probe",
    "2hello",
    "5",
    "5x",
    "7",
    "8",
    "9",
    "1x",
    "10",
    "3x",
    "3probe",
)
entries(
    CLOSES,
    "6x",
    "66",
    "a",
    "b",
    "bAQID",
    "{}",
    "[]",
    "null",
    "ping",
    "pong",
    "close",
    "message",
    "upgrade",
)
entries(
    CLOSES,
    " 40",
    "\n40",
    "\t",
    "\0",
    "\0" * 100,
    "-1",
    "+4",
    "٤0",
    "\uff140",
    "²",
    "\ufeff40",
    "\u200b40",
    "\u202e40",
)
entries(
    CLOSES,
    "GET / HTTP/1.1\r\n\r\n",
    "<script>alert(1)</script>",
    "\x1b[31m",
    "é",
    "😀",
    "' OR 1=1 --",
    "../../etc/passwd",
)
entries(CLOSES, "6:4hello", "2:40", "1:2", "96:0{}")  # (the payloads of Engine.IO v3)
entries([], "6", ["6", "6", "6"], "3")  # a noop, and a pong that nobody asked for

# Socket.IO: types
entries(
    CLOSES,
    "4",
    "47",
    "48",
    "49",
    "4a",
    "4abc",
    "4 ",
    "4-1",
    "4\0",
    "4٢",
    "4é",
    "4{}",
    "4[]",
    '4["hug"]',
    "4null",
)
entries(CLOSES, "44", '44{"message":"no"}', "44/x,{}", '44"no"', "4-", "4.", "4,")

# Joining
entries(CLOSES, "40", "40{}", '40{"token":"a"}', "40/,")  # joined already
entries(
    CLOSES,
    "40[]",
    "40null",
    "401",
    '40"x"',
    "40true",
    "40{",
    "40}",
    "40{}{}",
    "40{},",
    "405{}",
    "40/x,[]",
    "40/x,5{}",
)
entries(
    CLOSES,
    "40/x,null",
    "40/x,1",
    "40/x,{",
    "40/x{}x,[",
    '40{"a":NaN}',
    '40{"a":1,"a":2}',
    '40/x,{"a":1e999}',
)
entries(['44/x,{"message":"Invalid namespace"}'], "40/x", "40/x,", "40/x,{}", '40/x,{"token":"a"}')
entries(['44//,{"message":"Invalid namespace"}'], "40//", "40//,{}")
entries(['44/../..,{"message":"Invalid namespace"}'], "40/../..,")
entries(['44/é,{"message":"Invalid namespace"}'], "40/é,")
entries(['44/__proto__,{"message":"Invalid namespace"}'], "40/__proto__,")
entries(
    [f'44/{"n" * 127},{{"message":"Invalid namespace"}}'], f"40/{'n' * 127}", f"40/{'n' * 127},{{}}"
)
entries(
    CLOSES, f"40/{'n' * 128}", f"40/{'n' * 128},{{}}", f"40/{'n' * 60_000}", f"40/{'n' * 60_000},"
)

# Leaving
entries(
    CLOSES,
    "41{}",
    "41[]",
    "411",
    "41null",
    "41 ",
    "41/x",
    "41/x,",
    "41/test,",
    "41/test,{}",
    "41/test,1",
    "41//",
)
entries(CLOSES, ["41", "41"], ["41", '42["hug"]'], ["41", '421["hug"]'], ["41", "431[]"])

# Events
entries(
    CLOSES,
    "42",
    "42{}",
    "42[]",
    "42null",
    "42true",
    "42false",
    "420",
    "4200",
    '42"hug"',
    "42[null]",
    "42[1]",
    "42[[]]",
)
entries(
    CLOSES,
    "42[{}]",
    "42[true]",
    "421[]",
    "421{}",
    "421",
    "42abc",
    '42abc["hug"]',
    '42-1["hug"]',
    '421.5["hug"]',
)
entries(
    CLOSES,
    '42+1["hug"]',
    '421e1["hug"]',
    '42 1["hug"]',
    '42x["hug"]',
    '42,["hug"]',
    '421,["hug"]',
    '42٣["hug"]',
)
entries(CLOSES, '421000000000000000["hug"]', "42" + "9" * 60_000 + '["hug"]')
entries(
    CLOSES,
    '42test,["hug"]',
    '42/x,["hug"]',
    '42/test,["hug"]',
    '42/test,1["hug"]',
    '42/["hug"]',
    "42/",
    "42/x",
    "42/x,",
)
entries(
    CLOSES,
    *(
        f'42["{name}"]'
        for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener"]
    ),
)
entries(
    CLOSES,
    '42["removeListener"]',
    '421["connect",{}]',
    '42/test,["connect"]',
    '42["dis\\u0063onnect"]',
)
entries(
    [f"431{NO_HANDLER}"],
    '421["hug"]',
    '421["__proto__"]',
    '421["constructor"]',
    '421["toString",1]',
    '421[""]',
)
entries(
    [f"431{NO_HANDLER}"],
    '421["Connect"]',
    '421["disconnect "]',
    '421["connection"]',
    '421["error"]',
    '421["states",{}]',
)
entries(
    [f"431{NO_HANDLER}"],
    '421["' + "a" * 60_000 + '"]',
    '421["\\u0000"]',
    '421["\\u202e"]',
    '421["a\\nb"]',
    '421["😀"]',
)
entries(
    [f"431{NO_HANDLER}"],
    '421 ["hug"]',
    '421[ "hug" ]',
    '421\t["hug"]\n',
    '421["hug",{"_placeholder":true,"num":0}]',
)
entries([f"43999999999999999{NO_HANDLER}"], '42999999999999999["hug"]')
entries([f"430{NO_HANDLER}"], '420["hug"]', '42000["hug"]', '42/,0["hug"]')
entries([], '42["hug"]', '42["hug",1,2,3]', '42/,["hug"]')

# JSON
NO_VALUES = [
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9007199254740992", "-9007199254740993",
    "1" * 400, "01", "-",
    "+1", ".5", "1.", "0x10", "1e", "1_000", "tru", "True", "nul", "None", "undefined", "'a'", '"a',
    'a"', '"\\x41"',
    '"\\u12"', '"\\u{1F600}"', '"\\"', '"\t"', '"\n"', '"\0"', '"\x1f"', '"\\ud800"', '"\\udc00"',
    '"\\udc00\\ud800"', '"\\ud800x"', '{"a":1,"a":1}', '{"a":{"b":1,"b":2}}', '{"a\\u0000":1}',
    "{a:1}", "{'a':1}",
    '{"a"}', '{"a":}', '{"a":1,}', "{,}", "{1:2}", '{"a" 1}', '{"a"=1}', "[1,]", "[,1]", "[1 2]",
    "[", "]", "{", "}",
    "[1}", '{"a":1]', "/* */1", "1//", "#", "`a`", "<a/>", "\ufeff1", "\uff11", "“a”",
    "[" * 33 + "]" * 33,
    "[" * 20_000, '{"a":' * 10_000, "[" * 30_000 + "]" * 30_000,
]  # fmt: skip
entries(CLOSES, *each('421["hug",~]', *NO_VALUES))
entries(
    CLOSES,
    '421["hug"',
    '421"hug"]',
    '421["hug"]]',
    '421[["hug"]',
    '421["hug"]x',
    '421["hug"]["hug"]',
    '421["hug"]{}',
)
entries(
    CLOSES,
    '421["hug",]',
    '421[,"hug"]',
    '421["hug",,1]',
    '421["hug"\0]',
    '421["hug"]\0',
    '421(["hug"])',
    '421["hug";1]',
)

# Acknowledgements, which were not requested
entries([], "431[]", '431["ok"]', "430[]", "43/,1[]", "43999999999999999[1,2]")
entries(
    CLOSES,
    "43",
    "43[]",
    "43{}",
    "431",
    "431{}",
    "431null",
    '43["a"]',
    "43-1[]",
    "431[",
    "43/x,1[]",
    "43/test,1[]",
)
entries(CLOSES, "431000000000000000[]", "43x[]", "431[NaN]")

# Attachments
entries(
    CLOSES, b"", b"x", b"\x04hug", b"4", b"\x00" * 1_000, [b"x", b"x"]
)  # that nothing announced
entries(
    CLOSES,
    "45",
    '45["hug"]',
    '45-["hug"]',
    '45x-["hug"]',
    '45-1-["hug"]',
    '451["hug"]',
    '4511-["hug"]',
    "451-",
    "451-{}",
)
entries(
    CLOSES,
    '45٣-["hug"]',
    '451-["hug"]',
    '450-["hug",' + PLACE[0] + "]",
    '451-["hug",' + PLACE[1] + "]",
)
entries(
    CLOSES,
    '452-["hug",' + PLACE[0] + "]",
    f'452-["hug",{PLACE[0]},{PLACE[0]}]',
    f'451-["hug",{PLACE[0]},{PLACE[0]}]',
)
entries(
    CLOSES, *each('451-["hug",{"_placeholder":true~}]', "", ',"num":"0"', ',"num":-1', ',"num":0.5')
)
entries(
    CLOSES, *each('451-["hug",{"_placeholder":true,"num":~}]', "null", "false", "[0]", "1e0", "{}")
)
entries(
    CLOSES, '451-["hug",{"_placeholder":1,"num":0}]', '451-["hug",{"_placeholder":"true","num":0}]'
)
entries(
    CLOSES,
    f"451-[{PLACE[0]}]",
    f'451-["disconnect",{PLACE[0]}]',
    f'451-/x,["hug",{PLACE[0]}]',
    f"4511-{PLACE}",
)
entries(
    CLOSES,
    *each('4511-["hug",~]', ",".join(PLACE[:11])),
    '459999999999-["hug"]',
    '4500000001-["hug",' + PLACE[0] + "]",
)
entries(
    CLOSES,
    [f'451-["hug",{PLACE[0]}]', '42["hug"]'],
    [f'451-["hug",{PLACE[0]}]', "41"],
    [f'451-["hug",{PLACE[0]}]', b"", b""],
)
entries(
    CLOSES,
    [f'451-["hug",{PLACE[0]}]', f'451-["hug",{PLACE[0]}]'],
    [f'451-["hug",{PLACE[0]}]', "40/x"],
)
entries(CLOSES, "46", "461-[]", f"461-[{PLACE[0]}]", f"461-1{PLACE[0]}", f"460-[{PLACE[0]}]")
entries(
    [f"431{NO_HANDLER}"],
    '450-1["hug"]',
    [f'451-1["hug",{PLACE[0]}]', b""],
    [f'451-1["hug",{PLACE[0]}]', b"x" * 40_000],
)
entries([f"431{NO_HANDLER}"], [*each('4510-1["hug",~]', ",".join(PLACE[:10])), *[b"x"] * 10])
entries([f"431{NO_HANDLER}"], [f'452-1["hug",{PLACE[1]},{{"a":[{PLACE[0]}]}}]', b"x", b"y"])
entries([], [f"461-1[{PLACE[0]}]", b"x"], "460-1[]")

# Watching
WISHES = ["", ",null", ",1", ',"pillow"', ",[]", ",{},{}", ",{}"]
WISHES += each(
    ',{"devices":~}',
    "null",
    "[]",
    '"pillow"',
    "[1]",
    "[null]",
    "[[]]",
    '[""]',
    '["/"]',
    '["a//b"]',
    '["a/"]',
)
WISHES += each(
    ',{"devices":~}',
    '["*/a"]',
    '["a*"]',
    '["**"]',
    '[".."]',
    '["a/../b"]',
    '["é"]',
    '["a b"]',
    '["a\\u0000"]',
)
WISHES += each(
    ',{"devices":~}', json.dumps(["a" * 129]), json.dumps([f"d{n}" for n in range(1_001)])
)
WISHES += each(',{"devices":["a"],"~":1}', "sinc", "__proto__", "Devices", "protocol2", "")
WISHES += each(
    ',{"devices":["a"],"since":~}', "1", "[]", "{}", '"e:1"', '{"epoch":"e"}', '{"offset":1}'
)
WISHES += each(
    ',{"devices":["a"],"since":{"epoch":~}}', '1,"offset":1', '"e","offset":-1', '"e","offset":1.5'
)
WISHES += each(',{"devices":["a"],"since":{"epoch":"e","offset":~}}', "true", '"1"', "null", "1e3")
WISHES += each(',{"devices":["a"],"protocol":~}', "3", "0", "[2]", "null", '"1"')
WISHES += each(',{"devices":["a"],"health":~}', "1", "null", '"yes"')
WISHES += each(',{"devices":["a"],"reset":~}', "1", "null")
REFUSED_WISHES = [f'421["watch"{wish}]' for wish in WISHES]

# Sizes
entries([f"431{NO_HANDLER}"], '421["hug","' + "a" * (65_536 - 13) + '"]')
entries(
    TOO_BIG,
    '421["hug","' + "a" * (65_537 - 13) + '"]',
    "4" * 65_537,
    "\0" * 65_537,
    "40" + " " * 65_535,
)


def made() -> Harness:
    return Harness(
        loop=asyncio.get_running_loop(), broadcaster=StrictBroadcaster(), namespaces=("/test",)
    )


async def on_websocket(said: list[Said], harness: Harness) -> Reaction:
    client = harness.client().join()
    for message in said:
        client.send(message)
    heard = client.received()
    closed = [piece[1] for piece in heard if isinstance(piece, tuple)]
    if closed:
        assert harness.hub.viewers == 1  # (until the connection is lost)
        client.lose()
        return {websocket.POLICY_VIOLATION: CLOSES, websocket.MESSAGE_TOO_BIG: TOO_BIG}[
            websocket.close_code(closed[0])
        ]
    client.send('427["still there"]')
    assert client.received()[-1:] == [f"437{NO_HANDLER}"] or "41" in said
    client.lose()
    return heard


async def on_polling(said: list[Said], harness: Harness) -> Reaction:
    app = PollingEndpoint(harness.hub, harness.settings, harness.sessions)

    async def ask(method: str, more: str = "", body: bytes = b"") -> Any:
        return await AsgiRequest(
            app, method, "/socket.io/", f"EIO=4&transport=polling{more}", (body,)
        ).task

    sid = "&sid=" + json.loads((await ask("GET")).text[1:])["sid"]
    await ask("POST", sid, b"40")
    await ask("GET", sid)
    for message in said:
        body = b"b" + base64.b64encode(message) if isinstance(message, bytes) else message.encode()
        status = (await ask("POST", sid, body)).status
        if status != 200:
            assert (await ask("GET", sid)).status == 400
            assert harness.hub.viewers == 0
            return {400: CLOSES, 413: TOO_BIG}[status]
    assert (await ask("POST", sid, b'427["still there"]')).status == 200
    heard: list[str] = (await ask("GET", sid)).text.split("\x1e")
    assert heard.pop() == f"437{NO_HANDLER}"
    await ask("POST", sid, b"1")
    return heard


@pytest.mark.asyncio(fast_forward=True)
@pytest.mark.parametrize("transport", [on_websocket, on_polling])
@pytest.mark.parametrize("name", CORPUS)
async def test_every_packet_has_its_reaction(
    name: str, transport: Any, caplog: pytest.LogCaptureFixture
) -> None:
    said, reaction = CORPUS[name]
    caplog.set_level(logging.WARNING)
    harness = made()
    assert await transport(said, harness) == reaction
    await settle()
    assert harness.hub.viewers == 0
    assert harness.hub.throttled_log.counted == (0 if isinstance(reaction, list) else 1)
    assert not [
        record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR
    ]


@pytest.mark.asyncio(fast_forward=True)
@pytest.mark.parametrize("transport", [on_websocket, on_polling])
@pytest.mark.parametrize("packet", REFUSED_WISHES, ids=lambda packet: packet[:60])
async def test_a_wish_that_is_none_gets_a_sentence(packet: str, transport: Any) -> None:
    (answer,) = await transport([packet], made())
    assert answer.startswith('431[{"error":"')


def test_the_corpus_is_large() -> None:
    packets = [tuple(said) for said, _ in CORPUS.values()] + [
        (packet,) for packet in REFUSED_WISHES
    ]
    assert len(set(packets)) >= 400
