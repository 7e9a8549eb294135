"""One user or key does not fill the queue of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask

from statecast import Statecast
from statecast.access import secret_tokens
from statecast.access.identity import ANONYMOUS, LOCAL, Identity
from statecast.decoders.items import MAX_ITEMS
from statecast.errors import TooManyRequests
from statecast.flask import runtime_of
from statecast.http.write_limit import BURST, WriteLimiter

PILLOW, LAMP = Identity("key", "pillow-1"), Identity("key", "lamp")


@pytest.mark.parametrize(
    ("identity", "is_limited"),
    [
        (PILLOW, True),
        (Identity("user", "ada"), True),
        (Identity("token", "ada"), True),
        (Identity("proxy", "ada"), True),
        (Identity("app", "ada"), True),
        (Identity("app"), False),
        (ANONYMOUS, False),
        (LOCAL, False),
    ],
)
def test_who_is_limited(identity: Identity, is_limited: bool) -> None:
    limiter = WriteLimiter(50, lambda: 0.0)
    limiter.acquire(identity, BURST)
    if not is_limited:
        limiter.acquire(identity)
        return
    with pytest.raises(TooManyRequests, match="Nothing of it was done") as refused:
        limiter.acquire(identity)
    assert refused.value.retry_after == 1
    # and others go on, also those of the same name in another way
    for other in (LAMP, Identity("share", "x"), Identity("key", "ada"), ANONYMOUS):
        limiter.acquire(other)


def test_the_longest_array_is_within_the_burst() -> None:
    assert BURST >= MAX_ITEMS


def test_an_array_counts_for_its_items_all_or_none() -> None:
    now = [0.0]
    limiter = WriteLimiter(50, lambda: now[0])
    limiter.acquire(PILLOW, 900)
    with pytest.raises(TooManyRequests) as refused:
        limiter.acquire(PILLOW, 200)
    assert refused.value.retry_after == 2
    # what was refused has taken nothing
    limiter.acquire(PILLOW, 100)
    now[0] += 4.0
    limiter.acquire(PILLOW, 200)
    with pytest.raises(TooManyRequests):
        limiter.acquire(PILLOW)


def test_a_key_that_floods_is_refused_and_its_neighbours_are_not() -> None:
    # Given two keys, and a slow rate
    app = Flask("host")
    Statecast(app, store="memory:", write_rate_limit=0.1)
    runtime, bearer = runtime_of(app), {}
    for name, device in (("a", "pillow"), ("b", "lamp")):
        secret = secret_tokens.new_secret()
        body = {"digest": secret_tokens.digest(secret), "grants": {device: "send write command"}}
        runtime.store.put_access("key", name, body)
        token = secret_tokens.written("key", name, secret)
        bearer[name] = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    client = app.test_client()

    def send(name: str, device: str, number: int) -> Any:
        items = [{"device": device, "state": {"n": n}} for n in range(number)]
        return client.post("/api/messages", data=json.dumps(items), headers=bearer[name])

    try:
        # When one sends as much as it may at once
        assert send("a", "pillow", BURST).status_code == 202
        # Then nothing more of it is taken, whatever it is, and it learns when to come again
        path = "/api/devices/pillow"
        for answer in (
            send("a", "pillow", 1),
            client.put(path, data="{}", headers=bearer["a"]),
            client.patch(path, data="{}", headers=bearer["a"]),
            client.delete(path, headers=bearer["a"]),
            client.post(f"{path}/commands", data='{"name": "hug"}', headers=bearer["a"]),
        ):
            assert answer.status_code == 429 and answer.headers["Retry-After"] == "10"
            assert "write_rate_limit" in answer.get_json()["detail"]
        # And the other one goes on, and so does this machine
        assert send("b", "lamp", 5).status_code == 202
        plain = {"Content-Type": "application/json"}
        assert client.put("/api/devices/x", data="{}", headers=plain).status_code == 200
    finally:
        runtime.stop()
