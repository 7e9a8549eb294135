"""What `statecast doctor` finds: each sentence, and whether it is good news."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from statecast import diagnostics, program
from statecast.diagnostics import DiagnosticLine
from statecast.errors import BadSetting, NotFound, StoreUnavailable
from statecast.problems import Problem
from statecast.settings import Settings
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.leases import LeaseHolder
from statecast.stores.limits import Limits
from statecast.testing import change, message, refused
from statecast.timestamps import now

DAY_MS = 24 * 3_600_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{tmp_path / 'store.db'}", Limits(), now)
    yield made
    made.close()


def lines(store: Store | Exception, **settings: Any) -> list[DiagnosticLine]:
    @contextmanager
    def opened(_: Settings) -> Iterator[Store]:
        if isinstance(store, Exception):
            raise store
        yield store

    return list(diagnostics.diagnose(lambda: Settings(**settings), opened))


def of(found: list[DiagnosticLine], about: str) -> list[tuple[str, str]]:
    return [(line.verdict, line.sentence) for line in found if line.about == about]


def test_all_is_well(store: Store) -> None:
    store.commit("queue", 1, [message("1", change("pillow", {"n": 1}))])
    store.announce("p", {"sources": {"queue": health()}, "viewers": 0})
    found = lines(store)
    assert {line.verdict for line in found} == {"good"}
    assert "knows 1 device." in of(found, "store")[0][1]
    assert "1 process serves" in of(found, "store")[1][1]
    assert "receives from it, last at" in of(found, "source embedded:queue")[1][1]


def test_a_source_of_the_running_server_counts_whatever_our_own_settings_say(store: Store) -> None:
    # Given a server with a queue that is away, whose settings are not ours
    sentence = "The queue's service at example cannot be reached."
    away = health(status="away", sentence=sentence)
    store.announce("p", {"sources": {"pillow": away, "queue": health()}, "viewers": 0})
    # Then its queue is wrong, and the one that we know too is told once
    found = lines(store)
    assert of(found, "source pillow") == [
        (
            "wrong",
            f"The running server cannot reach it since 2026-01-01T00:00:00.000Z: {sentence}",
        )
    ]
    assert len(of(found, "source embedded:queue")) == 2 and not of(found, "source queue")


def health(**more: Any) -> Mapping[str, Any]:
    usual = {
        "status": "connected",
        "since": "2026-01-01T00:00:00.000Z",
        "received_at": "2026-01-01T00:00:01.000Z",
    }
    return {**usual, "lag": 0.0, "waiting": 0, "sentence": None, **more}


def test_settings_that_cannot_be_read() -> None:
    def load() -> Settings:
        raise BadSetting("The setting port must be a whole number.")

    found = list(diagnostics.diagnose(load, None))  # type: ignore[arg-type]
    assert found == [
        DiagnosticLine("settings", "wrong", "The setting port must be a whole number.")
    ]


def test_no_store_yet_is_no_fault_a_broken_one_is() -> None:
    assert of(lines(NotFound("There is no store.")), "store") == [("notice", "There is no store.")]
    assert of(lines(StoreUnavailable("The disk is full.")), "store") == [
        ("wrong", "The disk is full.")
    ]


def test_what_had_no_effect_is_said(store: Store) -> None:
    # Given a source with a repetition and a refused message, and one where something came too late
    one = message("1", change("pillow", {"n": 1}))
    store.commit("queue", 1, [one, one, refused("2")])
    store.count_refused("queue")
    store.commit("mqtt", 1, [message("a", change("door", {"n": 1}), sent_at=DAY_MS * 3)])
    store.commit("mqtt", 1, [message("b", change("door", {"n": 2}), sent_at=DAY_MS)])
    found = lines(store)
    # Then each source has a line of its own; what was dropped is a notice
    assert of(found, "source queue") == [
        (
            "good",
            "2 messages of it made 1 version so far; 1 repeated; 1 put into quarantine; "
            "1 refused, and its sender has the reason.",
        )
    ]
    assert of(found, "source mqtt") == [
        ("notice", "2 messages of it made 1 version so far; 1 too late to count.")
    ]


def test_quarantine_and_loneliness_are_noticed(store: Store) -> None:
    store.commit("queue", 1, [refused("1"), refused("2")])
    notices = [sentence for verdict, sentence in of(lines(store), "store") if verdict == "notice"]
    assert "2 messages could not be read" in notices[0]
    assert "No process serves" in notices[1]


def test_a_queue_that_nobody_receives(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.queue("queue").append([b"1"])
    assert of(lines(store), "source embedded:queue") == [("good", "1 message waits in it.")]
    monkeypatch.setattr(diagnostics, "now", lambda: now() + 600_000)
    assert (
        "wrong",
        f"The oldest has waited for 10 min: no process receives them; start "
        f"`{program.name()} run`.",
    ) in of(lines(store), "source embedded:queue")


STALLED = LeaseHolder(4711, 61.0)


@pytest.mark.parametrize(
    ("holder", "report", "told"),
    [
        (None, {}, ["no process receives them; start"]),
        (LeaseHolder(4711, 0.1), {}, ["waited for 10 min.", "Process 4711 holds it and has not"]),
        (STALLED, {}, ["waited for 10 min.", "Process 4711 holds this queue"]),
        # and a process that stands by has reported the same
        (STALLED, {"problems": True}, ["waited for 10 min.", "Process 4711 holds this queue"]),
        (LeaseHolder(4711, 0.1), {"sources": True}, ["waited for 10 min.", "receives from it"]),
    ],
    ids=["nobody", "beginning", "stopped", "stopped and reported", "slow"],
)
def test_an_old_message_is_told_with_what_would_help(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    holder: LeaseHolder | None,
    report: dict[str, bool],
    told: list[str],
) -> None:
    # given a message that has waited, and a process that may receive it
    store.queue("queue").append([b"1"])
    if holder is not None:
        monkeypatch.setattr(store, "holder", lambda source: holder)
    if "sources" in report:
        store.announce("p", {"sources": {"queue": health()}, "viewers": 0})
    if "problems" in report and holder is not None:
        problem = Problem("lease-stalled", "source queue", holder.stalled_sentence(), "wrong", 1)
        store.announce("p", {"viewers": 0, "problems": [dataclasses.asdict(problem)]})
    monkeypatch.setattr(diagnostics, "now", lambda: now() + 600_000)
    # then each fact is told once, and another server is advised only where one is missing
    found = [line for line in lines(store) if line.about.startswith("source")][1:]
    assert len(found) == len(told), found
    for line, words in zip(found, told, strict=True):
        assert words in line.sentence
    assert sum("run`" in one.sentence for one in found) == (holder is None)


def test_a_problem_that_was_just_found_has_no_age(store: Store) -> None:
    store.problems.report("odd", "store", "Something is odd.")
    assert ("wrong", "Something is odd.") in of(lines(store), "store")


def test_what_the_running_server_sees(store: Store) -> None:
    away = health(status="away", sentence="The queue is asleep.")
    store.announce("p", {"sources": {"queue": away}, "viewers": 0})
    found = lines(store)
    assert of(found, "source embedded:queue")[1][0] == "wrong"
    assert "asleep" in of(found, "source embedded:queue")[1][1]
    store.announce("p", {"sources": {"queue": health(requests_per_hour=3600)}, "viewers": 0})
    assert "at a pace of 3600 requests per hour" in of(lines(store), "source embedded:queue")[1][1]


def test_devices_with_wrong_clocks_are_named(store: Store) -> None:
    ahead = {"fast": 420_000, "slow": -7_200_000, "good": -2_000}
    for device, by in ahead.items():
        said = change(device, {"n": 1}, time=now() + by)
        store.commit("queue", 1, [message(device, said, sent_at=now())])
    found = lines(store)
    assert [verdict for verdict, _ in of(found, "device fast")] == ["notice"]
    assert "ahead; its times are cut to those of its queue." in of(found, "device fast")[0][1]
    assert of(found, "device slow") == [
        ("notice", "Its clock is 2 h behind, or its messages take that long to come.")
    ]
    assert of(found, "device good") == []
    # and only some of many, with their number
    for number in range(25):
        said = change(f"d{number}", {"n": 1}, time=now() - 86_400_000)
        store.commit("queue", 1, [message(f"d{number}", said, sent_at=now())])
    found = lines(store)
    assert sum(line.about.startswith("device ") for line in found) == 20
    assert ("notice", "7 more devices have a clock that is wrong.") in of(found, "store")


@pytest.mark.parametrize("source", ["fly:away", "azure-queue:pillow", "embedded:"])
def test_a_source_that_cannot_be_opened(
    store: Store, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT", raising=False)
    found = lines(store, source=(source, "embedded:other"))
    assert [verdict for verdict, _ in of(found, f"source {source}")] == ["wrong"]
    assert of(found, "source embedded:other") == [("good", "0 messages wait in it.")]


@pytest.mark.parametrize(
    ("queues", "verdict", "sentence"),
    [
        ({"pillow": "embedded:commands"}, "good", "1 command waits in it for devices."),
        ({"pillow": "embedded:queue"}, "wrong", "is a source and a command queue"),
        ({"pillow": "nothing:here"}, "wrong", "nothing"),
        ({}, None, ""),
    ],
)
def test_command_queues_are_examined(
    store: Store, queues: dict[str, str], verdict: str | None, sentence: str
) -> None:
    EmbeddedQueue(store, name="commands").send(b"{}")
    found = lines(store, source=("embedded:queue",), command_queues=queues)
    about = [one for one in found if one.about.startswith("command queue")]
    assert [one.verdict for one in about] == ([verdict] if verdict else [])
    assert all(sentence in one.sentence for one in about)


def test_two_of_one_name(store: Store) -> None:
    assert (
        "two sources called 'a'"
        in of(lines(store, source=("embedded:a", "embedded:a")), "source embedded:a")[1][1]
    )


USER = {"password_set_at": 1}


@pytest.mark.parametrize(
    ("settings", "records", "expected"),
    [
        (
            {},
            {},
            [
                "This machine may do everything. Others, without a name, may do nothing.",
                "It knows 0 users, 0 keys, 0 share links, 0 entries in the table of rights.",
            ],
        ),
        (
            {"public_read": ("hall", "smith/*"), "trust_local": False},
            {("user", "ada"): USER | {"role": "operator"}, ("key", "a"): {}, ("share", "b"): {}},
            [
                "This machine may do what others may (trust_local is no). Others, without a name, "
                "may see hall, smith/*.",
                "It knows 1 user (1 operator), 1 key, 1 share link, 0 entries in the table of "
                "rights.",
            ],
        ),
        (
            {"allow_public": True, "rights": {"everyone": {"hall": "read"}}},
            {("user", "ada"): USER | {"role": "viewer"}, ("user", "eve"): USER},
            [
                "This machine may do everything. Others, without a name, may read every state and "
                "ask something of a device.",
                "It knows 2 users (1 viewer, 1 without a role), 0 keys, 0 share links, 1 entry in "
                "the table of rights.",
                "No user is an operator; `{} user role ada operator` makes one.",
            ],
        ),
    ],
)
def test_who_may_what_in_short(
    store: Store, settings: dict[str, Any], records: dict[Any, Any], expected: list[str]
) -> None:
    for (kind, id_), body in records.items():
        store.put_access(kind, id_, body)
    found = [sentence for _, sentence in of(lines(store, **settings), "rights")]
    assert found == [one.replace("{}", program.name()) for one in expected]
