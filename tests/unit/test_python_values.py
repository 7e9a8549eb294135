"""Values of Python: what each becomes, and the sentence for what is no JSON, on every way in.

Numpy and pandas are not needed: the fakes below have what the product looks at. The same rows were
tried with numpy 2.4 and pandas 3.1.
"""

from __future__ import annotations

import asyncio
import functools
import json
import math
import time
from collections import OrderedDict, deque, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as wall_time
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from statecast import Statecast, strict_json
from statecast.errors import Malformed, Refused, SourceUnavailable
from statecast.flask import runtime_of
from statecast.realtime.protocol import socketio
from statecast.sources.polled_function import PolledFunction
from statecast.timestamps import now


class Mood(Enum):
    HAPPY = "happy"


class Level(IntEnum):
    HIGH = 3


class Colour(StrEnum):
    RED = "red"


class Word(str, Enum):  # noqa: UP042 -- the form before StrEnum
    ON = "on"


class Bits(Flag):
    A = 1
    B = 2


class Text(str):
    pass


@dataclass
class Reading:
    value: Decimal
    at: datetime


Point = namedtuple("Point", "x y")
AT = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)


class Dtype:
    def __init__(self, kind: str, itemsize: int = 8) -> None:
        self.kind, self.itemsize = kind, itemsize


class Scalar:
    """What numpy's scalars (and torch's tensors of one number) have in common."""

    shape: tuple[int, ...] = ()

    def __init__(self, item: Any, kind: str = "i", itemsize: int = 8, shown: str = "") -> None:
        self.dtype, self._item, self._shown = Dtype(kind, itemsize), item, shown

    def item(self) -> Any:
        return self._item

    def __str__(self) -> str:
        return self._shown or str(self._item)


class Array(Scalar):
    """An array of numpy: ``item`` works for one element only, iteration gives scalars."""

    def __init__(self, *items: Any) -> None:
        super().__init__(items[0] if len(items) == 1 else None)
        self.items, self.shape = items, (len(items),)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class Series(Array):
    def to_dict(self) -> dict[str, Any]:
        raise AssertionError("it is not called for the user")


class DataFrame:
    def to_dict(self) -> dict[str, Any]:
        raise AssertionError("it is not called for the user")


class Model:
    """Of pydantic."""

    def model_dump(self) -> dict[str, Any]:
        raise AssertionError("it is not called for the user")


class NAType:
    pass


class NaT(datetime):
    """pandas.NaT: a datetime that is not equal to itself."""

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class LongDouble(Scalar):
    def item(self) -> Any:
        return self


BECOMES: list[tuple[str, Any, Any]] = [
    ("nothing", None, None),
    ("true", True, True),
    ("a whole number", 5, 5),
    ("the largest", 2**53 - 1, 2**53 - 1),
    ("a float", 0.1, 0.1),
    ("text of a subclass", Text("x"), "x"),
    ("an Enum", Mood.HAPPY, "happy"),
    ("an IntEnum", Level.HIGH, 3),
    ("a StrEnum", Colour.RED, "red"),
    ("a str and Enum", Word.ON, "on"),
    ("a Flag", Bits.A | Bits.B, 3),
    ("a Decimal", Decimal("21.50"), 21.5),
    ("a Decimal that floats show as it is", Decimal("0.1"), 0.1),
    ("a whole Decimal", Decimal("7.00"), 7),
    ("a Decimal with an exponent", Decimal("1E+3"), 1000),
    ("a small Decimal", Decimal("1E-7"), 1e-7),
    ("a datetime", AT, "2026-01-31T12:00:00.250000Z"),
    (
        "a datetime of another zone",
        AT.astimezone(timezone(timedelta(hours=5))),
        "2026-01-31T12:00:00.250000Z",
    ),
    ("a date", date(2026, 1, 31), "2026-01-31"),
    ("a time of day", wall_time(12, 30), "12:30:00"),
    ("a timedelta", timedelta(minutes=1, milliseconds=500), 60.5),
    ("a UUID", UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ("a list", [1, [2]], [1, [2]]),
    ("a tuple", (1, (2,)), [1, [2]]),
    ("a named tuple", Point(1, 2), [1, 2]),
    ("a range", range(3), [0, 1, 2]),
    ("a deque", deque([1, 2], maxlen=2), [1, 2]),
    ("a mapping", MappingProxyType({Text("a"): OrderedDict(b=1)}), {"a": {"b": 1}}),
    (
        "a dataclass",
        Reading(Decimal("1.5"), AT),
        {"value": 1.5, "at": "2026-01-31T12:00:00.250000Z"},
    ),
    ("a whole number of numpy", Scalar(5), 5),
    ("a float of numpy", Scalar(0.1, "f"), 0.1),
    ("a float32 of numpy", Scalar(0.10000000149011612, "f", 4, "0.1"), 0.1),
    ("a bool of numpy", Scalar(True, "b", 1), True),
    ("text of numpy", Scalar("x", "U"), "x"),
    ("an array of numpy", Array(Scalar(1), Scalar(2)), [1, 2]),
    ("an array of one", Array(Scalar(1)), [1]),
    ("an array of arrays", Array(Array(Scalar(1)), Array(Scalar(2))), [[1], [2]]),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("NaN", math.nan, "is NaN, which is no number in JSON; leave the field out or send None."),
    ("infinity", math.inf, "is infinite, which is no number in JSON"),
    ("minus infinity", -math.inf, "is infinite"),
    ("NaN of numpy", Scalar(math.nan, "f"), "is NaN"),
    ("NaN as float32", Scalar(math.nan, "f", 4, "nan"), "is NaN"),
    ("NaN as a Decimal", Decimal("NaN"), "is NaN"),
    ("infinity as a Decimal", Decimal("-Infinity"), "is infinite"),
    ("2^53", 2**53, "an integer beyond ±9007199254740991, which browsers cannot hold; send it as"),
    ("2^53 of numpy", Scalar(2**53, "u"), "an integer beyond"),
    ("2^53 as a Decimal", Decimal(2**53), "an integer beyond"),
    ("a huge exponent", Decimal("1E+999999"), "more digits than a number in JSON keeps"),
    ("many digits", Decimal(1) / Decimal(3), "send float(value), or str(value) as text"),
    ("a datetime without a zone", datetime(2026, 1, 31), "a datetime without a zone"),
    ("NaT of pandas", NaT(2026, 1, 31, tzinfo=UTC), "NaT, which is no time"),
    ("datetime64 of numpy", Scalar(1769860800000000000, "M"), "of numpy, which has no zone"),
    ("timedelta64 of numpy", Scalar(5, "m"), "of numpy, which is no number"),
    ("NA of pandas", NAType(), "NA of pandas, which is no value; leave the field out or send None"),
    ("a Series of pandas", Series(Scalar(1)), "send value.to_dict()"),
    ("a DataFrame of pandas", DataFrame(), "send value.to_dict()"),
    ("a model of pydantic", Model(), "send value.model_dump()"),
    ("a long double", LongDouble(None, "f", 16), "of the type LongDouble"),
    ("a bytearray", bytearray(b"x"), "a bytearray"),
    ("a set", {1, 2}, "a set, which has no order; send sorted(value)"),
    ("a frozenset", frozenset(), "a frozenset, which has no order"),
    ("a complex number", 1j, "of the type complex, which is no JSON"),
    ("a fraction", Fraction(1, 3), "of the type Fraction"),
    ("a path", Path("x"), "of the type"),
    ("a generator", (n for n in "ab"), "of the type generator"),
    ("keys", {}.keys(), "of the type dict_keys"),
    ("a function", time.time, "a function or a class, which is no value; call it, with ()"),
    ("a partial function", functools.partial(int), "of the type partial"),
    ("a class", Reading, "a function or a class"),
    ("an object", object(), "of the type object"),
    ("half a character", "\ud800", "half a character"),
    ("a number as a name", {1: 2}, "must be text; The value"),
    ("a long name", {"n" * 257: 1}, "longer than 256"),
    ("NUL in a name", {"a\0": 1}, "NUL"),
    ("257 members", {str(n): n for n in range(257)}, "257 members"),
]


@pytest.fixture
def live() -> Iterator[Statecast]:
    app = Flask("host")
    live = Statecast(app, store="memory:")
    live.app = app  # type: ignore[attr-defined]  # an extension does not keep its app alive
    yield live
    runtime_of(app).stop()


@pytest.mark.parametrize(("value", "plain"), [r[1:] for r in BECOMES], ids=[r[0] for r in BECOMES])
def test_what_a_value_becomes(value: Any, plain: Any) -> None:
    copy = strict_json.check({"a": [value]})
    assert copy == {"a": [plain]}
    assert type(copy["a"][0]) is type(plain)
    # and it is JSON
    assert strict_json.decode(strict_json.encode(copy)) == copy


@pytest.mark.parametrize(("value", "plain"), [r[1:] for r in BECOMES], ids=[r[0] for r in BECOMES])
def test_it_becomes_that_on_every_way_in(live: Statecast, value: Any, plain: Any) -> None:
    if plain is None:
        return  # it removes the field
    # when it is set, sent, polled, emitted or the answer of a handler
    live.set("pillow", {"set": value})
    live.send({"device": "pillow", "state": {"sent": value}})
    (sent,) = live.runtime.queue.receive(1, 0)
    poll = PolledFunction("pillow", lambda: {"polled": value}, every=1, clock=now)
    (polled,) = poll.receive(1, 0)
    live.emit("message", value)
    answer, _ = socketio.encode(socketio.ACK, "/", 1, [value])
    # then it is the same everywhere
    assert live.get("pillow") == {"set": plain}
    assert json.loads(sent.body)["state"] == {"sent": plain}
    assert json.loads(polled.body)["state"] == {"polled": plain}
    assert json.loads(answer[answer.index(b"[") :]) == [plain]


@pytest.mark.parametrize(
    ("value", "sentence"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_is_no_json_is_refused_on_every_way_in(
    live: Statecast, value: Any, sentence: str
) -> None:
    poll = PolledFunction("pillow", lambda: {"temp": value}, every=1, clock=now)
    ways = [
        lambda: live.set("pillow", temp=value),
        lambda: live.replace("pillow", {"temp": value}),
        lambda: live.send({"device": "pillow", "state": {"temp": value}}),
        lambda: poll.receive(1, 0),
    ]
    if not isinstance(value, bytearray):  # an event may carry bytes
        ways.append(lambda: live.emit("message", {"temp": value}))
        ways.append(lambda: socketio.encode(socketio.ACK, "/", 1, [{"temp": value}]))
    for way in ways:
        with pytest.raises((Refused, SourceUnavailable)) as refused:
            way()
        text = str(refused.value)
        # then the sentence says where it is, what it is and what to do
        assert sentence in text and text.endswith(".") and text.isprintable()
        assert (
            "temp" in text
            or sentence in ("half a character", "longer than 256", "NUL")
            or ("257" in sentence)
        )
    assert live.get("pillow") is None


def test_a_coroutine_is_no_value() -> None:
    waiting = asyncio.sleep(0)
    with pytest.raises(Malformed, match="is no value yet; await it"):
        strict_json.check({"a": waiting})
    waiting.close()


def test_the_place_is_a_pointer() -> None:
    with pytest.raises(Malformed, match=r"^The value at “/a/1/b” is NaN"):
        strict_json.check({"a": [0, {"b": math.nan}]})
    with pytest.raises(Malformed, match=r"^The value is NaN"):
        strict_json.check(math.nan)
    with pytest.raises(Malformed, match="The value at “/a” has a name of the type int"):
        strict_json.check({"a": {1: 2}})


def test_a_checked_value_is_a_copy() -> None:
    inner = [1]
    copy = strict_json.check({"a": inner})
    inner.append(2)
    assert copy == {"a": [1]}


def test_what_holds_itself_is_too_deep() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(Malformed, match="32 levels"):
        strict_json.check(loop)
    deep: Any = 1
    for _ in range(32):
        deep = [deep]
    assert strict_json.check(deep) == deep


def test_a_polled_function_that_returns_no_state_says_so() -> None:
    for state in ([1], "text", 5, datetime.now(UTC)):
        poll = PolledFunction("clock", lambda state=state: state, every=1, clock=now)
        with pytest.raises(SourceUnavailable, match=r"returned no state\. A state is a mapping"):
            poll.receive(1, 0)
