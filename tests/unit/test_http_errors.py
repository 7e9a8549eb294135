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


CHROME = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (CHROME, "text/html; charset=utf-8"),
        (b"*/*", "application/problem+json"),
        (b"application/json", "application/problem+json"),
        (b"text/event-stream", "application/problem+json"),
        (None, "application/problem+json"),
    ],
)
def test_a_person_gets_a_page_and_a_program_json(accept: bytes | None, kind: str) -> None:
    problem = HTTPProblem(503, "Come <b>back</b>.", [(b"retry-after", b"1")])
    headers = [(b"host", b"x"), *([] if accept is None else [(b"accept", accept)])]
    answer = problem.for_client(headers)
    assert (answer.status, answer.kind) == (503, kind)
    assert (b"retry-after", b"1") in answer.fields()
    assert b"Come <b>" not in answer.body or kind != "text/html; charset=utf-8"
