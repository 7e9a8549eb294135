"""Which requests are of this machine, and what the others may do."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import EnvironBuilder

from statecast.access.actions import Action
from statecast.access.identity import ANONYMOUS, LOCAL
from statecast.access.policy import AccessPolicy, Rules, deeds_of
from statecast.errors import BadSetting
from statecast.http import locality
from statecast.http.head import by_name
from statecast.settings import Settings
from tests.fakes.fake_access import NoRecords

ALL = ("command", "send", "write", "operate")


@pytest.mark.parametrize(
    ("others_may", "action", "expected"),
    [
        ((), Action.READ, True),
        ((), Action.COMMAND, False),
        (("command",), Action.COMMAND, True),
        (("command",), Action.SEND, False),
        (("command",), Action.WRITE, False),
        (("command",), Action.OPERATE, False),
        (("send",), Action.SEND, True),
        (("send",), Action.COMMAND, False),
        (("write",), Action.WRITE, True),
        (("write",), Action.OPERATE, False),
        (("operate",), Action.OPERATE, True),
        (("operate",), Action.WRITE, False),
    ],
)
def test_what_others_may(others_may: tuple[str, ...], action: Action, expected: bool) -> None:
    policy = policy_of(others_may)
    assert policy.allow(ANONYMOUS, action) == expected
    assert policy.allow(LOCAL, action), "this machine may do everything"


def policy_of(others_may: tuple[str, ...]) -> AccessPolicy:
    """Of a server that is open to everyone."""
    rules = Rules(allow_public=True, others_may=others_may)
    return AccessPolicy(rules, lambda: NoRecords(), lambda: 0)


def test_by_default_others_read_and_give_commands() -> None:
    policy = policy_of(Settings().others_may)
    allowed = [one for one in Action if policy.allow(ANONYMOUS, one)]
    assert allowed == [Action.READ, Action.COMMAND]


def test_the_setting_names_every_action_but_reading() -> None:
    assert Settings(others_may=ALL).others_may == tuple(Action)[1:]
    for wrong in (("read",), ("everything",), ("Command",)):
        with pytest.raises(BadSetting, match="others_may must hold some of command, send, write"):
            Settings(others_may=wrong)


@pytest.mark.parametrize(
    ("action", "others_may", "deed", "flag"),
    [
        (Action.COMMAND, (), "ask something of a device", "command"),
        (Action.SEND, ("command",), "send messages for devices", "command,send"),
        (Action.WRITE, ("operate", "command"), "set and remove states", "command,write,operate"),
        (Action.OPERATE, (), "see the operator's page", "operate"),
    ],
)
def test_the_sentence_says_what_to_do(
    action: Action, others_may: tuple[str, ...], deed: str, flag: str
) -> None:
    sentence = policy_of(others_may).refusal(ANONYMOUS, action)
    assert deed in sentence and sentence.endswith(f" --others-may {flag}.")
    assert policy_of(Settings(others_may=flag).others_may).allow(ANONYMOUS, action)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("others_may", "expected"),
    [
        ((), "may read every state"),
        (("command",), "may read every state and ask something of a device"),
        (
            ("write", "command"),
            "may read every state, ask something of a device and set and remove states",
        ),
    ],
)
def test_what_others_may_as_a_sentence(others_may: tuple[str, ...], expected: str) -> None:
    assert deeds_of(others_may) == expected


# Which requests are of this machine. Each case: the peer, the header fields, whether the peer is a
# trusted proxy, the answer.
HOST = {"host": "localhost:8000"}
HEADS: dict[str, tuple[str, dict[str, str], bool, bool]] = {
    "this machine": ("127.0.0.1", HOST, False, True),
    "another loopback address": ("127.8.9.1", HOST, False, True),
    "IPv6": ("::1", {"host": "[::1]:8000"}, False, True),
    "IPv4 in IPv6": ("::ffff:127.0.0.1", HOST, False, True),
    "a socket in the file system": ("local", HOST, False, True),
    "a Host with a final dot": ("127.0.0.1", {"host": "LOCALHOST.:8000"}, False, True),
    # Another machine, whatever it says
    "another machine": ("192.0.2.7", HOST, False, False),
    "another machine in IPv6": ("2001:db8::7", HOST, False, False),
    "another machine, IPv4 in IPv6": ("::ffff:192.0.2.7", HOST, False, False),
    "a link-local neighbour": ("fe80::7%eth0", HOST, False, False),
    "one that forges a field": (
        "192.0.2.7",
        {"x-forwarded-for": "127.0.0.1", **HOST},
        False,
        False,
    ),
    "a trusted proxy on another machine": (
        *("10.0.0.5", {"x-forwarded-for": "127.0.0.1", **HOST}, True, False),
    ),
    "the trusted proxy itself, on another machine": ("10.0.0.5", HOST, True, False),
    # Other names
    "the machine's address in its network": ("127.0.0.1", {"host": "192.0.2.1"}, False, False),
    "the machine's own name": ("127.0.0.1", {"host": "raspberrypi"}, False, False),
    "a name that looks like it": ("127.0.0.1", {"host": "localhost.evil.example"}, False, False),
    "every address": ("127.0.0.1", {"host": "0.0.0.0:8000"}, False, False),
    "every address in IPv6": ("::1", {"host": "[::]:8000"}, False, False),
    "no name": ("127.0.0.1", {}, False, False),
    "no valid name": ("127.0.0.1", {"host": "127.0.0.1@evil"}, False, False),
    # A proxy or a tunnel beside us that no setting names
    **{
        f"passed on, as {field.decode()} says": (
            *("127.0.0.1", {field.decode(): "127.0.0.1", **HOST}, False, False),
        )
        for field in sorted(locality.PROXY_FIELDS)
    },
    # A proxy beside us that a setting names
    "through the proxy, from here": (
        *("127.0.0.1", {"x-forwarded-for": "127.0.0.1", **HOST}, True, True),
    ),
    "through it in IPv6": ("::1", {"x-forwarded-for": "[::1]:4711", **HOST}, True, True),
    "past the proxy": ("127.0.0.1", HOST, True, True),
    "through it from another machine": (
        *("127.0.0.1", {"x-forwarded-for": "192.0.2.7", **HOST}, True, False),
    ),
    "with an entry of the client's own": (
        *("127.0.0.1", {"x-forwarded-for": "127.0.0.1, 192.0.2.7", **HOST}, True, False),
    ),
    "with another client before the local one": (
        *("127.0.0.1", {"x-forwarded-for": "192.0.2.7, 127.0.0.1", **HOST}, True, False),
    ),
    "with an entry that is no address": (
        *("127.0.0.1", {"x-forwarded-for": "unknown, 127.0.0.1", **HOST}, True, False),
    ),
    "of an unknown client": ("127.0.0.1", {"x-forwarded-for": "unknown", **HOST}, True, False),
    "of nobody": ("127.0.0.1", {"x-forwarded-for": "", **HOST}, True, False),
    "by a proxy that names no client": ("127.0.0.1", {"via": "1.1 squid", **HOST}, True, False),
}


OURS_ALONE = ("a socket in the file system", "past the proxy")
"""Another server than ours is asked through a proxy there."""


@pytest.mark.parametrize("name", HEADS)
def test_which_requests_are_of_this_machine(name: str) -> None:
    peer, fields, trusted, expected = HEADS[name]
    headers = by_name([(key.encode(), value.encode()) for key, value in fields.items()])
    assert locality.is_local_head(peer, headers, trusted=trusted) == expected


def test_two_hosts_are_none() -> None:
    assert not locality.is_local_head(
        "127.0.0.1", {b"host": (b"localhost", b"localhost")}, trusted=False
    )


@pytest.mark.parametrize("name", [name for name in HEADS if name not in OURS_ALONE])
def test_another_server_gives_the_same_answer(name: str) -> None:
    """Under another server ``ProxyFix`` is what trusts a proxy, whichever address that has."""
    peer, fields, trusted, expected = HEADS[name]
    environ = EnvironBuilder("/", headers=fields).get_environ()
    environ["REMOTE_ADDR"] = peer
    if "host" not in fields:
        del environ["HTTP_HOST"]
    found: list[bool] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        found.append(locality.is_local_environ(environ))
        return []

    (ProxyFix(app) if trusted else app)(environ, lambda *start: None)
    assert found == [expected]


@pytest.mark.parametrize("address", [None, ""])
def test_a_server_without_an_address_is_behind_a_proxy(address: str | None) -> None:
    environ = EnvironBuilder("/", base_url="http://localhost").get_environ()
    assert locality.is_local_environ({**environ, "REMOTE_ADDR": "127.0.0.1"})
    assert not locality.is_local_environ({**environ, "REMOTE_ADDR": address})


def test_what_our_server_found_counts() -> None:
    environ = EnvironBuilder("/", base_url="http://localhost").get_environ()
    environ["REMOTE_ADDR"] = "127.0.0.1"
    assert not locality.is_local_environ({**environ, locality.EXTENSION: False})
    assert locality.is_local_environ(
        {**environ, "REMOTE_ADDR": "192.0.2.7", locality.EXTENSION: True}
    )


def test_a_scope_that_says_nothing_is_not_of_this_machine() -> None:
    assert not locality.is_local({"type": "http", "client": ("127.0.0.1", 1)})
