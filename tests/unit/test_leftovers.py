"""What a test leaves behind is found, and named; what was there before is not."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import leftovers
from leftovers import Folders, Leftovers

SLEEP = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leftovers:
    monkeypatch.setattr(leftovers, "GRACE", 0.05)
    (tmp_path / "clone").mkdir()
    (tmp_path / "temporary").mkdir()
    return Leftovers(Folders(tmp_path / "clone", tmp_path / "temporary"))


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP, stdin=subprocess.PIPE) as running:
        yield running


def test_nothing(before: Leftovers) -> None:
    assert before.found() == []


def test_a_process(before: Leftovers) -> None:
    running = subprocess.Popen(SLEEP, stdin=subprocess.PIPE)
    with running:
        (process, *_) = before.found()
        assert process.startswith(f"the process {running.pid}: ") and "sys.stdin.read()" in process
        assert running.poll() is not None, "it is ended, so that it spoils no other test"


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: it gives orphans a new parent")
def test_a_process_whose_parent_has_ended(before: Leftovers) -> None:
    sleeping = "import time; time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleeping!r}])"
    subprocess.run([sys.executable, "-c", parent], check=True)
    (orphan,) = before.found()
    assert sleeping in orphan


def test_a_process_that_was_there_before(
    process: subprocess.Popen[bytes], before: Leftovers
) -> None:
    assert before.found() == []


def test_a_thread(before: Leftovers) -> None:
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait, name="forgotten", daemon=True)
    thread.start()
    assert before.found() == ["the thread forgotten"]
    gate.set()
    thread.join()
    assert before.found() == []


def test_an_open_file(before: Leftovers, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere"
    with path.open("w"):
        assert before.found() == [f"the open file {path}"]


@pytest.mark.parametrize("folder", ["clone", "clone/deep", "temporary"])
def test_a_file(before: Leftovers, tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "forgotten"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert before.found() == [f"the file {path}"]


def test_what_tools_make_is_no_file_of_a_test(before: Leftovers, tmp_path: Path) -> None:
    (tmp_path / "clone" / "__pycache__").mkdir()
    (tmp_path / "clone" / "__pycache__" / "x.pyc").touch()
    assert before.found() == []
