"""Health looks at the work, with real processes: what is frozen, full or stopped is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import ScriptProcess, ServerProcess, statecast

from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.stores import holder_watch, leases
from waiting import wait_for

Answer = tuple[int, dict[str, Any]]


def ask(server: ServerProcess, path: str) -> Answer:
    try:
        with urllib.request.urlopen(server.address + path, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def kinds(server: ServerProcess) -> set[tuple[str, str]]:
    """The problems that make ``/readyz`` red, and nothing if it is green."""
    status, body = ask(server, "/readyz")
    found = {(one["kind"], one["subject"]) for one in body.get("problems", ())}
    assert (status == 503) == bool(found), body
    return found


def doctor(folder: Path, *arguments: str) -> str:
    """What it says. Its exit status is 1 if something is wrong."""
    found = statecast(folder, "doctor", *arguments)
    assert (found.returncode == 1) == ("WRONG" in found.stdout), found.stdout + found.stderr
    return found.stdout


def health_event(server: ServerProcess) -> dict[str, Any]:
    """The first ``health`` event of a stream."""
    with urllib.request.urlopen(f"{server.address}/events?health=1", timeout=20) as stream:
        for line in stream:
            if line.startswith(b"event: health"):
                data: dict[str, Any] = json.loads(next(stream).removeprefix(b"data: "))
                return data
    raise AssertionError("the stream ended without a health event")


@pytest.fixture
def servers() -> Iterator[Callable[..., ServerProcess]]:
    started: list[ServerProcess] = []

    def start(folder: Path, *arguments: str, **variables: str) -> ServerProcess:
        started.append(ServerProcess(folder, *arguments, "--port", "0", **variables))
        return started[-1]

    yield start
    for server in started:
        server.kill()


def test_a_frozen_queue_service_is_named_and_so_is_its_return(
    tmp_path: Path, servers: Callable[..., ServerProcess]
) -> None:
    azure = ScriptProcess("fake_azure_process.py")
    assert azure.process.stdout is not None
    connection = azure.process.stdout.readline().strip()
    try:
        server = servers(
            *(tmp_path, "--source", "azure-queue:pillow"),
            AZURE_STORAGE_CONNECTION_STRING=connection,
        )
        wait_for(lambda: ask(server, "/readyz")[0] == 200)
        # given a service that is stopped: its connections stay open, and answer nothing
        azure.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: kinds(server) == {("source-away", "source pillow")})
        # then everything that shows health says so, and the pages stay served
        assert ask(server, "/readyz?only=store")[0] == 200
        event = health_event(server)
        source = event["sources"]["pillow"]
        assert source["status"] == "away" and "does not answer" in source["sentence"]
        assert [one["kind"] for one in event["problems"]] == ["source-away"]
        wait_for(lambda: "WRONG  source pillow: " in doctor(tmp_path))
        # and when it goes on, all is well
        azure.process.send_signal(signal.SIGCONT)
        wait_for(lambda: kinds(server) == set())
        assert azure.ask('{"device": "pillow", "state": {"mood": "happy"}}') == "put"
        wait_for(lambda: ask(server, "/api/devices")[1]["devices"] != [])
    finally:
        azure.process.send_signal(signal.SIGCONT)
        azure.end()


def test_a_stopped_holder_of_the_lease_is_named_until_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "STALLED_AFTER", 1.0)
    monkeypatch.setattr(holder_watch, "INTERVAL", 0.02)
    path = tmp_path / "statecast.db"
    holder = ScriptProcess("lease_holder.py", path)
    assert holder.process.stdout is not None and holder.process.stdout.readline() == "held\n"
    runtime = Runtime(Settings(store=f"sqlite:///{path}"))
    try:
        runtime.start()
        wait_for(lambda: runtime.report()["sources"]["queue"]["status"] == "standby")
        assert runtime.ready()[0]
        # given a process that holds the lease and is stopped
        holder.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: not runtime.ready()[0])
        [problem] = runtime.ready()[1]["problems"]
        assert (problem["kind"], problem["subject"]) == ("lease-stalled", "source queue")
        assert f"Process {holder.process.pid} holds this queue" in problem["sentence"]
        # when it goes on, then it is no problem
        holder.process.send_signal(signal.SIGCONT)
        wait_for(lambda: runtime.ready()[0])
        # and when it is stopped and killed, this process receives
        holder.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: not runtime.ready()[0])
        holder.end()
        wait_for(lambda: runtime.report()["sources"]["queue"]["status"] == "connected")
        assert runtime.ready()[0]
    finally:
        holder.end()
        runtime.stop()


def test_a_server_that_was_stopped_is_not_shown_as_serving(
    tmp_path: Path, servers: Callable[..., ServerProcess]
) -> None:
    server = servers(tmp_path)
    wait_for(lambda: "1 process serves" in doctor(tmp_path))
    assert server.terminate() == 143
    found = doctor(tmp_path)
    assert "No process serves from it just now" in found
    assert "receives from it" not in found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root rights, to mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_does_not_fill_its_log(
    tmp_path: Path, small_disk: Path, servers: Callable[..., ServerProcess]
) -> None:
    store = f"sqlite:///{small_disk / 'statecast.db'}"
    server = servers(tmp_path, "--store", store)
    message = {"device": "pillow", "state": {"mood": "happy"}}
    assert post(server, message) == 202
    wait_for(lambda: kinds(server) == set())
    # given a disk without space
    filling = small_disk / "filling"
    fill(filling)
    wait_for(lambda: post(server, {**message, "state": {"text": "x" * 60_000}}) == 503)
    wait_for(lambda: ("disk-full", "store") in kinds(server))
    # then the disk is named, and not the queue
    assert kinds(server) == {("disk-full", "store")}
    # and viewers learn it with the next beat
    wait_for(lambda: [one["kind"] for one in health_event(server)["problems"]] == ["disk-full"])
    event = health_event(server)
    assert event["sources"]["queue"]["status"] != "away"
    assert str(small_disk) not in json.dumps(event)
    assert "WRONG  store: It cannot be written: The disk" in doctor(tmp_path, "--store", store)
    # and many refused requests write few lines
    for _ in range(200):
        post(server, {**message, "state": {"text": "x" * 60_000}})
    # and when there is space, all is well without a restart
    filling.unlink()
    wait_for(lambda: kinds(server) == set())
    assert post(server, {**message, "state": {"mood": "calm"}}) == 202
    wait_for(lambda: ask(server, "/api/devices/pillow")[1].get("state") == {"mood": "calm"})
    server.terminate()
    lines = "".join(server.output).splitlines()
    assert len(lines) < 60, "\n".join(lines[-70:])
    assert any("disk" in line for line in lines)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def post(server: ServerProcess, message: dict[str, Any]) -> int:
    request = urllib.request.Request(
        f"{server.address}/api/messages",
        json.dumps(message).encode(),
        {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
