"""Socket.IO packets both ways, as tables."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statecast.errors import Refused
from statecast.realtime.protocol import socketio
from statecast.realtime.protocol.socketio import (
    ACK,
    BINARY_ACK,
    BINARY_EVENT,
    CONNECT,
    DISCONNECT,
    EVENT,
    PartialPacket,
    SocketIOPacket,
)

PLACE_0 = '{"_placeholder":true,"num":0}'
PLACE_1 = '{"_placeholder":true,"num":1}'

GOOD = [
    ("0", SocketIOPacket(CONNECT)),
    ("0{}", SocketIOPacket(CONNECT, data={})),
    ('0{"token":"abc"}', SocketIOPacket(CONNECT, data={"token": "abc"})),
    ("0/admin", SocketIOPacket(CONNECT, "/admin")),
    ("0/admin,", SocketIOPacket(CONNECT, "/admin")),
    ('0/admin,{"token":"abc"}', SocketIOPacket(CONNECT, "/admin", data={"token": "abc"})),
    ("1", SocketIOPacket(DISCONNECT)),
    ("1/admin,", SocketIOPacket(DISCONNECT, "/admin")),
    ('2["hug"]', SocketIOPacket(EVENT, data=["hug"])),
    ('2["hug",1,null,{"a":[true]}]', SocketIOPacket(EVENT, data=["hug", 1, None, {"a": [True]}])),
    ('2/admin,["hug"]', SocketIOPacket(EVENT, "/admin", data=["hug"])),
    ('20["hug"]', SocketIOPacket(EVENT, id=0, data=["hug"])),
    ('2456["hug"]', SocketIOPacket(EVENT, id=456, data=["hug"])),
    ('2/admin,456["hug"]', SocketIOPacket(EVENT, "/admin", 456, ["hug"])),
    ('2999999999999999["hug"]', SocketIOPacket(EVENT, id=999_999_999_999_999, data=["hug"])),
    ('2["",1]', SocketIOPacket(EVENT, data=["", 1])),
    ('2["☁\\u2601"]', SocketIOPacket(EVENT, data=["☁☁"])),
    ("312[]", SocketIOPacket(ACK, id=12, data=[])),
    ('3/admin,12["ok"]', SocketIOPacket(ACK, "/admin", 12, ["ok"])),
    ('50-["hug"]', SocketIOPacket(BINARY_EVENT, data=["hug"])),
    (
        "2" + '["hug",' + PLACE_0 + "]",
        SocketIOPacket(EVENT, data=["hug", {"_placeholder": True, "num": 0}]),
    ),
]

BAD = [
    "", "4", '4{"message":"no"}', "7", "9", "a", "abc", "-1", " 0", "\0", "\u0660", "0[]", "01",
    '0"x"', "0null",
    "0{", "0{}{}", "0/admin,[]", "0/admin,5{}", "1{}", "11", "1[]", "1/admin,{}", "2", "2{}", "2[]",
    "2null",
    "2[null]", "2[1]", "2[[]]", '2["a"', '2["a"]x', "2abc", '2abc["a"]', '2"a"', "2[NaN]",
    '2["a",NaN]',
    '2["a",1e999]', '2["a",Infinity]', '21.5["a"]', '2-1["a"]', '21000000000000000["a"]',
    '2["a"]["b"]', '2["a",]',
    '2["connect"]', '2["connect_error"]', '2["disconnect"]', '2["disconnecting"]',
    '2["newListener"]',
    '2["removeListener"]', '51-["connect",' + PLACE_0 + "]", '2/admin,["disconnect"]',
    '2admin,["a"]', "3", "3[]",
    "3[1]", "31", "31{}", "3/admin,[]", "5", '5["a"]', '5-["a"]', '5x-["a"]', '5-1-["a"]',
    '51["a"]', '511-["a"]',
    '5999999999-["a"]', "51-{}", '5\u0663-["a"]', '51-["a"]', '50-["a",' + PLACE_0 + "]",
    '51-["a",' + PLACE_1 + "]", '52-["a",' + PLACE_0 + "]",
    '52-["a",' + PLACE_0 + "," + PLACE_0 + "]",
    '51-["a",{"_placeholder":true}]', '51-["a",{"_placeholder":true,"num":"0"}]',
    '51-["a",{"_placeholder":true,"num":-1}]', '51-["a",{"_placeholder":true,"num":0.5}]',
    '51-["a",{"_placeholder":true,"num":false}]', "61-[" + PLACE_0 + "]", "61-1{}",
    "0/" + "n" * 200,
    "0/" + "n" * 200 + ",{}", "2" + "[" * 60_000,
]  # fmt: skip


@pytest.mark.parametrize(("text", "packet"), GOOD)
def test_packets_are_read(text: str, packet: SocketIOPacket) -> None:
    assert socketio.parse(text) == packet


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:30])
def test_what_is_not_exactly_a_packet_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        socketio.parse(text)


def test_attachments_are_put_in_their_places() -> None:
    # given a packet that announces two attachments, in another order
    partial = socketio.parse('52-/admin,7["hug",{"a":[' + PLACE_1 + "]}," + PLACE_0 + "]")
    assert isinstance(partial, PartialPacket)

    # when they have come
    assert partial.add(b"first") is None
    packet = partial.add(b"second")

    # then the packet is whole
    assert packet == SocketIOPacket(
        BINARY_EVENT, "/admin", 7, ["hug", {"a": [b"second"]}, b"first"]
    )


@pytest.mark.parametrize(("count", "good"), [(9, True), (10, True), (11, False)])
def test_the_number_of_attachments_is_bounded(count: int, good: bool) -> None:
    places = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(count))
    text = f'5{count}-["hug",{places}]'
    if good:
        assert isinstance(socketio.parse(text), PartialPacket)
    else:
        with pytest.raises(Refused, match="10 attachments"):
            socketio.parse(text)


@pytest.mark.parametrize(("length", "good"), [(127, True), (128, True), (129, False)])
def test_the_name_of_a_namespace_is_bounded(length: int, good: bool) -> None:
    name = "/" + "n" * (length - 1)
    for text in ("0" + name, "0" + name + ",{}"):
        if good:
            parsed = socketio.parse(text)
            assert isinstance(parsed, SocketIOPacket)
            assert parsed.namespace == name
        else:
            with pytest.raises(Refused):
                socketio.parse(text)


def test_what_the_server_sends() -> None:
    assert socketio.connected("/", "abc") == b'40{"sid":"abc"}'
    assert socketio.connected("/test", "abc") == b'40/test,{"sid":"abc"}'
    assert socketio.refused("/x", "Invalid namespace") == b'44/x,{"message":"Invalid namespace"}'
    assert socketio.disconnected("/test") == b"41/test,"
    assert socketio.event("states", b'{"a":1}') == b'42["states",{"a":1}]'
    assert socketio.event_of("message", b'[{"a":1},2]', "/test") == b'42/test,["message",{"a":1},2]'
    assert socketio.event_of("message", b"[]") == b'42["message"]'
    assert socketio.encode(ACK, "/", 5, [1, "2", {"3": [False]}]) == (
        b'435[1,"2",{"3":[false]}]',
        [],
    )


def test_bytes_become_attachments() -> None:
    text, attachments = socketio.encode(EVENT, "/", None, ["hug", b"a", {"b": [b"c"]}])
    assert text == f'452-["hug",{PLACE_0},{{"b":[{PLACE_1}]}}]'.encode()
    assert attachments == [b"a", b"c"]
    assert socketio.encode(ACK, "/x", 9, [b"a"])[0] == f"461-/x,9[{PLACE_0}]".encode()


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcdef", min_size=1, max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.lists(values, max_size=4),
    st.none() | st.integers(0, 10**15 - 1),
    st.sampled_from(["/", "/test"]),
)
def test_what_is_written_is_read_again(
    arguments: list[object], number: int | None, namespace: str
) -> None:
    text, attachments = socketio.encode(EVENT, namespace, number, ["hug", *arguments])
    if len(attachments) > socketio.MAX_ATTACHMENTS:
        return
    packet: SocketIOPacket | PartialPacket | None = socketio.parse(text[1:].decode())
    if isinstance(packet, PartialPacket):
        packet = [packet.add(attachment) for attachment in attachments][-1]
    kind = BINARY_EVENT if attachments else EVENT
    assert packet == SocketIOPacket(kind, namespace, number, ["hug", *arguments])


@settings(deadline=None)
@given(st.text('0123456-/,[]{}"a\\ \n', max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        socketio.parse(text)
    except Refused:
        return


def test_acknowledgements_with_attachments_are_read() -> None:
    partial = socketio.parse("61-3[" + PLACE_0 + "]")
    assert isinstance(partial, PartialPacket)
    assert partial.add(b"x") == SocketIOPacket(BINARY_ACK, "/", 3, [b"x"])


def test_sids_differ_and_are_known_as_such() -> None:
    sids = {socketio.new_sid() for _ in range(1_000)}
    assert len(sids) == 1_000
    assert all(socketio.is_sid(sid) and len(sid) == 20 for sid in sids)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hall",
        "living-room-upstairs",
        "internationalization",
        "A" * 20 + "B",
        "ünïcödé-room-of-20-c",
        "=" * 20,
        " " * 20,
        "A" * 24,
    ],
)
def test_names_of_rooms_are_no_sids(text: str) -> None:
    assert not socketio.is_sid(text)


def test_a_sid_with_another_character_is_none() -> None:
    sid = socketio.new_sid()
    for at in range(len(sid)):
        other = "A" if sid[at] != "A" else "B"
        assert not socketio.is_sid(sid[:at] + other + sid[at + 1 :])
