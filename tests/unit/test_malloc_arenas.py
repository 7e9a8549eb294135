"""How many arenas the C library's allocator may have."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from statecast.server import malloc_arenas
from statecast.server.malloc_arenas import ARENAS, MAX_ARENAS, VARIABLES, limit_arenas


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The settings that were made, on a Linux where the environment says nothing."""
    found: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda name, value: found.append((name, value)))
    monkeypatch.setattr(malloc_arenas.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return found


def test_the_threads_of_a_server_share_few_arenas(made: list[tuple[int, int]]) -> None:
    limit_arenas()
    assert made == [(MAX_ARENAS, ARENAS)]


def test_other_tunables_do_not_matter(
    made: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")
    limit_arenas()
    assert made == [(MAX_ARENAS, ARENAS)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_ARENA_MAX", "8"), ("GLIBC_TUNABLES", "glibc.malloc.arena_max=8")],
)
def test_what_a_person_has_set_stays(
    made: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    limit_arenas()
    assert made == []


def test_other_systems_are_left_alone(
    made: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a system that is not Linux
    monkeypatch.setattr(sys, "platform", "darwin")
    limit_arenas()
    # or another C library, which lacks the setting, then nothing is set and nothing fails
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(malloc_arenas.ctypes, "CDLL", lambda name: SimpleNamespace())
    limit_arenas()
    assert made == []
