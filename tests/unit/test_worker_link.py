"""The sockets between workers: their folder, their names, who may connect, what is left of them."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from statecast.realtime.protocol import engineio
from statecast.server import worker_link
from statecast.server.worker_link import (
    WorkerBusy,
    WorkerFolder,
    WorkerGone,
    WorkerLink,
    is_ours,
    new_id,
)


@pytest.fixture
def folder() -> Iterator[WorkerFolder]:
    made = WorkerFolder()
    yield made
    made.close()
    assert not made.path.exists()


@pytest.fixture
def link(folder: WorkerFolder) -> Iterator[WorkerLink]:
    own = folder.add()
    yield own
    own.close()


def test_only_this_user_may_enter_the_folder(folder: WorkerFolder, link: WorkerLink) -> None:
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert (
        len(os.fsencode(link.path.with_suffix(worker_link.CONNECTIONS))) <= worker_link.LONGEST_PATH
    )


def test_a_session_id_keeps_its_randomness(link: WorkerLink) -> None:
    # given many session ids of one worker
    sids = {engineio.new_sid(link.worker_id) for _ in range(1_000)}
    # then each has 22 characters of 6 random bits after the worker's id
    assert len(sids) == 1_000
    assert {sid[:2] for sid in sids} == {link.worker_id}
    assert {len(sid) for sid in sids} == {24}
    for place in range(2, 24):
        assert len({sid[place] for sid in sids}) == 64


def test_ids_of_workers_differ_and_say_nothing() -> None:
    taken: set[str] = set()
    for _ in range(200):
        taken.add(new_id(taken))
    assert len(taken) == 200
    assert len({one[0] for one in taken}) > 20


@pytest.mark.parametrize(
    ("sid", "worker_id"),
    [
        ("zz345678901234567890abcd", "zz"),
        ("zz", "zz"),
        ("0a-_", "0a"),
        ("", None),
        ("z", None),
        ("../../etc/passwd", None),
        ("/x", None),
        ("z.", None),
        ("Zz345", None),
        ("z-345", None),
        ("z_345", None),
        ("é1", None),
        ("z\0", None),
        ("٣٣", None),  # digits, but not ours
    ],
)
def test_only_the_id_of_a_worker_is_a_name(sid: str, worker_id: str | None) -> None:
    with socket.socket() as one:
        link = WorkerLink(Path("/run/statecast/aa"), one, one)
        assert link.elsewhere(sid) == worker_id
        assert link.elsewhere("aa" + sid) is None  # our own


def test_a_worker_that_never_was_is_gone(link: WorkerLink) -> None:
    with pytest.raises(WorkerGone):
        link.connect("zz" if link.worker_id != "zz" else "yy")


def test_a_killed_worker_is_gone_though_its_socket_is_there(
    folder: WorkerFolder, link: WorkerLink
) -> None:
    killed = folder.add()
    killed.requests.close()  # what the system does at kill -9
    killed.connections.close()
    assert len(list(folder.path.iterdir())) == 4
    with pytest.raises(WorkerGone):
        link.connect(killed.worker_id)
    # when its parent notices, then the sockets are removed too
    folder.forget(killed.worker_id)
    assert len(list(folder.path.iterdir())) == 2


def test_a_worker_whose_queue_is_full_is_busy(
    folder: WorkerFolder, link: WorkerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a worker that accepts nothing, and room for one connection
    monkeypatch.setattr(worker_link, "BACKLOG", 0)
    frozen = folder.add()
    waiting = link.connect(frozen.worker_id)
    # then the next is refused at once
    with pytest.raises(WorkerBusy):
        link.connect(frozen.worker_id)
    waiting.close()
    frozen.close()


def test_a_peer_of_our_user_is_ours_and_of_another_is_not(
    folder: WorkerFolder, link: WorkerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with link.connect(link.worker_id), link.requests.accept()[0] as accepted:
        assert is_ours(accepted)
        monkeypatch.setattr(os, "geteuid", lambda: 54_321)
        assert is_ours(accepted) is not hasattr(socket, "SO_PEERCRED")


def test_the_last_worker_removes_the_folder_of_a_killed_parent() -> None:
    folder = WorkerFolder()
    first, second = folder.add(), folder.add()
    first.close()
    assert folder.path.exists()
    second.close()
    assert not folder.path.exists()


@pytest.mark.parametrize(
    ("variables", "used"),
    [
        ({"XDG_RUNTIME_DIR": "short"}, "short"),
        ({"RUNTIME_DIRECTORY": "other", "XDG_RUNTIME_DIR": "short"}, "other"),
        ({"XDG_RUNTIME_DIR": "x" * 90}, None),  # too long for a socket
        ({"XDG_RUNTIME_DIR": "missing"}, None),
    ],
)
def test_the_folder_is_made_where_a_socket_can_be(
    variables: dict[str, str], used: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # pytest's own folder is too long
        for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            if value != "missing":
                (Path(short) / value).mkdir()
            monkeypatch.setenv(name, f"{short}/{value}")
        monkeypatch.setattr(worker_link.tempfile, "gettempdir", lambda: short)
        folder = WorkerFolder()
        assert folder.path.parent == Path(short, used or "")
        folder.close()


def test_without_a_place_for_the_folder_there_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(worker_link.tempfile, "gettempdir", lambda: str(tmp_path / ("x" * 90)))
    with pytest.raises(OSError, match="path would be too long"):
        WorkerFolder()
