"""Every way in, asked by every kind of user, about a device of their own and about a secret one.

The ways are those of the app's map of routes and of the server's router. A new one that ``WAYS``
does not name fails a test, so each has a decision. What is expected comes from the grants in
``USERS`` alone. A device that most may not see, with its state, history, command, quarantined
message and source, bears words that no answer to them may have.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from statecast.access import secret_tokens
from statecast.access.actions import Action
from statecast.commands.life import NewCommand
from statecast.flask import create_app, runtime_of
from statecast.model import Change, Delivery, Message, Refusal
from statecast.realtime.viewer import AUTHENTICATE
from statecast.server.server import BackgroundServer
from statecast.settings import Settings
from statecast.web.sign_in import form_token

OWN, SECRET, HIDDEN = "smith/pillow", "secret-family/pillow", "secret-family/hidden"
WORDS = ("purple-elephant", "secret-family")
"""What the secret devices say, and how their names begin."""
ALL = "read command send write operate"
USERS: dict[str, dict[str, str]] = {
    "anonymous": {},
    "viewer": {"smith/*": "read"},
    "editor": {"smith/*": "read command write"},
    "operator": {"*": ALL},
    "key": {OWN: "read send"},
    # each action alone opens the ways that need it, and no other
    **{f"only {one}": {"*" if one == "operate" else "smith/*": one} for one in ALL.split()},
}
FORM = "application/x-www-form-urlencoded"
DEVICE = "/api/devices/<path:device>"


class Way(NamedTuple):
    """One method of one route."""

    action: str = ""
    """What it needs; "": nothing, it shows nothing of any device."""
    about: str = ""
    """Where the device is: in the "path", in the "body", in what is "found"; "": of none."""
    body: Any = None
    query: str = ""


WAYS: dict[str, Way] = {
    # REST
    "GET /api/devices": Way("read"),
    f"GET {DEVICE}": Way("read", "path"),
    f"PUT {DEVICE}": Way("write", "path", {"mood": "calm"}),
    f"PATCH {DEVICE}": Way("write", "path", {"mood": "calm"}),
    f"DELETE {DEVICE}": Way("write", "path"),
    f"GET {DEVICE}/history": Way("read", "path"),
    f"GET {DEVICE}/viewers": Way("read", "path"),
    f"GET {DEVICE}/commands": Way("read", "path"),
    f"GET {DEVICE}/commands?take": Way("send", "path", query="after="),
    f"GET {DEVICE}/commands?wait": Way("send", "path", query="after=&wait=0.01"),
    f"POST {DEVICE}/commands": Way("command", "path", {"name": "hug"}),
    "GET /api/commands": Way("read"),
    "GET /api/commands/<id_>": Way("read", "found"),
    "GET /api/changes": Way("read"),
    "GET /api/changes?since": Way("read", query="since=x.1"),
    "GET /api/openapi.json": Way(),
    "POST /api/messages": Way("send", "body", {"device": "DEVICE", "state": {"n": 1}}),
    "POST /api/messages?list": Way(
        "send", "body", [{"device": OWN, "state": {}}, {"device": "DEVICE", "state": {}}]
    ),
    # pages
    "GET /": Way("read"),
    "GET /?search": Way("read", query="all&q=purple"),
    "GET /devices/<path:name>": Way("read", "path"),
    "GET /pictures": Way(),
    "GET /operator": Way("operate"),
    "POST /operator": Way("operate", body="action=drop&number=999"),
    "GET /statecast/<path:filename>": Way(),
    "GET /statecast/live-address.js": Way(),
    "GET /statecast/sign-in": Way(),
    "POST /statecast/sign-in": Way(body="user=ada&password=wrong"),
    "POST /statecast/sign-out": Way(body=""),
    "GET /statecast/share": Way(),
    "POST /statecast/share": Way(body={"token": f"sh_a_{'x' * 43}"}),
    # on the loop
    "GET /healthz": Way(),
    "GET /readyz": Way(),
    "GET /metrics": Way("operate"),
}
LIVE = {"/socket.io/", "/events"}
"""Of viewers: they are told of what they may read. See ``test_viewers_...`` below."""


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


class Site:
    """A server, behind a proxy that names the addresses of other machines."""

    def __init__(self) -> None:
        settings = Settings(
            store="memory:",
            port=0,
            trusted_proxy=("127.0.0.1",),
            page_rate_limit=100_000,
            write_rate_limit=100_000,
            connect_rate_limit=100_000,
        )
        self.app = create_app(settings)
        self.live = runtime_of(self.app)
        self.store = self.live.store
        self.tokens = {name: self.credential(name) for name in USERS if name != "anonymous"}
        self.live.problems.report("away", f"source {SECRET}", "purple-elephant is away.")
        self.live.problems.report("row", f"device {HIDDEN}", "purple-elephant is damaged.")
        bad = b'{"device":"secret-family/pillow","state":"purple-elephant"}'
        refusal = Refusal("purple-elephant is no state", bad, None, SECRET)
        self.store.commit(SECRET, 1, [Message(Delivery("q1", bad, 1), refusals=(refusal,))])
        self.refresh()
        for device, says in ((OWN, "hug"), (SECRET, "purple-elephant")):
            self.store.begin_command(NewCommand(self.id_of(device), device, says, by=says))
        self.changes = itertools.count()
        self.server = BackgroundServer(self.live, self.app)
        self.server.start()
        self.port = urlsplit(self.server.address).port
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        for name in ("GET /readyz", "GET /metrics"):  # their threads begin here, and not in a test
            self.ask("operator", name, OWN)
        talk_by(by_websocket, self, "operator", "")

    @staticmethod
    def id_of(device: str) -> str:
        """Of the command of a device: it does not name the device."""
        return {OWN: "id-a", SECRET: "id-b", HIDDEN: "id-c"}.get(device, "id-d")

    def credential(self, name: str) -> dict[str, str]:
        """The header field with which a user comes: people with a session, others with a key."""
        secret = secret_tokens.new_secret()
        digest, grants = secret_tokens.digest(secret), USERS[name]
        if name == "key" or name.startswith("only"):
            id_ = name.replace(" ", "-")
            self.store.put_access("key", id_, {"digest": digest, "grants": grants})
            return {"Authorization": "Bearer " + secret_tokens.written("key", id_, secret)}
        self.store.put_access("user", name, {"password_set_at": 1, "grants": grants})
        body = {"user": name, "password_set_at": 1, "digest": digest}
        self.store.put_access("session", name, body)
        return {"Cookie": "statecast_session=" + secret_tokens.written("session", name, secret)}

    def refresh(self) -> None:
        """Make what a test has changed or removed as it was."""
        for device in (OWN, SECRET, HIDDEN):
            says = "calm" if device == OWN else "purple-elephant"
            self.store.edit(Change(device, "replace", {"mood": says}))

    def ask(self, who: str, name: str, device: str, **headers: str) -> Reply:
        way = WAYS[name]
        method, _, path = name.partition("?")[0].partition(" ")
        for variable, value in {
            "<path:device>": device,
            "<path:name>": device,
            "<path:filename>": "page.css",
            "<id_>": self.id_of(device),
        }.items():
            path = path.replace(variable, value)
        body, kind = None, FORM
        if isinstance(way.body, str):
            cookie = self.tokens.get(who, {}).get("Cookie", "").partition("=")[2]
            body = f"{way.body}&token={form_token(cookie)}" if cookie and way.action else way.body
        elif way.body is not None:
            body, kind = json.dumps(way.body).replace("DEVICE", device), "application/json"
        fields = {
            "X-Forwarded-For": "192.0.2.7",
            **({"Content-Type": kind} if body is not None else {}),
            **({"Origin": f"http://127.0.0.1:{self.port}"} if kind == FORM and body else {}),
            **self.tokens.get(who, {}),
            **headers,
        }
        self.connection.request(method, f"{path}?{way.query}" if way.query else path, body, fields)
        response = self.connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, text)

    def stop(self) -> None:
        self.connection.close()
        self.server.stop()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.stop()


def may(who: str, action: str, device: str) -> bool:
    """The expected decision, by the table of users alone."""
    return any(
        action in actions.split()
        and (pattern in ("*", device) or (pattern[-1] == "*" and device.startswith(pattern[:-1])))
        for pattern, actions in USERS[who].items()
    )


def may_anywhere(who: str, action: str) -> bool:
    return any(action in actions.split() for actions in USERS[who].values())


def expected(who: str, way: Way, device: str) -> set[int]:
    """The statuses of a right answer."""
    done = {200, 201, 202, 204, 303}
    if not way.action:
        return done | {400, 401, 403, 429}  # of forms with a wrong password or link
    allowed = may_anywhere(who, way.action)
    if way.about == "path":
        allowed = may(who, way.action, device)
    if not allowed and who == "anonymous":
        return {401, 303}
    if way.about == "path" and not allowed:
        return {403} if may(who, "read", device) else {404}
    if not allowed:
        return {403}
    if way.about == "found" and not may(who, way.action, device):
        return {404}
    if way.about == "body" and not may(who, way.action, device):
        return {403}
    return done


def test_every_way_in_has_its_line(site: Site) -> None:
    found = {
        f"{method} {rule.rule}"
        for rule in site.app.url_map.iter_rules()
        if not rule.websocket and ".other_" not in rule.endpoint
        for method in (rule.methods or set()) & {"GET", "POST", "PUT", "PATCH", "DELETE"}
    }
    found |= {f"GET {path}" for path in site.server.server.router.paths}
    named = {name.partition("?")[0] for name in WAYS}
    assert {one for one in found if one.partition(" ")[2] not in LIVE} == named
    # and every action opens some way
    assert {way.action for way in WAYS.values()} - {""} == {one.value for one in Action}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("who", USERS)
def test_what_is_answered_to_whom(site: Site, who: str, name: str) -> None:
    way = WAYS[name]
    for device in (OWN, SECRET, HIDDEN) if way.about else (OWN,):
        # given the devices as they were
        site.refresh()
        # when a user asks
        reply = site.ask(who, name, device)
        # then the decision is that of the grants
        wanted = expected(who, way, device)
        if name == "GET /metrics" and not may_anywhere(who, "operate"):
            wanted = {401, 403}
        if name == "GET /readyz":
            wanted = {503}  # because of the secret source
        if name == "GET /api/commands/<id_>" and device == HIDDEN:
            wanted = {404, *({401, 303} if who == "anonymous" else {403})}  # it has no command
        assert reply.status in wanted, (device, reply)
        if reply.status == 303 and who == "anonymous" and way.action:
            assert reply.headers["location"].startswith("/statecast/sign-in?")
        # and no word of what may not be seen is in it, besides the name that was asked for;
        # operators see the quarantine, whatever it is about
        if not (
            may(who, "read", SECRET) or (may_anywhere(who, way.action) and way.action == "operate")
        ):
            shown = reply.text + json.dumps(reply.headers)
            for echoed in (device, urlencode({"": device})[1:]) if device != OWN else ():
                shown = shown.replace(echoed, "")
            assert not [word for word in WORDS if word in shown], (device, reply)
        # and no cache keeps what depends on who asks
        if way.action and name != "GET /metrics":
            assert reply.headers["cache-control"] in ("private, no-store", "no-store")


@pytest.mark.parametrize("who", [one for one in USERS if not may(one, "read", SECRET)])
def test_a_tag_is_no_way_to_probe(site: Site, who: str) -> None:
    # given the tag of a device that may not be read, which a user guesses
    name = f"GET {DEVICE}"
    tag = site.ask("operator", name, SECRET).headers["etag"]
    # when it asks whether the device still has it
    found = site.ask(who, name, SECRET, **{"If-None-Match": tag})
    guessed = site.ask(who, name, SECRET, **{"If-None-Match": '"x.1"'})
    # then the answer is that of any tag
    assert (found.status, found.text) == (guessed.status, guessed.text)
    assert found.status in (401, 404) and "etag" not in found.headers


def test_this_machine_needs_no_name(site: Site) -> None:
    for name, way in WAYS.items():
        if way.action:
            fields = {"X-Forwarded-For": "127.0.0.1"}
            assert site.ask("anonymous", name, OWN, **fields).status not in (401, 403), name


# Viewers, by each transport

EVENTS = {"watch", "authenticate", "take"}
"""The events of viewers that the server answers by itself; what an application registers is its
own affair."""
WATCH = {"devices": ["*", "secret-family/*", SECRET], "health": True, "presence": True}
NOBODYS = f"sk_none_{'x' * 43}"
ASKED: list[tuple[str, Any]] = [
    ("watch", WATCH),
    *(("take", {"device": device}) for device in (OWN, SECRET, "secret-family/none")),
    ("watch", WATCH | {"since": {"epoch": "x", "offset": 1, "scope": "x"}}),
]


class Conversation(NamedTuple):
    """A Socket.IO connection: what sends a packet, and what receives the next one ("": the end)."""

    send: Callable[[str], object]
    receive: Callable[[], str]


@contextmanager
def by_websocket(site: Site, who: str) -> Iterator[Conversation]:
    headers = {"X-Forwarded-For": "192.0.2.7", **site.tokens.get(who, {})}
    address = f"ws://127.0.0.1:{site.port}/socket.io/?EIO=4&transport=websocket"
    with connect(address, additional_headers=headers) as socket:

        def receive() -> str:
            try:
                return str(socket.recv(timeout=20))
            except ConnectionClosed:
                return ""

        yield Conversation(socket.send, receive)


@contextmanager
def by_polling(site: Site, who: str) -> Iterator[Conversation]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    headers = {"X-Forwarded-For": "192.0.2.7", **site.tokens.get(who, {})}
    session, waiting = "", deque[str]()

    def ask(method: str, body: str | None = None) -> str:
        path = f"/socket.io/?EIO=4&transport=polling{session}"
        connection.request(method, path, body, headers)
        return connection.getresponse().read().decode()

    def receive() -> str:
        if not waiting:
            waiting.extend(ask("GET").split("\x1e"))
        packet = waiting.popleft()
        return "" if packet.startswith(("1", "{")) else packet

    opened = ask("GET")
    if opened.startswith("0"):
        session = f"&sid={json.loads(opened[1:])['sid']}"
    waiting.append(opened)
    try:
        yield Conversation(lambda packet: ask("POST", packet), receive)
    finally:
        if session:
            ask("POST", "1")
        connection.close()


def told(site: Site, who: str, talk: Conversation, last: str) -> str:
    """All that a viewer is told: it asks for everything, and stays while devices change."""
    heard = talk.receive()

    def until(*words: str) -> bool:
        nonlocal heard
        while not any(word in heard for word in words):
            packet = talk.receive()
            if not packet:
                return False
            heard += packet
        return True

    talk.send("40")
    if not until('40{"sid"', "44{"):
        return heard
    if "44{" in heard:
        return heard
    for number, asked in enumerate(ASKED):
        talk.send(f"42{number}{json.dumps(asked)}")
        if not until(f"43{number}["):
            return heard
    if may(who, "read", OWN) and until('"complete":true'):
        change(site, last)
        until(last)
    return heard


def change(site: Site, last: str) -> None:
    """What may not be seen changes first: who has the second change would have had the first."""
    site.store.edit(Change(SECRET, "merge", {"mood": "purple-elephant, later"}))
    site.store.edit(Change(HIDDEN, "delete", {}))
    site.store.edit(Change(OWN, "merge", {"mood": last}))


def by_events(site: Site, who: str, last: str) -> str:
    """All that the reader of an event stream is told."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    query = urlencode({"device": WATCH["devices"], "health": 1}, doseq=True)
    headers = {"X-Forwarded-For": "192.0.2.7", **site.tokens.get(who, {})}
    connection.request("GET", f"/events?{query}", headers=headers)
    response = connection.getresponse()
    if response.status != 200:
        assert not may(who, "read", OWN), response.read()
        heard = response.read().decode() + str(response.getheaders())
    else:
        heard = changed = ""
        while last not in heard and (line := response.readline().decode()):
            heard += line
            if '"complete":true' in heard and not changed:
                changed = "yes"
                change(site, last)
    connection.close()
    return heard


