"""Strict JSON: what is refused, with which sentence; what is accepted means the same everywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from statecast import strict_json
from statecast.errors import Malformed
from statecast.strict_json.text import DOUBTFUL, _decode_plain, decode_carefully, encode_small
from tests.conftest import Node

pytestmark = pytest.mark.bare


def nested(depth: int, left: str = "[", right: str = "]") -> str:
    return left * depth + right * depth


def members(count: int) -> str:
    return "{" + ",".join(f'"f{n}":{n}' for n in range(count)) + "}"


REFUSED: list[tuple[str, bytes | str, str]] = [
    ("empty", b"", "It is empty."),
    ("blank", b" \n\t", "It is empty."),
    ("NaN", b'{"a":NaN}', "NaN is not a number"),
    ("Infinity", b"[Infinity]", "Infinity is not a number"),
    ("-Infinity", b"-Infinity", "-Infinity is not a number"),
    ("overflow", b"1e999", "beyond ±1.8e308"),
    ("negative overflow", b'{"a":[-1e999]}', "beyond ±1.8e308"),
    ("2^53", b"9007199254740992", "beyond"),
    ("-2^53", b'{"a":-9007199254740992}', "beyond"),
    ("5 000 digits", b"9" * 5_000, "beyond"),
    ("a name twice", b'{"a":1,"b":2,"a":3}', "“a” twice"),
    ("a name twice below", b'[{"o":{"x":1,"x":1}}]', "“x” twice"),
    ("a name twice, escaped", b'{"a":1,"\\u0061":2}', "“a” twice"),
    ("lone surrogate", b'"\\ud800"', "half a character"),
    ("lone low surrogate", b'{"a":"\\udc00x"}', "half a character"),
    ("lone surrogate as a name", b'{"\\ud800":1}', "half a character"),
    ("lone surrogate as text", '"\ud800"', "half a character"),
    ("surrogate in UTF-8", b'"\xed\xa0\x80"', "UTF-8 (byte 2"),
    ("invalid UTF-8", b'{"a":"\xff"}', "UTF-8 (byte 7"),
    ("overlong UTF-8", b'"\xc0\xaf"', "UTF-8"),
    ("UTF-16", '{"a":1}'.encode("utf-16"), "UTF-8"),
    ("byte order mark", b'\xef\xbb\xbf{"a":1}', "byte order mark"),
    ("NUL in a name", b'{"a\\u0000b":1}', "NUL"),
    ("a raw NUL", b'{"a":"\x00"}', "not JSON"),
    ("33 levels", nested(33), "32 levels"),
    ("33 levels of objects", '{"a":' * 32 + "{}" + "}" * 32, "32 levels"),
    ("60 000 [", "[" * 60_000, "32 levels"),
    ("60 000 [ and ]", nested(60_000), "32 levels"),
    ("60 000 objects", '{"a":' * 60_000, "32 levels"),
    ("60 000 levels, then an error", nested(60_000) + "x", "32 levels"),
    ("60 000 levels, then a name twice", f'[{nested(60_000)},{{"a":1,"a":2}}]', "32 levels"),
    ("a huge integer, then 60 000 levels", f"[1{'0' * 20},{nested(60_000)}]", "32 levels"),
    ("33 levels that do not end", "[" * 33, "32 levels"),
    ("32 levels that do not end", "[" * 32, "not JSON"),
    ("brackets in a text that does not end", '"' + "[" * 60_000, "not JSON"),
    ("an error before 60 000 levels", "[x" + "[" * 60_000, "not JSON"),
    ("257 members", members(257), "257 members"),
    ("name of 257", '{"%s":1}' % ("n" * 257), "longer than 256"),
    ("single quotes", b"{'a':1}", "line 1, column 2"),
    ("trailing comma", b"[1,]", "not JSON"),
    ("trailing comma in an object", b'{"a":1,}', "not JSON"),
    ("two values", b"{} {}", "not JSON"),
    ("comment", b"{} // no", "not JSON"),
    ("control character", b'"a\nb"', "not JSON"),
    ("leading zero", b"01", "not JSON"),
    ("plus", b"+1", "not JSON"),
    ("hexadecimal", b"0x1", "not JSON"),
    ("bare dot", b".5", "not JSON"),
    ("word", b"undefined", "not JSON"),
    ("half", b'{"a":', "not JSON"),
    ("base64 of garbage", b"3q2+7w==", "not JSON"),
]

ACCEPTED: list[tuple[str, bytes | str, Any]] = [
    ("null", b"null", None),
    ("spaces around", b' \r\n{"a" : 1}\t', {"a": 1}),
    ("most", b"[9007199254740991,-9007199254740991]", [2**53 - 1, 1 - 2**53]),
    ("floats", b"[1.5,-0.0,1e308,5e-324,0]", [1.5, -0.0, 1e308, 5e-324, 0]),
    ("32 levels", nested(32), json.loads(nested(32))),
    ("256 members", members(256), json.loads(members(256))),
    ("name of 256", '{"%s":1}' % ("n" * 256), {"n" * 256: 1}),
    ("a pair of surrogates", b'"\\ud83d\\ude00"', "😀"),
    ("NUL in a value", b'"\\u0000"', "\0"),
    ("BOM in a value", '"\ufeff"', "\ufeff"),
    (
        "odd names",
        b'{"__proto__":1,"constructor":2,"":3}',
        {"__proto__": 1, "constructor": 2, "": 3},
    ),
    ("line separators", '"\u2028\u2029</script>"', "\u2028\u2029</script>"),
]


@pytest.mark.parametrize(
    ("text", "sentence"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused_with_a_sentence(text: bytes | str, sentence: str) -> None:
    with pytest.raises(Malformed) as refusal:
        strict_json.decode(text)
    assert sentence in str(refusal.value)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("text", "value"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED]
)
def test_accepted_and_written_back(text: bytes | str, value: Any) -> None:
    assert strict_json.decode(text) == value
    assert strict_json.decode(strict_json.encode(value)) == value
    assert strict_json.check(value) == value


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**53, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(json_values)
def test_what_is_accepted_comes_back(value: Any) -> None:
    assert strict_json.decode(strict_json.encode(strict_json.check(value))) == value


# Checked values are written by a faster library. What it may write otherwise is a number
# with an exponent.

WRITTEN_FAST: list[tuple[str, Any, bytes]] = [
    (
        "numbers",
        [0, -1, 2**53 - 1, 1 - 2**53, 1.5, -0.0],
        b"[0,-1,9007199254740991,-9007199254740991,1.5,-0.0]",
    ),
    ("whole floats", [1.0, 100.0, 1e15], b"[1.0,100.0,1000000000000000.0]"),
    ("short exponents", [1.5e-7, 5e-324], b"[1.5e-7,5e-324]"),
    ("no exponent", [1.5e-05, 1e-05, 9.9e-06], b"[0.000015,0.00001,9.9e-6]"),
    ("words", [None, True, False], b"[null,true,false]"),
    ("escapes", '"\\/\b\f\n\r\t\x00\x1f\x7f', b'"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f"'),
    ("beyond ASCII", {"größe": "😀\u2028\ufeff"}, '{"größe":"😀\u2028\ufeff"}'.encode()),
    ("order of names", {"b": 1, "a": {"__proto__": {}}}, b'{"b":1,"a":{"__proto__":{}}}'),
    ("nothing", [{}, [], ""], b'[{},[],""]'),
]


@pytest.mark.parametrize(
    ("value", "text"), [case[1:] for case in WRITTEN_FAST], ids=[case[0] for case in WRITTEN_FAST]
)
def test_checked_values_are_written_fast(value: Any, text: bytes) -> None:
    assert strict_json.encode_checked(strict_json.check(value)) == text
    assert same(strict_json.decode(text), value)


@given(json_values)
def test_a_small_value_is_written_as_after_a_check(value: Any) -> None:
    fast, careful = encode_small(value), strict_json.encode_checked(strict_json.check(value))
    assert fast in (None, careful)
    if len(careful) < 100 and b"null" not in careful and b"u0000" not in careful:
        assert fast == careful


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [float("inf")],
        2**53,
        {"a": -(2**53)},
        "\ud800",
        {"a\0": 1},
        {1: 2},
        {"x" * 257: 1},
        json.loads("[" * 34 + "]" * 34),
        {str(number): 0 for number in range(257)},
        object,
        b"bytes",
        datetime(2026, 1, 31),
        {1, 2},
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_value_that_is_refused_is_not_written_before_it_is_checked(value: Any) -> None:
    assert encode_small(value) is None
    with pytest.raises(Malformed):
        strict_json.check_and_encode(value)


@pytest.mark.parametrize(
    "value",
    [{}, {"mood": 1_769_860_800_000, "größe": -(2**63)}, [], ["open", "nach \u2028"], 2**63 - 1],
)
def test_what_was_written_of_texts_and_long_numbers_is_read_fast(value: Any) -> None:
    assert strict_json.decode_checked(strict_json.encode_checked(value)) == value


@given(json_values)
def test_what_was_checked_is_read_fast_as_with_care(value: Any) -> None:
    checked = strict_json.check(value)
    for text in (strict_json.encode_checked(checked), strict_json.encode(checked)):
        assert same(strict_json.decode_checked(text), strict_json.decode(text))
        assert same(strict_json.decode_checked(text.decode()), strict_json.decode(text))


@pytest.mark.parametrize("text", [b"", b"{", b'{"mood":}', b"\xff", b"NaN", b'{"a":1} x'])
def test_what_was_not_written_so_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        strict_json.decode_checked(text)


@given(json_values)
def test_fast_and_careful_writers_mean_the_same(value: Any) -> None:
    checked = strict_json.check(value)
    fast, careful = strict_json.encode_checked(checked), strict_json.encode(checked)
    assert same(strict_json.decode(fast), strict_json.decode(careful))
    assert numbers_in_one_form(careful) == numbers_in_one_form(fast)


def numbers_in_one_form(text: bytes) -> bytes:
    """JSON with each number that is no integer as Python writes it; in texts too, which does not
    matter here."""
    return re.sub(
        rb"\d+(\.\d+)?(e[+-]?\d+)?",
        lambda found: repr(float(found[0])).encode() if found[1] or found[2] else found[0],
        text,
    )


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same: type, sign of zero and order of names as well."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


NUMBERS = """
    0 -0 -0.0 1 2.50 1e5 1E-7 1e999 -1e999 1e-400 9007199254740991 9007199254740992
    9223372036854775808 -9223372036854775809 18446744073709551616 100000000000000000000
    123456789012345678901234567890 1234567890123456789.0 0.1234567890123456789 01 NaN
