"""``examples/huggable_cloud/run.py`` in a copy of its folder.

One command starts all of it, the keys work, and Ctrl+C ends everything.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from server_process import ADDRESS, ENVIRONMENT

from tests.waiting import wait_for

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "huggable_cloud"
INTERRUPTED = 128 + signal.SIGINT
FAMILIES = ("maple", "birch")


class Run:
    """The command of the README, as a terminal starts it: a process group of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "run.py", "--port", "0", *options], cwd=folder, env=ENVIRONMENT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, process_group=0,
        )  # fmt: skip
        assert self.process.stdin and self.process.stdout
        self.keys, self.lines = self.process.stdin, self.process.stdout
        self.output: list[str] = []
        self.address = ""

    def until(self, words: str) -> str:
        for line in self.lines:
            self.output.append(line)
            if words in line:
                return line
        raise AssertionError(f"it never said {words!r}: {''.join(self.output)}")

    def press(self, key: str) -> None:
        self.keys.write(key)
        self.keys.flush()

    def state(self, device: str) -> Any:
        found = requests.get(f"{self.address}/api/devices/{device}", timeout=10)
        return found.json()["state"] if found.ok else {}

    def programs(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_command_starts_and_ends_all_of_it(tmp_path: Path, number: int) -> None:
    # given a copy of the folder, somewhere else
    folder = tmp_path / "cloud"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    running = Run(folder, "--queues", "embedded")
    try:
        # when it runs, each family has its page and its pillow
        found = ADDRESS.search(running.until("live at"))
        assert found
        running.address = found[0]
        for family in FAMILIES:
            assert requests.get(f"{running.address}/{family}", timeout=10).ok
            wait_for(lambda: running.state(f"{family}/pillow").get("hugs") == 0)  # noqa: B023
        # and the keys reach the first one
        running.press("h")
        wait_for(lambda: running.state("maple/pillow")["hugs"] == 1)
        assert running.state("birch/pillow")["hugs"] == 0
        # and a hug from a shell is felt
        asked = requests.post(f"{running.address}/birch/hug", data={"by": "Ada"}, timeout=10)
        assert asked.status_code in (200, 201)
        wait_for(lambda: running.state("birch/pillow")["hugs"] == 1)
        # when it is ended as a terminal, or a service manager, does it
        programs = running.programs()
        assert len(programs) == 1 + len(FAMILIES)
        if number == signal.SIGINT:
            os.killpg(running.process.pid, number)
        else:
            running.process.send_signal(number)
        # then it ends, and nothing of it runs on
        running.output.append(running.process.communicate(timeout=30)[0])
        assert running.process.returncode == 128 + number
        assert not [one for one in programs if one.is_running()]
        assert "Traceback" not in "".join(running.output)
    finally:
        running.end()
