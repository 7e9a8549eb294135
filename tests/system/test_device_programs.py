"""The devices of the documents, typed from their pages and run against a real server.

Each takes a hug and does it once, over a lost answer and a kill; it refuses what is too late and
what it does not know; it goes on when the server was killed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import Any

import pytest
import requests
from server_process import ServerProcess, statecast

from tests.child_process import started
from tests.conftest import installed
from tests.system.device_gate import Gate
from tests.unit.test_documents import ROOT, typed_files
from tests.waiting import wait_for
from tools import system_parts

HOW_TO = ROOT / "docs" / "how-to"
PROGRAMS = {"python": "pillow.py", "micropython": "main.py", "shell": "pillow.sh"}


class Pillow:
    """A device of a page, in a folder of its own."""

    def __init__(self, kind: str, folder: Path, gate: Gate) -> None:
        self.folder = folder
        folder.mkdir()
        for name, text in typed_files(HOW_TO / f"device-in-{kind}.md").items():
            # what the reader replaces by the address of the own server
            text = text.replace('"192.168.7.5", 8000', f'"127.0.0.1", {gate.port}')
            (folder / name).write_text(text, "utf-8")
        self.command: Sequence[str] = [sys.executable, PROGRAMS[kind]]
        if kind == "shell":
            installed(system_parts.CURL)
            installed(system_parts.JQ)
            self.command = ["sh", PROGRAMS[kind]]
        self.variables = {"SERVER": f"http://127.0.0.1:{gate.port}", "PYTHONUNBUFFERED": "1"}
        self.output = folder / "output"
        self.process: Popen[str] | None = None
        self._running = ExitStack()

    def start(self) -> None:
        self.process = self._running.enter_context(
            started(
                self.command,
                cwd=self.folder,
                env=os.environ | self.variables,
                stdout=self._running.enter_context(self.output.open("a")),
                stderr=STDOUT,
                start_new_session=True,
            )
        )

    def felt(self) -> int:
        """How often it did what a hug is, in all its lives."""
        return self.output.read_text().splitlines().count("hugged")

    def kill(self) -> None:
        """As pulling the plug does: the programs that a shell has started end as well."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self._running.close()


class Site:
    """A server that can be killed and comes back at its port, behind a gate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = ServerProcess(folder, "--port", "0")
        self.address = self.server.address
        self.gate = Gate(self.server.port)

    def restart(self) -> None:
        self.server = ServerProcess(self.folder, "--port", self.address.rpartition(":")[2])

    def close(self) -> None:
        self.server.kill()  # first: a device may wait there through the gate
        self.gate.close()

    def hugs(self) -> int:
        response = requests.get(f"{self.address}/api/devices/pillow", timeout=10)
        return int(response.json()["state"]["hugs"]) if response.status_code == 200 else -1

    def ask(self, name: str = "hug") -> str:
        """The id of a command."""
        url = f"{self.address}/api/devices/pillow/commands"
        return str(requests.post(url, json={"name": name}, timeout=10).json()["id"])

    def command(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(
            f"{self.address}/api/commands/{id_}", timeout=10
        ).json()
        return found

    def ended(self, id_: str) -> tuple[str, str | None]:
        """How a command ends, and the reason of the device."""
        wait_for(
            lambda: self.command(id_)["status"] not in ("waiting", "delivered"),
            lambda: f"it is still {self.command(id_)}",
        )
        found = self.command(id_)
        return found["status"], found.get("reason")


@pytest.fixture(params=PROGRAMS)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Site, Pillow]]:
    (tmp_path / "server").mkdir()
    site = Site(tmp_path / "server")
    pillow = Pillow(request.param, tmp_path / "device", site.gate)
    try:
        pillow.start()
        wait_for(lambda: site.hugs() == 0, "the pillow never said its state")
        yield site, pillow
    finally:
        pillow.kill()
        site.close()


def test_a_hug_is_felt_once_whatever_breaks(scene: tuple[Site, Pillow]) -> None:
    site, pillow = scene
    # given a pillow that was hugged
    assert site.ended(site.ask()) == ("done", None)
    assert site.hugs() == 1

    # when its answer is lost, the plug is pulled, and the same command comes again
    site.gate.lose_answers = True
    again = site.ask()
    wait_for(lambda: site.gate.lost, "it never answered")
    pillow.kill()
    site.gate.lose_answers = False
    pillow.start()
    # then it answers again, and has felt it once
    assert site.ended(again) == ("done", None)
    assert [one["command"] for one in site.gate.lost] == [again] * len(site.gate.lost)
    assert (site.hugs(), pillow.felt()) == (2, 2)

    # when the server gets an answer and the pillow does not learn that
    site.gate.lost.clear()
    site.gate.lose_responses = True
    told_twice = site.ask()
    wait_for(lambda: len(site.gate.lost) >= 2, "it never answered again")
    site.gate.lose_responses = False
    # then the answer counts once
    assert site.ended(told_twice) == ("done", None)

    # when the server is killed, and asked for something while it is away
    site.server.kill()
    ended = statecast(site.folder, "command", "pillow", "hug")
    assert ended.returncode == 0, ended.stderr
    site.restart()
    # then the pillow comes back by itself
    wait_for(lambda: site.hugs() == 4, lambda: f"it has felt {site.hugs()} hugs")
    assert pillow.felt() == 4


def test_what_is_late_or_unknown_is_refused(scene: tuple[Site, Pillow]) -> None:
    site, pillow = scene
    # given commands that come late, or that are others than the pillow takes
    site.gate.change = lambda command: command | {"seconds_left": -5.0}
    late = site.ended(site.ask())
    site.gate.change = lambda command: command | {"name": "sing"}
    unknown = site.ended(site.ask())
    site.gate.change = lambda command: command
    # then it says why it did nothing, and feels the next hug
    assert late == ("refused", "It came too late.")
    assert unknown == ("refused", "A pillow takes hugs.")
    assert site.ended(site.ask()) == ("done", None)
    wait_for(lambda: site.hugs() == 1, lambda: f"it has felt {site.hugs()} hugs")
    assert pillow.felt() == 1
    # and what it does not take is not asked at all
    url = f"{site.address}/api/devices/pillow/commands"
    assert requests.post(url, json={"name": "sing"}, timeout=10).status_code == 409


def test_the_memory_of_a_pillow_has_a_bound(tmp_path: Path) -> None:
    """Only an open command comes again, and a device has at most a hundred."""
    # given the functions of both programs, without their loops
    for kind, bound in (("python", 1_000), ("micropython", 100)):
        text = typed_files(HOW_TO / f"device-in-{kind}.md")[PROGRAMS[kind]]
        folder = tmp_path / kind
        folder.mkdir()
        names: dict[str, Any] = {}
        code = text.partition("\nsay(")[0].replace("pillow.json", str(folder / "pillow.json"))
        exec(compile(code, kind, "exec"), names)
        # when more commands are answered than it remembers
        for number in range(bound + 5):
            names["answer"]({"id": f"c{number}", "name": "hug"}, 1e12)
        # then it has counted all, and remembers the newest
        memory = json.loads((folder / "pillow.json").read_text())
        assert memory["hugs"] == bound + 5
        known = [one if isinstance(one, str) else one[0] for one in memory["answers"]]
        assert known == [f"c{number}" for number in range(5, bound + 5)]
