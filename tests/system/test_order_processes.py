"""Events of one of two serving processes: each viewer of both has exactly what is sent to it, in
the order of the calls, also while the second process starts. tests/unit/test_event_programs.py has
the many.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from raw_socket import OnWebSocket
from server_process import ServerProcess

from tests.fakes.event_program import ROOMS, VIEWERS, Model, Step

APP = """
import itertools
import threading
from flask import Flask
from statecast import Statecast

app = Flask(__name__)
live = Statecast(app)
numbers, in_turn = itertools.count(1), threading.Lock()

@live.on("tick")
def tick(sid):
    with in_turn:
        number = next(numbers)
        live.emit("number", number)
    return number

@live.on("who")
def who(sid):
    return sid

@live.on("go")
def go(sid, steps):
    for call, arguments, options in steps:
        data = [b"%d" % options.pop("bytes")] if "bytes" in options else []
        if "asks" in options:
            options["callback"] = lambda *answer, asked=options.pop("asks"): None
        getattr(live, call)(*arguments, *data, **options)
    return "end"
"""
PROGRAMS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("order")
    (folder / "running.py").write_text(APP)
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(folder, "running:app", "--port", "0")
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="module")
def first(folder: Path) -> Iterator[ServerProcess]:
    with serving(folder) as process:
        yield process


def random_program(numbers: random.Random) -> list[Step]:
    def step() -> Step:
        to = numbers.sample([*VIEWERS, *ROOMS], numbers.randrange(4))
        viewer, room = numbers.choice(VIEWERS), numbers.choice(ROOMS)
        return numbers.choice(
            [
                *(("emit", to), ("bytes", to), ("skip", viewer), ("ask", VIEWERS[0])),
                *[("enter", viewer, room)] * 3,
                *(("leave", viewer, room), ("close_room", room), ("disconnect", viewer)),
            ]
        )

    return [step() for _ in range(16)]


def calls(program: list[Step], sids: dict[str, str]) -> list[tuple[str, list[Any], dict[str, Any]]]:
    """The program as calls of ``live``: name, arguments, options."""
    found: list[tuple[str, list[Any], dict[str, Any]]] = []
    for number, (kind, *arguments) in enumerate(program):
        event = f"e{number}"
        if kind in ("emit", "bytes"):
            to = [sids.get(name, name) for name in arguments[0]]
            more = {"bytes": number} if kind == "bytes" else {}
            found.append(("emit", [event], {"to": to or None, **more}))
        elif kind == "skip":
            found.append(("emit", [event], {"skip": sids[arguments[0]]}))
        elif kind == "ask":
            found.append(("emit", [event], {"to": sids[arguments[0]], "asks": True}))
        else:
            found.append((kind, [sids.get(name, name) for name in arguments], {}))
    return found


def view(viewer: OnWebSocket, last: str) -> list[Any]:
    """What a viewer receives up to its last message, or its disconnect."""
    found: list[Any] = []
    while not found or found[-1] not in (last, "41"):
        said = viewer.hear()
        if said == b"2":
            viewer.say("3")
            continue
        text = re.sub(r"^42\d+\[", "42[", said.decode())
        found.append(text if text[:1] == "4" else said)
    return found


def test_a_process_that_starts_later_has_all_from_its_first_viewer_on(
    folder: Path, first: ServerProcess
) -> None:
    # given a process that is the only one, and emits numbers without a pause
    driver, enough = OnWebSocket(first.address), threading.Event()

    def emit() -> None:
        while not enough.is_set():
            driver.ask("tick")

    emitting = threading.Thread(target=emit)
    emitting.start()
    try:
        # when another one starts, and a viewer joins there
        with serving(folder) as later:
            viewer, other = OnWebSocket(later.address), OnWebSocket(first.address)
            since, *_, until = [other.ask("tick") for _ in range(20)]
            enough.set()
            emitting.join()
            told = view(viewer, f'42["number",{until}]')
    finally:
        enough.set()
        emitting.join()

    # then it has every number that is emitted from then on, in order
    numbers = [json.loads(one[2:])[1] for one in told]
    assert numbers == list(range(numbers[0], until + 1))
    assert numbers[0] <= since
    for one in (driver, viewer, other):
        one.socket.close()


@pytest.fixture(scope="module")
def second(folder: Path, first: ServerProcess) -> Iterator[ServerProcess]:
    with serving(folder) as process:
        yield process


def test_programs_in_real_processes(first: ServerProcess, second: ServerProcess) -> None:
    numbers = random.Random(7)
    for _ in range(PROGRAMS):
        # given two viewers in each process, and one that starts a program in the first
        here, there = first.address, second.address
        viewers = {name: OnWebSocket(here if "here" in name else there) for name in VIEWERS}
        driver = OnWebSocket(here)
        sids = {name: viewer.ask("who") for name, viewer in viewers.items()}

        # when it runs, and a last event goes to all
        program = random_program(numbers)
        steps = [*calls(program, sids), ("emit", ["last"], {})]
        driver.say('429["go",' + json.dumps(steps) + "]")

        # then each has exactly what it was there for
        expected = Model().run(program)
        for name, viewer in viewers.items():
            told = expected[name] if "41" in expected[name] else [*expected[name], '42["last"]']
            assert view(viewer, '42["last"]') == told, program
        *mine, end = expected["driver"]
        assert view(driver, end) == [*mine, '42["last"]', end]
        for viewer in (*viewers.values(), driver):
            viewer.socket.close()
