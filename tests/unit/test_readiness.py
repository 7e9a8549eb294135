"""Readiness: one question at a time, and never on the loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from statecast.server import readiness
from statecast.server.readiness import Readiness


@pytest.mark.asyncio
async def test_many_who_ask_share_one_question() -> None:
    asked: list[int] = []

    def ready() -> tuple[bool, dict[str, Any]]:
        asked.append(threading.get_ident())
        return True, {}

    one = Readiness(ready)
    answers = await asyncio.gather(*(one.ask() for _ in range(100)))
    assert answers == [(True, {})] * 100
    assert len(asked) == 1
    assert asked != [threading.get_ident()]


@pytest.mark.asyncio
async def test_a_store_that_hangs_is_not_ready_and_is_asked_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "TIMEOUT", 0.05)
    monkeypatch.setattr(readiness, "FRESH", 0.0)
    go = threading.Event()
    asked: list[bool] = []

    def ready() -> tuple[bool, dict[str, Any]]:
        asked.append(True)
        go.wait(20)
        return True, {}

    one = Readiness(ready)
    assert (await one.ask())[0] is False
    assert (await one.ask())[0] is False
    assert len(asked) == 1
    go.set()
    while not (await one.ask())[0]:
        pass


@pytest.mark.asyncio
async def test_only_silence_of_the_store_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog restarts a process whose store hangs; a restart frees no disk that is full."""
    monkeypatch.setattr(readiness, "TIMEOUT", 0.05)
    go = threading.Event()

    def hangs() -> tuple[bool, dict[str, Any]]:
        go.wait(20)
        return True, {}

    assert await Readiness(lambda: (True, {})).answers() is True
    assert await Readiness(lambda: (False, {"store": "full"})).answers() is True
    assert await Readiness(hangs).answers() is False
    go.set()


@pytest.mark.asyncio
async def test_a_question_that_fails_is_a_no_without_details(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ready() -> tuple[bool, dict[str, Any]]:
        raise OSError("/secret/path")

    assert await Readiness(ready).ask() == (
        False,
        {"store": "The store cannot be asked: OSError."},
    )
