"""Problems as answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from statecast.http.errors import HTTPProblem


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (408, "Request Timeout"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (429, "Too Many Requests"),
    ],
)
def test_a_problem_is_json_of_one_sentence(status: int, title: str) -> None:
    problem = HTTPProblem(status, "Come back.", [(b"retry-after", b"1")])
    head, _, body = problem.response([(b"date", b"today")]).partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == f"HTTP/1.1 {status} {title}".encode()
    lines = head.split(b"\r\n")[1:]
    assert {
        b"date: today",
        b"connection: close",
        b"retry-after: 1",
        b"content-length: %d" % len(body),
    } < set(lines)
    assert json.loads(body) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": "Come back.",
    }


@pytest.mark.asyncio
async def test_a_problem_is_sent_as_an_answer() -> None:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    problem = HTTPProblem.busy("Come back.")
    await problem.send(send)
    assert [message["type"] for message in said] == ["http.response.start", "http.response.body"]
    assert (said[0]["status"], said[1]["body"]) == (503, problem.body)
    assert (b"retry-after", b"1") in said[0]["headers"]
