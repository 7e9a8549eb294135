"""What Flask answers to whom: nothing about a device that may not be read, by whatever way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import pytest
from werkzeug.test import TestResponse

from statecast.access import secret_tokens
from statecast.access.identity import ANONYMOUS, LOCAL, Identity
from statecast.commands.life import NewCommand
from statecast.flask import create_app, runtime_of
from statecast.model import Change, Delivery, Message, Refusal
from statecast.settings import Settings
from statecast.web.sign_in import form_token

SECRET = "secret-family/pillow"
MARKS = ("secret-family", "purple-elephant")
"""The name of what may not be read, and what it says."""
NOW = 1_769_868_131_000
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}
JSON = "application/json"


class Who(NamedTuple):
    """A kind of user: the record that it rests on."""

    grants: dict[str, str]
    role: str = ""


USERS = {
    "reader": Who({"smith/*": "read"}),
    "family": Who({"smith/*": "read command", "shop": "read"}),
    "writer": Who({"smith/*": "read command write"}),
    "blind": Who({"smith/*": "write send"}),
    "nothing": Who({}),
    "operator": Who({}, "operator"),
}
RESTRICTED = [name for name in USERS if name != "operator"]


class Site:
    """An app with devices of two families, and a user of each kind."""

    def __init__(self, **settings: Any) -> None:
        self.app = create_app(Settings(store="memory:", **settings))
        self.live = runtime_of(self.app)
        self.live.clock = lambda: NOW
        self.store = self.live.store
        for device in ("smith/pillow", SECRET, "shop"):
            says = "purple-elephant" if device == SECRET else "calm"
            for number in range(2):
                self.store.edit(Change(device, "replace", {"mood": says, "n": number}))
            self.store.begin_command(NewCommand(f"id-{device}", device, "hug", by=says))
        bad = b'{"device":"secret-family/pillow","state":"purple-elephant"}'
        refusal = Refusal("purple-elephant is no state", bad, SECRET)
        self.store.commit("queue", 1, [Message(Delivery("q1", bad, 1), refusals=(refusal,))])
        self.cookies = {name: self.signed_in(name, who) for name, who in USERS.items()}

    def signed_in(self, name: str, who: Who) -> str:
        """The cookie of a session."""
        secret = secret_tokens.new_secret()
        user = {"password_set_at": 1, "role": who.role, "grants": who.grants}
        session = {"user": name, "password_set_at": 1, "digest": secret_tokens.digest(secret)}
        self.store.put_access("user", name, user)
        self.store.put_access("session", f"of-{name}", session)
        return secret_tokens.written("session", f"of-{name}", secret)

    def ask(self, who: str, path: str, method: str = "GET", **options: Any) -> TestResponse:
        """A request of another machine, by one of the users; "": by nobody."""
        client = self.app.test_client()
        if who:
            client.set_cookie("statecast_session", self.cookies[who])
        return client.open(
            path, method=method, environ_overrides=ELSEWHERE, buffered=True, **options
        )


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.live.stop()


PATHS = [
    *("/", "/?all", "/?q=purple", "/?q=secret", "/devices/secret-family/pilow", "/pictures"),
    *(f"/devices/{SECRET}", "/devices/smith/pillow", "/devices/secret-family", "/operator"),
    *("/api/devices", "/api/changes", "/api/changes?since=x.1", "/api/commands", "/api/viewers"),
    *("/api/commands?limit=1", "/api/commands?before=99", "/api/openapi.json"),
    *(f"/api/devices/{SECRET}{part}" for part in ("", "/history", "/viewers", "/commands")),
    *("/api/devices/smith/pillow", "/api/devices/shop", f"/api/commands/id-{SECRET}"),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("who", ["", *RESTRICTED])
def test_no_answer_has_what_may_not_be_read(site: Site, who: str, path: str) -> None:
    response = site.ask(who, path)
    shown = response.get_data(as_text=True) + str(response.headers)
    for asked in (path, path.replace("/", "%2F")):  # what one has asked for is no news
        shown = shown.replace(asked, "").replace(asked.removeprefix("/api/devices/"), "")
    shown = shown.replace(SECRET, "") if SECRET in path else shown
    shown = shown.replace("secret-family/pilow", "").replace('value="secret"', "")
    shown = shown.replace("q=secret", "").replace("secret-family\u201d", "")
    shown = shown.replace('data-missing="secret-family"', "").replace("<bdi>secret-family<", "")
    assert "purple-elephant" not in shown
    assert "secret-family" not in shown or path == "/devices/secret-family"


@pytest.mark.parametrize("who", ["reader", "family", "writer", "blind"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/devices/{}", None),
        ("HEAD", "/api/devices/{}", None),
        ("GET", "/api/devices/{}/history", None),
        ("GET", "/api/devices/{}/viewers", None),
        ("GET", "/api/devices/{}/commands", None),
        ("GET", "/api/devices/{}/commands?after=", None),
        ("POST", "/api/devices/{}/commands", {"name": "hug"}),
        ("PUT", "/api/devices/{}", {"n": 1}),
        ("PATCH", "/api/devices/{}", {"n": 1}),
        ("DELETE", "/api/devices/{}", None),
        ("GET", "/devices/{}", None),
        ("GET", "/api/commands/id-{}", None),
    ],
)
def test_what_may_not_be_read_is_as_what_does_not_exist(
    site: Site, who: str, method: str, path: str, body: Any
) -> None:
    def ask(name: str) -> tuple[int, str, dict[str, str]]:
        data = None if body is None else json.dumps(body)
        headers = {"Accept-Encoding": "identity"}
        address = path.format(name)
        one = site.ask(who, address, method, data=data, content_type=JSON, headers=headers)
        text = one.get_data(as_text=True).replace(name, "NAME")
        fields = {name: value for name, value in one.headers.items() if name != "Content-Length"}
        return one.status_code, text, fields

    # given a device that exists and one of a name as long that does not
    there, missing = ask(SECRET), ask("secret-family/billow")
    # then no byte differs but for the name
    assert there == missing
    assert there[0] == 404


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("reader", ["smith/pillow"]),
        ("family", ["shop", "smith/pillow"]),
        ("operator", [SECRET, "shop", "smith/pillow"]),
    ],
)
def test_lists_have_what_may_be_read(site: Site, who: str, expected: list[str]) -> None:
    def devices(path: str, member: str) -> list[str]:
        found = site.ask(who, path).get_json()[member]
        return sorted({one["device"] for one in found})

    assert devices("/api/devices", "devices") == expected
    assert devices("/api/changes", "states") == expected
    assert devices("/api/commands", "commands") == expected
    html = site.ask(who, "/?all").get_data(as_text=True)
    number = "1 device" if len(expected) == 1 else f"{len(expected)} devices"
    assert f"<title>{number}" in html or len(expected) == 1
    assert all(name in html for name in expected)


def test_a_page_of_commands_is_full_although_others_are_between(site: Site) -> None:
    # given commands of two devices, and a reader of the first
    found = site.ask("reader", "/api/commands?limit=1").get_json()
    # then the only readable one is on the first page, and no other page says that there are more
    assert [one["device"] for one in found["commands"]] == ["smith/pillow"]
    assert found["next"] is None


ACTS = [
    # what a user may not do: 403 where the device may be read
    ("reader", "PUT", "/api/devices/smith/pillow", 403),
    ("reader", "PATCH", "/api/devices/smith/pillow", 403),
    ("reader", "DELETE", "/api/devices/smith/pillow", 403),
    ("reader", "POST", "/api/devices/smith/pillow/commands", 403),
    ("reader", "GET", "/api/devices/smith/pillow/commands?after=", 403),
    ("reader", "POST", "/api/messages", 403),
    ("reader", "GET", "/operator", 403),
    ("reader", "POST", "/operator", 403),
    ("family", "PUT", "/api/devices/smith/pillow", 403),
    ("family", "POST", "/api/devices/shop/commands", 403),
    ("family", "POST", "/api/devices/smith/pillow/commands", 201),
    ("writer", "PUT", "/api/devices/smith/pillow", 200),
    ("writer", "PUT", "/api/devices/smith/other", 200),
    ("writer", "PUT", "/api/devices/shop", 404),
    # who may write and not read learns no other field
    ("blind", "PATCH", "/api/devices/smith/pillow", 204),
    ("blind", "GET", "/api/devices/smith/pillow", 404),
    ("blind", "POST", "/api/messages", 202),
    ("blind", "GET", "/api/devices", 403),
    ("nothing", "GET", "/", 403),
    ("nothing", "GET", "/api/changes", 403),
    ("nothing", "GET", "/pictures", 200),
    ("operator", "GET", "/operator", 200),
    ("operator", "PUT", f"/api/devices/{SECRET}", 200),
    # nobody: signing in would help
    ("", "GET", "/api/devices", 401),
    ("", "GET", "/api/devices/smith/pillow", 401),
    ("", "GET", f"/api/devices/{SECRET}", 401),
    ("", "PUT", "/api/devices/smith/pillow", 401),
    ("", "POST", "/api/messages", 401),
    ("", "GET", "/api/openapi.json", 200),
    ("", "GET", "/statecast/page.css", 200),
    ("", "OPTIONS", "/api/devices/smith/pillow", 204),
]


@pytest.mark.parametrize(("who", "method", "path", "status"), ACTS)
def test_what_is_answered_to_whom(who: str, method: str, path: str, status: int) -> None:
    site = Site()
    body: Any = {"n": 7}
    if path.endswith("/commands"):
        body = {"name": "hug"}
    if path == "/api/messages":
        body = {"device": "smith/pillow", "state": {"n": 7}}
    has_body = method in ("PUT", "PATCH", "POST") and path != "/operator"
    data = json.dumps(body) if has_body else None
    response = site.ask(who, path, method, data=data, content_type=JSON if has_body else None)
    assert response.status_code == status, response.get_data(as_text=True)
    if status == 401:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    site.live.stop()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/devices", True),
        ("/api/devices/smith/pillow", True),
        ("/api/devices/nothing", True),
        ("/", True),
        ("/devices/smith/pillow", True),
        ("/devices/nothing", True),
        ("/api/openapi.json", False),
        ("/statecast/page.css", False),
    ],
)
def test_caches_keep_nothing_that_depends_on_who_asks(
    site: Site, path: str, expected: bool
) -> None:
    headers = site.ask("reader", path).headers
    assert (headers["Cache-Control"] == "private, no-store") == expected
    assert ({"Authorization", "Cookie"} <= set(headers.get("Vary", "").split(", "))) == expected


@pytest.mark.parametrize(
    ("bodies", "status"),
    [
        ([{"device": "smith/pillow", "state": {}}], 202),
        ([{"device": "smith/pillow", "state": {}}, {"device": "smith/a", "state": {}}], 202),
        ([{"device": "smith/pillow", "state": {}}, {"device": SECRET, "state": {}}], 403),
        ([{"device": "shop", "state": {}}], 403),
        ([{"device": "smith", "state": {}}], 403),
    ],
)
def test_messages_are_of_the_senders_devices_all_or_none(
    site: Site, bodies: list[dict[str, Any]], status: int
) -> None:
    body = bodies[0] if len(bodies) == 1 else bodies
    waiting = site.store.totals()
    response = site.ask("blind", "/api/messages", "POST", data=json.dumps(body), content_type=JSON)
    assert response.status_code == status
    if status == 403:
        assert "may not send for" in response.get_json()["detail"]
        assert waiting == {
            name: found for name, found in site.store.totals().items() if name != "queue"
        } | {name: found for name, found in waiting.items() if name == "queue"}


@pytest.mark.parametrize(
    ("grants", "by", "status"),
    [
        ({"smith/*": "send"}, "device", 202),
        ({"smith/*": "send"}, "user", 403),
        ({"smith/*": "send write"}, "user", 202),
        ({"smith/*": "send", "shop": "write"}, "user", 403),
    ],
)
def test_only_who_may_write_sends_as_a_person(grants: dict[str, str], by: str, status: int) -> None:
    site = Site()
    site.cookies["sender"] = site.signed_in("sender", Who(grants))
    body = json.dumps({"device": "smith/pillow", "state": {}, "by": by})
    response = site.ask("sender", "/api/messages", "POST", data=body, content_type=JSON)
    assert response.status_code == status
    site.live.stop()


def test_a_key_stands_beside_its_message_in_the_queue() -> None:
    site = Site()
    secret = secret_tokens.new_secret()
    record = {"digest": secret_tokens.digest(secret), "grants": {"smith/*": "send"}}
    site.store.put_access("key", "pillow-1", record)
    bearer = {"Authorization": "Bearer " + secret_tokens.written("key", "pillow-1", secret)}
    one = {"device": "smith/pillow", "state": {"n": 8}}
    # when a device sends one message, and several
    for body, member in ((one, "id"), ([one, one], "ids")):
        data = json.dumps(body)
        response = site.ask(
            "", "/api/messages", "POST", data=data, content_type=JSON, headers=bearer
        )
        assert response.status_code == 202 and member in response.get_json()
    # then each delivery names the key
    queue: Any = site.live.queue
    assert [one.sender for one in queue.receive(10, 0)] == ["key pillow-1"] * 3
    site.live.stop()


def test_one_user_cannot_fill_the_commands_of_a_device() -> None:
    made = Site(max_open_commands=5)
    hug = {"path": "/api/devices/smith/pillow/commands", "method": "POST", "json": {"name": "hug"}}
    # given one open command already, when one user asks more than half of what may be open
    statuses = [made.ask("family", **hug) for _ in range(4)]
    assert [one.status_code for one in statuses] == [201, 201, 201, 429]
    assert "the rest is for others" in statuses[-1].get_json()["detail"]
    # then another one still can, and no answer says who counts as asking
    asked = made.ask("writer", **hug)
    assert asked.status_code == 201
    assert "asker" not in asked.get_json()
    assert [one.asker for one in made.store.commands("smith/pillow")] == [
        "user writer",
        *["user family"] * 3,
        None,
    ]
    made.live.stop()


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (Identity("user", "ada"), "user ada"),
        (Identity("key", "pillow-1"), "key pillow-1"),
        (Identity("share", "s1"), "share s1"),
        (Identity("app"), "app 192.0.2.7"),
        (ANONYMOUS, "anonymous 192.0.2.7"),
        (LOCAL, None),
    ],
)
def test_who_has_no_name_counts_as_an_address(identity: Identity, expected: str | None) -> None:
    assert identity.sender_at("192.0.2.7") == expected


def test_an_edit_says_whose_it_is() -> None:
    site = Site()
    # when a person edits, and commands in the name of another one
    site.ask("writer", "/api/devices/smith/pillow", "PUT", data="{}", content_type=JSON)
    command = site.ask(
        "writer",
        "/api/devices/smith/pillow/commands",
        "POST",
        data='{"name": "hug", "by": "the queen"}',
        content_type=JSON,
    ).get_json()
    site.ask(
        "operator",
        "/operator",
        "POST",
        data={"action": "drop", "number": "1", "token": form_token(site.cookies["operator"])},
        headers={"Origin": "http://localhost"},
    )
    # then command and audit name the one who did it
    found = site.store.get("smith/pillow")
    assert found is not None and found.cause.sender == "user writer"
    assert command["by"] == "writer"
    # but those who may see the device do not see the names of people in its causes
    for path in ("", "/history"):
        shown = site.ask("reader", f"/api/devices/smith/pillow{path}")
        assert shown.status_code == 200 and b"writer" not in shown.data
    rows = [(one.by, one.action, one.target) for one in site.store.audit_rows()]
    assert rows == [
        ("user operator", "drop", "1"),
        ("user writer", "command", "smith/pillow"),
        ("user writer", "edit", "smith/pillow"),
    ]
    site.live.stop()


def test_a_position_of_other_rights_is_reset() -> None:
    site = Site()
    # given a reader with a position
    head = site.ask("reader", "/api/changes").get_json()
    since = f"{head['epoch']}.{head['offset']}.{head['scope']}"
    # when it comes back, by the same rights and then by more
    same = site.ask("reader", f"/api/changes?since={since}").get_json()
    more = site.ask("family", f"/api/changes?since={since}").get_json()
    # then the same go on, and those that are new to it have last changed long before
    assert "reset" not in same and same["states"] == []
    assert more["reset"] and {one["device"] for one in more["states"]} == {"smith/pillow", "shop"}
    # and without a scope nothing says by which rights it was
    bare = site.ask("reader", f"/api/changes?since={head['epoch']}.{head['offset']}").get_json()
    assert bare["reset"]
    site.live.stop()


@pytest.mark.parametrize("name", ["history", "viewers", "commands"])
def test_a_device_with_a_reserved_name_has_rights_of_its_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a device of a name that is an address of another one, which may be read
    site = Site()
    site.cookies["one"] = site.signed_in("one", Who({"attic": "read"}))
    monkeypatch.setattr("statecast.names.is_reserved", lambda name: False)  # from before the rule
    site.store.edit(Change(f"attic/{name}", "replace", {"says": "purple-elephant"}))
    # when a reader of the other one asks
    found, missing = (site.ask("one", f"/api/devices/{of}/{name}") for of in ("attic", "cellar"))
    # then it is as if there were none
    assert (found.status_code, missing.status_code) == (404, 404)
    texts = [one.get_data(as_text=True) for one in (found, missing)]
    assert texts[0].replace("attic", "") == texts[1].replace("cellar", "")
    site.live.stop()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 401),
        ({"public_read": ("smith/*",)}, 200),
        ({"allow_public": True}, 200),
        ({"rights": {"everyone": {"*": "read"}}}, 401),
    ],
)
def test_what_a_stranger_sees(settings: dict[str, Any], expected: int) -> None:
    site = Site(**settings)
    assert site.ask("", "/api/devices").status_code == expected
    assert site.ask("", "/api/devices/smith/pillow").status_code == expected
    # also behind a proxy beside us, which no setting trusts
    passed = site.app.test_client().get("/api/devices", headers={"X-Forwarded-For": "10.0.0.1"})
    assert passed.status_code == expected
    # and this machine does everything
    assert site.app.test_client().get("/operator").status_code == 200
    site.live.stop()


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({"Authorization": "Bearer sk_x_" + "a" * 43}, "invalid_token"),
        ({"Authorization": "Bearer not-a-token"}, "invalid_token"),
        ({"Authorization": "Bearer two words"}, "invalid_token"),
        ({}, 'realm="statecast"'),
        ({"Authorization": "Basic YTpi"}, 'realm="statecast"'),
        ({"Cookie": "statecast_session=gone.secret"}, 'realm="statecast"'),
    ],
)
@pytest.mark.parametrize("path", ["/api/devices", "/api/devices/smith/pillow", "/api/messages"])
def test_a_wrong_token_is_refused_and_nothing_else_said(
    site: Site, path: str, headers: dict[str, str], challenge: str
) -> None:
    method = "POST" if path == "/api/messages" else "GET"
    response = site.ask("", path, method, headers=headers)
    assert response.status_code == 401
    assert challenge in response.headers["WWW-Authenticate"]
    assert not any(mark in response.get_data(as_text=True) for mark in MARKS)


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/", "/"),
        ("/operator", "/operator"),
        ("/?q=a%26b", "/?q=a%26b"),
        (f"/devices/{SECRET}", f"/devices/{SECRET}"),
        ("/devices/nothing", "/devices/nothing"),
    ],
)
@pytest.mark.parametrize("cookie", ["", "statecast_session=gone.secret"])
def test_people_are_led_to_the_page_to_sign_in(
    site: Site, path: str, back: str, cookie: str
) -> None:
    response = site.ask("", path, headers={"Cookie": cookie} if cookie else {})
    address, _, query = response.headers["Location"].partition("?")
    assert (response.status_code, address) == (303, "/statecast/sign-in")
    assert parse_qs(query)["next"] == [back]


def test_where_no_one_can_sign_in_a_page_says_what_is_missing() -> None:
    # given no user in the store
    site = Site()
    for name in USERS:
        site.store.put_access("user", name, None)
    # when another machine asks for a page, by nobody and by a wrong token
    nobody = site.ask("", "/operator")
    wrong = site.ask("", "/operator", headers={"Authorization": "Bearer sk_x_" + "a" * 43})
    # then it is told so, and nothing is on the page that leads there
    for response in (nobody, wrong):
        html = response.get_data(as_text=True)
        assert response.status_code == 401 and 'href="/operator"' not in html
        assert not any(mark in html for mark in MARKS)
    assert "No one is signed in" in nobody.get_data(as_text=True)
    assert "The token is wrong" in wrong.get_data(as_text=True)
    site.live.stop()


@pytest.mark.parametrize(
    ("has_users", "settings", "said"),
    [
        (False, {}, 1),
        (True, {}, 0),
        (False, {"public_read": ("smith/*",)}, 0),
    ],
)
def test_the_log_says_once_that_others_may_do_nothing(
    caplog: pytest.LogCaptureFixture, has_users: bool, settings: dict[str, Any], said: int
) -> None:
    # given a server, of whatever kind, that other machines reach
    site = Site(**settings)
    for name in () if has_users else USERS:
        site.store.put_access("user", name, None)
    # when they ask for what they may not see
    for path in ("/", "/api/devices/shop", "/operator"):
        site.ask("", path)
    # then one line says what to do, if nothing says who may
    lines = [one.getMessage() for one in caplog.records]
    found = [line for line in lines if "Other machines may do nothing here" in line]
    assert len(found) == said and all("STATECAST_ALLOW_PUBLIC" in line for line in found)
    site.live.stop()


def test_a_wrong_token_is_refused_on_this_machine_too(site: Site) -> None:
    headers = {"Authorization": "Bearer sk_x_" + "a" * 43}
    assert site.app.test_client().get("/api/devices", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("who", "offers"),
    [
        ("reader", []),
        ("family", ["command"]),
        ("writer", ["command", "edit"]),
        ("operator", ["command", "edit", "operate"]),
    ],
)
def test_a_page_offers_what_is_allowed_for_its_device(
    site: Site, who: str, offers: list[str]
) -> None:
    html = site.ask(who, "/devices/smith/pillow").get_data(as_text=True)
    found = [
        *(["command"] if "data-forbidden" not in html else []),
        *(["edit"] if 'id="send"' in html or "data-edit" in html else []),
        *(["operate"] if 'href="/operator"' in html else []),
    ]
    assert found == offers


def test_neighbours_are_suggested_by_what_may_be_read() -> None:
    # given more devices of others around a name than a page compares
    site = Site()
    for number in range(120):
        site.store.edit(Change(f"smith-{number:03}/pillow", "replace", {}))
    # when a reader mistypes a name
    html = site.ask("reader", "/devices/smith/pilow").get_data(as_text=True)
    # then its own device is suggested, as if there were no others
    assert ">smith/pillow</a>" in html and "smith-0" not in html and "smith-1" not in html
    assert 'data-devices="1"' in html
    site.live.stop()
