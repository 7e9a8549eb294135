"""What the ASGI endpoints share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from statecast.http import asgi


def receiving(*messages: dict[str, Any]) -> Callable[[], Awaitable[dict[str, Any]]]:
    """A client that sends these; to receive more is an error."""
    left = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(left)

    return receive


def part(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("messages", "body"),
    [
        ([part(b"")], b""),
        ([part(b"abc")], b"abc"),
        ([part(b"ab", True), part(b"", True), part(b"c")], b"abc"),
        ([{"type": "http.request"}], b""),
    ],
)
@pytest.mark.asyncio
async def test_a_body_comes_in_parts(messages: list[dict[str, Any]], body: bytes) -> None:
    sizes: list[int] = []
    assert await asgi.read_body(receiving(*messages), 3, sizes.append) == body
    assert sizes[-1] == len(body)
    assert len(sizes) == len(messages)


@pytest.mark.asyncio
async def test_a_body_that_is_too_large_is_not_read_to_its_end() -> None:
    with pytest.raises(asgi.BodyTooLarge):
        await asgi.read_body(receiving(part(b"ab", True), part(b"cd", True)), 3)


@pytest.mark.asyncio
async def test_a_client_that_leaves_before_the_end() -> None:
    with pytest.raises(asgi.ClientDisconnected):
        await asgi.read_body(receiving(part(b"ab", True), GONE), 3)


@pytest.mark.asyncio
async def test_what_a_count_raises_ends_the_reading() -> None:
    def count(size: int) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await asgi.read_body(receiving(part(b"ab", True)), 3, count)


@pytest.mark.asyncio
async def test_the_end_of_a_client_is_awaited() -> None:
    await asgi.disconnected(receiving(part(b"a", True), part(b"b"), GONE))


@pytest.mark.asyncio
async def test_a_response_ends_after_its_body_was_taken() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await asgi.respond(send, 200, b"ok", asgi.TEXT, [(b"x-mood", b"calm")])
    assert sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"text/plain; charset=UTF-8"),
                (b"content-length", b"2"),
                (b"cache-control", b"no-store"),
                (b"x-mood", b"calm"),
            ],
        },
        {"type": "http.response.body", "body": b"ok", "more_body": True},
        {"type": "http.response.body", "body": b""},
    ]


def test_the_address_of_a_client() -> None:
    assert asgi.client_address({"client": ("203.0.113.7", 4711)}) == "203.0.113.7"
    assert asgi.client_address({"client": None}) == "local"
    assert asgi.client_address({}) == "local"
