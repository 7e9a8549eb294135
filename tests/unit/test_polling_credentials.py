"""A session id is no right by itself: each request brings what the first one brought."""

from __future__ import annotations

import json

import pytest

from tests.fakes.polling_harness import PollingHarness

pytestmark = pytest.mark.asyncio(fast_forward=True)

ADA = {"cookie": "statecast_session=se_ada_secret; theme=dark"}
KEY = {"authorization": "Bearer sk_ada_secret"}
UNKNOWN_SID = (400, 1)

OTHERS = [
    (ADA, {}),  # only the sid, as from a log
    (ADA, {"cookie": "statecast_session=se_eve_secret"}),
    (ADA, {**ADA, **KEY}),
    (ADA, {"cookie": "statecast_session=se_ada_secret; statecast_session=x"}),
    (KEY, {}),
    (KEY, {"authorization": "Bearer sk_ada_secrez"}),
    (KEY, {"authorization": "Bearer two tokens"}),
    (KEY, {**KEY, **ADA}),
    ({}, ADA),  # who signed in meanwhile begins again, as that user
    ({}, KEY),
]


@pytest.mark.parametrize(("first", "later"), OTHERS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_with_other_credentials_has_no_such_session(
    first: dict[str, str], later: dict[str, str], method: str
) -> None:
    # given a session
    harness = PollingHarness()
    session = await harness.open(headers=first)
    body = (b"6",) if method == "POST" else ()
    # when somebody else has its id
    stolen = await harness.response(method, session.query, *body, headers=later)
    # then that is not known, and the session of the first one goes on
    assert (stolen.status, json.loads(stolen.text)["code"]) == UNKNOWN_SID
    sent = await harness.response("POST", session.query, b"6", headers=first)
    assert (sent.status, sent.body) == (200, b"ok")


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (ADA, {"cookie": "theme=light; statecast_session=se_ada_secret"}),  # another cookie changed
        (KEY, {"authorization": "bearer  sk_ada_secret"}),
        (KEY, {**KEY, "cookie": "theme=dark"}),
        ({}, {"authorization": "Basic YTpi"}),  # a proxy's own
        ({}, {"cookie": "session=of-the-application"}),
    ],
)
async def test_what_does_not_say_who_it_is_may_change(
    first: dict[str, str], later: dict[str, str]
) -> None:
    harness = PollingHarness()
    session = await harness.open(headers=first)
    sent = await harness.response("POST", session.query, b"6", headers=later)
    assert (sent.status, sent.body) == (200, b"ok")


@pytest.mark.parametrize(
    ("first", "later", "status"),
    [
        (ADA, ADA, 101),
        (KEY, KEY, 101),
        (KEY, {}, 101),  # a browser cannot add a token to a WebSocket
        ({}, {}, 101),
        *((first, later, 400) for first, later in OTHERS if (first, later) != (KEY, {})),
    ],
)
async def test_the_upgrade_is_of_the_same_one(
    first: dict[str, str], later: dict[str, str], status: int
) -> None:
    harness = PollingHarness()
    session = await harness.open(headers=first)
    client = harness.client()
    fields = [(name.encode(), value.encode()) for name, value in later.items()]
    client.open(f"/socket.io/?EIO=4&transport=websocket&sid={session.sid}", *fields)
    assert client.received()[0] == status
    if status == 400:  # then the session is still carried by long polling
        sent = await harness.response("POST", session.query, b"6", headers=first)
        assert (sent.status, sent.body) == (200, b"ok")