TRANSPORTS: dict[str, Callable[[Site, str, str], str]] = {
    "events": by_events,
    "polling": lambda *given: talk_by(by_polling, *given),
    "websocket": lambda *given: talk_by(by_websocket, *given),
}


def talk_by(
    transport: Callable[[Site, str], AbstractContextManager[Conversation]],
    site: Site,
    who: str,
    last: str,
) -> str:
    try:
        with transport(site, who) as talk:
            return told(site, who, talk, last)
    except InvalidStatus as refused:
        return f"{refused.response.status_code} {refused.response.body!r}"


def test_every_event_of_viewers_is_tried(site: Site) -> None:
    own = set(site.server.server.hub._namespaces.own)
    assert own | {"watch", AUTHENTICATE} == EVENTS


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("who", USERS)
def test_viewers_are_told_of_what_they_may_see(site: Site, who: str, transport: str) -> None:
    # given the devices as they were
    site.refresh()
    last = f"last-word-{next(site.changes)}."
    # when a viewer watches everything, and devices change
    heard = TRANSPORTS[transport](site, who, last)
    # then it is told of its own devices, and no word of the others
    assert (last in heard) == ("mood" in heard) == may(who, "read", OWN), heard
    found = [word for word in WORDS if word in heard]
    assert bool(found) == may(who, "read", SECRET), heard
    if who == "anonymous":
        assert "401" in heard or "No one is signed in" in heard, heard