"""
texts_of_json = st.sampled_from(
    [
        '"a"',
        '"b"',
        '"a:b"',
        '":"',
        '"{["',
        '"grö\u2028ße"',
        r'"\u0061"',
        r'"\""',
        '"\\ud800"',
        '"\x7f"',
    ]
)
values_of_json = st.recursive(
    st.sampled_from(NUMBERS.split())
    | texts_of_json
    | st.sampled_from(["null", "true", "[]", "{}", " [ ] "]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(texts_of_json, inner), max_size=4).map(
            lambda members: "{" + ",".join(f"{name} :{value}" for name, value in members) + "}"
        )
    ),
    max_leaves=12,
)
"""Texts of which many have a name twice, an escape, or a number that readers disagree about."""


def outcome(read: Callable[[bytes], Any], text: bytes) -> tuple[bool, Any]:
    try:
        return True, read(text)
    except Malformed as error:
        return False, str(error)


@given(values_of_json)
@example('{"a":1,"a":2}')
@example('{"a":":","a":2}')
@example('{"a:b":1,"a":{"b":1,"b":2}}')
def test_fast_and_careful_readers_agree(text: str) -> None:
    encoded = text.encode()
    assert same(
        list(outcome(strict_json.decode, encoded)), list(outcome(decode_carefully, encoded))
    )


@pytest.mark.parametrize(
    "text",
    [case[1] for case in REFUSED + ACCEPTED],
    ids=[case[0] for case in REFUSED + ACCEPTED],
)
def test_both_readers_agree_about_each_odd_text(text: bytes | str) -> None:
    encoded = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    assert same(
        list(outcome(strict_json.decode, encoded)), list(outcome(decode_carefully, encoded))
    )


def test_a_usual_message_is_read_fast() -> None:
    text = b'{"device": "floor2/lamp", "state": {"on": true, "level": 0.5, "mood": null, "n": [1]}}'
    assert _decode_plain(text) is not DOUBTFUL


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (strict_json.decode, strict_json.split_array):
        try:
            read(text)
        except Malformed as error:
            assert str(error).isprintable()


def test_a_browsers_parser_reads_the_same(node: Node) -> None:
    texts = [strict_json.encode(value).decode() for _, _, value in ACCEPTED]
    script = (
        "console.log(JSON.stringify(JSON.parse(process.argv[1]).map(text => JSON.parse(text))))"
    )
    ran = node.run("-e", script, json.dumps(texts))
    assert ran.returncode == 0, ran.stderr
    read = json.loads(ran.stdout)
    for (name, _, value), back in zip(ACCEPTED, read, strict=True):
        if name != "odd names":  # stringify leaves them in place, in another order
            assert back == value
        assert back == value or back.items() >= {"constructor": 2}.items()


def endless() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize("value", [float("nan"), "\ud800", {1, 2}, endless(), [object()]])
def test_nothing_that_is_no_json_is_written(value: Any) -> None:
    with pytest.raises(Malformed):
        strict_json.encode(value)


# Arrays, item by item


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("[]", []),
        (" [ ] ", []),
        ('[1, {"a": [2]} ,"x,]" ]', ["1", '{"a": [2]}', '"x,]"']),
        ('[NaN,{"a":1,"a":2},"\\ud800",1e999]', ["NaN", '{"a":1,"a":2}', '"\\ud800"', "1e999"]),
        ("[" + "9" * 5_000 + ",2]", ["9" * 5_000, "2"]),
        (f'[1, {nested(60_000)} ,{{"a":"],\\"["}}]', ["1", nested(60_000), '{"a":"],\\"["}']),
        (f"[{nested(60_000)}]", [nested(60_000)]),
        # An item that is deep and no JSON: refused alone, wherever the parser stopped.
        (f"[1,{'[' * 60_000}{'}' * 60_000},2]", ["1", "[" * 60_000 + "}" * 60_000, "2"]),
        # A deep item that does not end: its end is unknown, so it has the rest.
        (f"[1,{'[' * 60_000},2]", ["1", "[" * 60_000 + ",2]"]),
        (f'["a",1,{{"b":{"[" * 60_000}', ['"a"', "1", '{"b":' + "[" * 60_000]),
    ],
)
def test_an_array_is_split_without_checking_its_items(text: str, items: list[str]) -> None:
    assert strict_json.split_array(text) == items


@pytest.mark.parametrize(
    "text",
    ["", "{}", "1", "[1", "[1,]", "[,1]", "[1 2]", "[1] 2", "[1]]", "[", "[" * 60_000,
     f"[{nested(60_000)}", "[{]}", f"[{nested(60_000)}] x", '["a', '[1,"]'],
)  # fmt: skip
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        strict_json.split_array(text)


# Inside a page


def test_nothing_in_a_page_ends_its_script() -> None:
    text = strict_json.for_html('{"a":"</script><!--\u2028\u2029&"}')
    assert not set(text) & set("<>&\u2028\u2029")
    assert strict_json.decode(text) == {"a": "</script><!--\u2028\u2029&"}
    assert strict_json.for_html(b'"<"') == '"\\u003c"'
