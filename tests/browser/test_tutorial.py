"""The five steps of the tutorial, typed into empty files and run as it says, in Chromium."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_documents import ROOT, blocks, typed_files

pytestmark = pytest.mark.browser

PAGE = ROOT / "docs" / "tutorial.md"
STEPS = "## 6. The pillow in five steps"
ADDRESS = re.compile(r"http://[\w.:]+:\d+")
PICTURE = "getComputedStyle(document.querySelector('#picture')).backgroundImage"


class Reader:
    """Does what the tutorial says, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program: subprocess.Popen[str] | None = None
        self.port = "0"

    def type_files(self) -> None:
        for name, text in typed_files(PAGE).items():
            (self.folder / name).write_text(text, "utf-8")

    def run(self, command: str) -> None:
        """Make the command of a shell block; the program that serves goes on meanwhile."""
        words = shlex.split(command)
        if words[0] == "python":
            self.program = subprocess.Popen(
                [sys.executable, *words[1:]],
                cwd=self.folder,
                env={**os.environ, "STATECAST_PORT": self.port, "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self.address = self._address()
            self.port = self.address.rpartition(":")[2]
        elif words[0] == "statecast":
            program = Path(sys.executable).with_name("statecast")
            subprocess.run([program, *words[1:]], cwd=self.folder, check=True, timeout=30)
        else:
            subprocess.run(words, cwd=self.folder, check=True)

    def _address(self) -> str:
        assert self.program is not None and self.program.stdout is not None
        said = []
        for line in self.program.stdout:
            said.append(line)
            if found := ADDRESS.search(line):
                return found[0]
        raise AssertionError(f"it printed no address: {''.join(said)}")

    def stop(self) -> None:
        if self.program is not None:
            self.program.terminate()
            self.program.communicate(timeout=30)
            self.program = None


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path)
    yield made
    made.stop()


def shell_blocks() -> list[list[str]]:
    """The commands of the shell blocks of the five steps."""
    before, _, steps = PAGE.read_text("utf-8").partition(STEPS)
    assert steps
    return [block.splitlines() for block in blocks(PAGE, "sh")[before.count("```sh\n") :]]


def until(page: Any, mood: str, picture: str) -> None:
    page.wait_for_function(
        f"document.querySelector('b').textContent === {mood!r} && {PICTURE}.includes({picture!r})",
        timeout=30_000,
    )


def until_live(page: Any) -> None:
    """Wait until the scripts of a page have put in what only they know."""
    page.wait_for_function(
        r"/^2\d([.,]\d)?\s°C$/.test(document.querySelectorAll('b')[1].textContent)",
        timeout=30_000,
    )


def test_the_five_steps_typed_into_empty_files_work(browser: Any, reader: Reader) -> None:
    make, start, send = shell_blocks()

    # given the folder, made as the tutorial says, and the files, typed from it
    folders, into = make
    reader.run(folders)
    reader.folder /= into.removeprefix("cd ")
    reader.type_files()

    # when the program is started, and two browsers look
    for command in start:
        reader.run(command)
    pages = [browser.new_context().new_page() for _ in range(2)]
    for page in pages:
        page.goto(reader.address)
        page.evaluate("window.same = true")
        until_live(page)

    # then what is sent from a terminal changes text and picture in both, without a reload
    for command in send:
        reader.run(command)
    for page in pages:
        until(page, "sad", "sad.svg")
        assert page.evaluate("window.same")

    # and a hug in one browser changes both
    with pages[0].expect_navigation():
        pages[0].click("button")
    until_live(pages[0])  # it has all its scripts again, before the program is stopped
    for page in pages:
        until(page, "happy", "happy.svg")
    assert pages[1].evaluate("window.same")

    # and after a restart the state is still there, and the pages come back by themselves
    reader.stop()
    for command in start:
        reader.run(command)
    for command in send:
        reader.run(command)
    for page in pages:
        until(page, "sad", "sad.svg")
    assert pages[1].evaluate("window.same")