def test_a_viewer_with_a_wrong_key_is_told_nothing(site: Site) -> None:
    with by_websocket(site, "anonymous") as talk:
        talk.send("40" + json.dumps({"token": NOBODYS}))
        heard = talk.receive()
        while "44{" not in heard and (packet := talk.receive()):
            heard += packet
    assert "44{" in heard and not any(word in heard for word in (*WORDS, "mood", NOBODYS))


@pytest.mark.parametrize("who", ["viewer", "operator", "key", "only read"])
@pytest.mark.parametrize(
    ("path", "devices"), [("/?all", ["*"]), (f"/devices/{OWN}", [OWN]), ("/devices/none", ["*"])]
)
def test_a_page_begins_where_its_viewer_goes_on(
    site: Site, who: str, path: str, devices: list[str]
) -> None:
    # given the position in a page
    fields = {"X-Forwarded-For": "192.0.2.7", **site.tokens[who]}
    site.connection.request("GET", path, headers=fields)
    page = site.connection.getresponse().read().decode()
    since = dict(re.findall(r'data-(epoch|offset|scope)="([^"]*)"', page))
    # when its script watches the devices of the page from there
    wanted = {"devices": devices, "since": since | {"offset": int(since["offset"])}}
    with by_websocket(site, who) as talk:
        talk.send("40")
        while "40{" not in talk.receive():
            pass
        talk.send(f"421{json.dumps(['watch', wanted])}")
        while not (answer := talk.receive()).startswith("431"):
            pass
    # then it gets what comes after, and not everything again
    assert json.loads(answer[3:])[0]["reset"] is False
