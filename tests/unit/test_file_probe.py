"""File systems on which locks or shared memory have no effect are refused by trying them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from statecast.errors import StoreUnusable
from statecast.program.unix import fcntl
from statecast.stores.limits import Limits
from statecast.stores.sqlite import file_check, file_probe
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock

pytestmark = pytest.mark.bare


def without(name: str) -> object:
    """The locks of the system, of which one has no effect."""
    functions = {one: getattr(fcntl, one) for one in ("flock", "lockf", "LOCK_EX", "LOCK_NB")}
    return SimpleNamespace(**functions | {name: lambda *arguments: None})


class ForgetfulMemory(bytearray):
    """Memory that no other process shares."""

    def __init__(self, file: int, size: int) -> None:
        super().__init__(size)

    def __enter__(self) -> ForgetfulMemory:
        return self

    def __exit__(self, *_: object) -> None:
        pass


FAULTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "flock": (
        lambda patch: patch.setattr(file_probe, "fcntl", without("flock")),
        r"a lock \(flock\) of one process does not stop another",
    ),
    "fcntl": (
        lambda patch: patch.setattr(file_probe, "fcntl", without("lockf")),
        r"a lock \(fcntl\) of one process does not stop another",
    ),
    "memory": (
        lambda patch: patch.setattr(file_probe, "mmap", SimpleNamespace(mmap=ForgetfulMemory)),
        r"memory that processes share \(mmap\) differs",
    ),
}


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_check, "file_system", lambda folder: "fuse.cloudy")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_system_that_fails_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unknown: None, fault: str
) -> None:
    # given a file system of an unknown kind, where another process does not see what this one does
    break_it, sentence = FAULTS[fault]
    break_it(monkeypatch)
    # then a new store is refused with the name and the fault, and nothing is left there
    with pytest.raises(StoreUnusable, match=rf"file system \(fuse.cloudy\) where {sentence}"):
        SqliteStore(tmp_path / "store.db", Limits(), VirtualClock())
    assert not list(tmp_path.iterdir())


def test_an_unknown_file_system_that_works_is_used_and_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unknown: None
) -> None:
    tried: list[Path] = []
    sound = file_probe._run_child
    monkeypatch.setattr(file_probe, "_run_child", lambda probe: tried.append(probe) or sound(probe))
    for _ in range(3):
        SqliteStore(tmp_path / "store.db", Limits(), VirtualClock()).close()
    assert len(tried) == 1
    # and a store that was moved to another one is tried again
    monkeypatch.setattr(file_probe, "was_tried", lambda path: False)
    SqliteStore(tmp_path / "store.db", Limits(), VirtualClock()).close()
    assert len(tried) == 2
    assert not list(tmp_path.glob(".*"))


def test_a_known_file_system_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(probe: Path) -> int:
        raise AssertionError

    monkeypatch.setattr(file_probe, "_run_child", fail)
    for number, kind in enumerate(sorted(file_probe.KNOWN_GOOD)):
        monkeypatch.setattr(file_check, "file_system", lambda folder, kind=kind: kind)
        SqliteStore(tmp_path / f"{number}.db", Limits(), VirtualClock()).close()


@pytest.mark.parametrize("executable", ["", "/usr/bin/uwsgi", "/missing/python3"])
def test_where_no_python_can_be_started_nothing_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unknown: None, executable: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    SqliteStore(tmp_path / "store.db", Limits(), VirtualClock()).close()
