"""Whom a server is open to: what is refused, or told in one sentence each, at its start."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from serving import serving

from statecast.access.grants import Grants
from statecast.errors import BadSetting
from statecast.runtime import Runtime
from statecast.server import exposure
from statecast.server.exposure import warnings
from statecast.settings import Settings

OTHERS = ["0.0.0.0", "::", "", "192.0.2.1", "pillow.example", "localhost.evil.example"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "LOCALHOST"])
def test_loopback_needs_nothing(host: str) -> None:
    runtime = Runtime(Settings(host=host, store="memory:"))
    exposure.refuse_unready(runtime)
    assert not runtime.store_opened


@pytest.mark.parametrize("host", OTHERS)
def test_a_server_for_others_needs_to_know_what_they_may(host: str, tmp_path: Path) -> None:
    # given a server that other machines would reach, and nothing that says what they may do
    store = f"sqlite:///{tmp_path / 'a.db'}"
    runtime = Runtime(Settings(host=host, store=store))
    with pytest.raises(BadSetting) as refused:
        exposure.refuse_unready(runtime)
    # then the sentence has the three ways, complete with the store
    said = str(refused.value)
    assert f"statecast user add ada --role operator --store {store}`" in said
    assert f"statecast key create pillow-1 --send pillow --store {store}`" in said
    assert "--allow-public" in said and "may read every state and ask something" in said
    assert not runtime.store_opened


def add_user(runtime: Runtime) -> None:
    runtime.rights.users.add("ada", "correct horse battery", role="operator", by="machine")


def add_key(runtime: Runtime) -> None:
    runtime.rights.keys.create("pillow-1", Grants.of({"pillow": "send"}), by="machine")


def add_and_revoke_key(runtime: Runtime) -> None:
    add_key(runtime)
    runtime.rights.keys.revoke("pillow-1", by="machine")


READY: dict[str, tuple[dict[str, Any], Callable[[Runtime], Any], bool]] = {
    "allow_public": ({"allow_public": True}, lambda runtime: None, True),
    "public_read": ({"public_read": ("hall",)}, lambda runtime: None, True),
    "table": ({"rights": {"everyone": {"*": "read"}}}, lambda runtime: None, True),
    "user": ({}, add_user, True),
    "key": ({}, add_key, True),
    "share": ({}, lambda runtime: runtime.rights.shares.create("hall", 60, by="machine"), True),
    "application": (
        {},
        lambda runtime: runtime.rights.authorize_by(lambda asked: None, lambda head, address: None),
        True,
    ),
    "proxy": (
        {"trusted_proxy": "10.0.0.1", "proxy_user_header": "X-User"},
        lambda runtime: None,
        True,
    ),
    "a revoked key": ({}, add_and_revoke_key, False),
    "an empty table": ({"rights": {}}, lambda runtime: None, False),
    "others_may alone": ({"others_may": ("write",)}, lambda runtime: None, False),
}


@pytest.mark.parametrize(("settings", "prepare", "ready"), READY.values(), ids=READY)
def test_what_makes_a_server_ready_for_others(
    settings: dict[str, Any], prepare: Callable[[Runtime], Any], ready: bool
) -> None:
    runtime = Runtime(Settings(host="0.0.0.0", store="memory:", **settings))
    runtime.store
    prepare(runtime)
    with nullcontext() if ready else pytest.raises(BadSetting, match="--allow-public"):
        exposure.refuse_unready(runtime)
    runtime.stop()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, []),
        ({"trusted_proxy": "0.0.0.0/0"}, ["trusted_proxy 0.0.0.0/0 believes"]),
        ({"trusted_proxy": "::/0"}, ["trusted_proxy ::/0 believes"]),
        (
            {"trusted_proxy": "0.0.0.0/1,128.0.0.0/1,10.0.0.1"},
            ["trusted_proxy 0.0.0.0/1, 128.0.0.0/1 believes"],
        ),
        ({"trusted_proxy": "10.0.0.0/8,192.168.0.1,fd00::/16"}, []),
        (
            {"trusted_proxy": "0.0.0.0/0", "proxy_user_header": "X-User"},
            ["trusted_proxy 0.0.0.0/0 believes", "With trusted_proxy 0.0.0.0/0 each client"],
        ),
        ({"trusted_proxy": "10.0.0.1", "proxy_user_header": "X-User"}, []),
        ({"allow_hosts": "*"}, ["allow_hosts * answers"]),
        ({"allow_hosts": "pillow.example"}, []),
        ({"allow_origins": "*"}, ["allow_origins * lets"]),
        ({"allow_origins": "https://app.example"}, []),
        (
            {"allow_origins": "*", "allow_hosts": "a.example,*", "trusted_proxy": "0.0.0.0/0"},
            ["trusted_proxy", "allow_hosts", "allow_origins"],
        ),
    ],
)
def test_open_doors_are_told(settings: dict[str, Any], told: list[str]) -> None:
    found = list(warnings(Settings(**settings)))
    assert len(found) == len(told)
    for sentence, start in zip(found, told, strict=True):
        assert sentence.startswith(start) and sentence.endswith(".")


def test_a_server_beside_another_one_tells_them_too(caplog: pytest.LogCaptureFixture) -> None:
    """As under ``flask run``, where it is not ``serve`` that starts it."""
    with serving(allow_origins=["*"]):
        found = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert [one[:22] for one in found] == ["allow_origins * lets t"]
