"""``statecast run`` and scripts of tests as processes of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).with_name("statecast")
ADDRESS = re.compile(r"http://[\w.:\[\]]+:\d+")
ENVIRONMENT = dict(os.environ)


def environment(**variables: str) -> dict[str, str]:
    """With settings that the test has set for all processes, like ``STATECAST_STORE``."""
    settings = {name: text for name, text in os.environ.items() if name.startswith("STATECAST_")}
    return ENVIRONMENT | settings | variables


class ScriptProcess:
    """A script of this folder that answers each line on its standard input."""

    def __init__(self, script: str, *arguments: object) -> None:
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, line: str) -> str:
        assert self.process.stdin and self.process.stdout
        print(line, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class ServerProcess:
    """One server, created when it accepts connections.

    If it ends before that, the test fails with its output.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        program: Sequence[str | Path] = (PROGRAM,),
        **variables: str,
    ) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*program, "run", *arguments],
            cwd=folder,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output: list[str] = []
        self.address = self._address()

    def _address(self) -> str:
        assert self.process.stdout
        while line := self.process.stdout.readline():
            self.output.append(line)
            if found := ADDRESS.search(line):
                return found[0]
        raise AssertionError(f"it printed no address: {''.join(self.output)}")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def terminate(self, number: int = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, and return the exit status."""
        self.process.send_signal(number)
        self.output.append(self.process.communicate(timeout=30)[0])
        return self.process.returncode

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def statecast(
    folder: Path, *arguments: str, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of Statecast to its end."""
    return subprocess.run(
        [PROGRAM, *arguments],
        cwd=folder,
        env=environment(),
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )
