"""The ``watch`` request: what is valid, and with which sentence the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest

from statecast.broadcast.watch_request import WatchRequest
from statecast.errors import Malformed, Refused, TooLarge
from statecast.model import Position


def test_patterns_are_sorted_and_not_repeated() -> None:
    request: dict[str, Any] = {
        "devices": ["b", "a", "b", "f/*"],
        "since": {"epoch": "e", "offset": 3, "scope": "f600"},
        "health": True,
    }
    assert WatchRequest.parse(request, 10) == WatchRequest(
        ("a", "b", "f/*"), Position("e", 3), True, scope="f600"
    )
    assert WatchRequest.parse({"devices": ["*"], "protocol": 1, "since": None}, 1) == WatchRequest(
        ("*",), None, False
    )


def test_a_request_for_patches_may_say_that_the_viewer_lost_what_it_had() -> None:
    request = WatchRequest.parse({"devices": ["*"], "protocol": 2, "reset": True}, 1)
    assert request == WatchRequest(("*",), None, False, protocol=2, reset=True)


@pytest.mark.parametrize(
    ("request_", "error", "sentence"),
    [
        (None, Malformed, "takes an object"),
        ({"devices": ["a"], "sinse": 1}, Malformed, "“watch” has no member “sinse”"),
        ({"devices": ["a"], "protocol": 3}, Malformed, "speaks the protocols 1 and 2; reload"),
        ({"devices": ["a"], "protocol": [2]}, Malformed, "speaks the protocols 1 and 2"),
        ({"devices": ["a"], "protocol": "2"}, Malformed, "speaks the protocols 1 and 2"),
        ({"devices": ["a"], "reset": 1}, Malformed, "“reset” must be true or false"),
        ({"devices": ["a"], "health": 1}, Malformed, "“health” must be true or false"),
        ({}, Malformed, "“devices” must be a list"),
        ({"devices": []}, Malformed, "“devices” must be a list"),
        ({"devices": ["a", 5]}, Malformed, "“devices” must be a list"),
        ({"devices": ["a*"]}, Malformed, "is not a pattern"),
        ({"devices": ["a", "b", "c"]}, TooLarge, "At most 2 patterns"),
        ({"devices": ["a"], "since": 5}, Malformed, "“since” must be a position"),
        (
            {"devices": ["a"], "since": {"epoch": "e", "offset": 1, "scope": 5}},
            Malformed,
            "“scope” of a position is a text",
        ),
        ({"devices": ["a"], "since": {"offset": 1}}, Malformed, "“since” must be a position"),
        (
            {"devices": ["a"], "since": {"epoch": "e", "offset": True}},
            Malformed,
            "“since” must be a position",
        ),
    ],
)
def test_a_request_is_refused_with_a_sentence(
    request_: Any, error: type[Refused], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        WatchRequest.parse(request_, 2)
