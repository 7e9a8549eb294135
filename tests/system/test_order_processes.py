"""Random programs of events in one of two serving processes: each viewer of both has exactly what
the program sends to it, in the order of the calls. tests/unit/test_event_programs.py has the many.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from raw_socket import OnWebSocket
from server_process import ServerProcess

from tests.fakes.event_program import ROOMS, VIEWERS, Model, Step

APP = """
from flask import Flask
from statecast import Statecast

app = Flask(__name__)
live = Statecast(app)

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
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServerProcess]]:
    folder = tmp_path_factory.mktemp("order")
    (folder / "running.py").write_text(APP)
    started: list[ServerProcess] = []
    try:
        for _ in range(2):
            started.append(ServerProcess(folder, "running:app", "--port", "0"))
        yield started
    finally:
        for one in started:
            one.kill()


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


def test_programs_in_real_processes(both: list[ServerProcess]) -> None:
    numbers = random.Random(7)
    for _ in range(PROGRAMS):
        # given two viewers in each process, and one that starts a program in the first
        here, there = (one.address for one in both)
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
