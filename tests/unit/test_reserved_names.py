"""Names that are addresses of REST below another device: no new device gets one."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from statecast import diagnostics, names
from statecast.decoders.decoder import Decoder
from statecast.errors import Refused
from statecast.flask import create_app, runtime_of
from statecast.model import Change, Delivery
from statecast.runtime import Runtime
from statecast.server.server import BackgroundServer
from statecast.settings import Settings
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.testing.values import START


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pillow/commands", True),
        ("floor2/pillow/history", True),
        ("pillow/viewers", True),
        ("pillow/commands/history", True),
        ("commands", False),
        ("history", False),
        ("viewers", False),
        ("history/pillow", False),
        ("pillow/Commands", False),
        ("pillow/my-commands", False),
        ("pillow/commands/x", False),
    ],
)
def test_which_names_are_reserved(name: str, expected: bool) -> None:
    assert names.is_reserved(name) == expected


def send(store: Store, device: str, **more: object) -> list[str]:
    """Commit a message of a device; the reasons why it went to quarantine."""
    number = store.quarantine_count() + len(store.devices())
    body = json.dumps({"device": device, "state": {"n": number}, **more}).encode()
    delivery = Delivery(f"{device} {number} {more}", body, START)
    return [one.reason for one in store.commit("queue", 1, [Decoder()(delivery)]).set_aside]


def test_a_new_device_gets_no_reserved_name(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("memory:")
    # given a device from before such names were reserved
    with monkeypatch.context() as before:
        before.setattr(names, "RESERVED_ENDINGS", ())
        assert send(store, "floor/history") == []
    # when it sends, then it goes on
    assert send(store, "floor/history") == []
    # but a new one goes to quarantine, with what to do, and its neighbours are applied
    (reason,) = send(store, "pillow/commands")
    assert reason == (
        "“pillow/commands” cannot be the name of a new device: names that end in /commands, "
        "/history, /viewers are addresses of REST; give it another name."
    )
    assert send(store, "pillow") == []
    assert sorted(one.device for one in store.devices()) == ["floor/history", "pillow"]
    # and once it is removed, its name is reserved
    store.edit(Change("floor/history", "delete", {}, by="user"))
    with pytest.raises(Refused, match="cannot be the name of a new device"):
        store.edit(Change("floor/history", "merge", {"n": 1}, by="user"))


def test_doctor_lists_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("memory:")
    with monkeypatch.context() as before:
        before.setattr(names, "RESERVED_ENDINGS", ())
        for device in ("floor/history", "pillow", "lamp/viewers"):
            send(store, device)
    found = list(diagnostics.check_names(Settings(), store.devices()))
    assert sorted((about, verdict) for about, verdict, _ in found) == [
        ("device floor/history", "notice"),
        ("device lamp/viewers", "notice"),
    ]
    sentence = next(said for about, _, said in found if about == "device floor/history")
    assert sentence.startswith("Its name is the address of the history of “floor”")
    assert "send floor/history --delete" in sentence


MANY = tuple(f"room{number}/history" for number in range(7))


@pytest.mark.parametrize(
    ("devices", "line"),
    [
        ((), None),
        (("pillow", "history"), None),
        (("pillow", "floor/history"), "1 device has a name that REST reserves: floor/history;"),
        (
            ("lamp/viewers", "floor/history"),
            "2 devices have names that REST reserves: floor/history, lamp/viewers;",
        ),
        (
            MANY[:5],
            f"5 devices have names that REST reserves: {', '.join(MANY[:5])};",
        ),
        (
            MANY,
            f"7 devices have names that REST reserves: {', '.join(MANY[:5])} and 2 more;",
        ),
        # one that was removed has no name to change
        (("pillow", "-floor/history"), None),
    ],
)
def test_a_server_logs_those_that_there_are(
    devices: tuple[str, ...],
    line: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given a store from before such names were reserved
    settings = Settings(store=f"sqlite:///{tmp_path}/s.db")
    monkeypatch.setattr("statecast.stores.reserved_names.PAGE", 2)
    store = open_store(settings.store)
    with monkeypatch.context() as before:
        before.setattr(names, "RESERVED_ENDINGS", ())
        for device in devices:
            send(store, device.removeprefix("-"))
    for device in devices:
        if device.startswith("-"):
            store.edit(Change(device[1:], "delete", {}, by="user"))
    store.close()
    # when a server opens it
    runtime = Runtime(settings)
    with caplog.at_level(logging.WARNING, logger="statecast"):
        runtime.warn_of_reserved_names()
    runtime.close_store()
    # then its log has one line
    said = [one.getMessage() for one in caplog.records if "reserves" in one.getMessage()]
    assert [one.partition(" they go on")[0] for one in said] == ([line] if line else [])
    assert all(f"statecast doctor --store {settings.store}` says what" in one for one in said)


def test_a_server_logs_them_when_it_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store with such a device
    settings = Settings(store=f"sqlite:///{tmp_path}/s.db", port=0)
    store = open_store(settings.store)
    with monkeypatch.context() as before:
        before.setattr(names, "RESERVED_ENDINGS", ())
        send(store, "floor/history")
    store.close()
    # when a server starts beside an app
    app = create_app(settings)
    with caplog.at_level(logging.WARNING, logger="statecast"):
        server = BackgroundServer(runtime_of(app), app)
        server.start()
        server.stop()
    # then it says so once
    assert len([one for one in caplog.records if "reserves" in one.getMessage()]) == 1
