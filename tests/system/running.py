"""``statecast run`` as a process of its own, for tests: ended in order."""

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


class Child:
    """A process that answers each line it is told."""

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


class Running:
    """One server. It has its address once it accepts connections; if it ends before, the test learns what it said."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        program: Sequence[str | Path] = (PROGRAM,),
        **variables: str,
    ) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*program, "run", *arguments], cwd=folder, env=ENVIRONMENT | variables, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.said: list[str] = []
        self.address = self._address()

    def _address(self) -> str:
        assert self.process.stdout
        while line := self.process.stdout.readline():
            self.said.append(line)
            if found := ADDRESS.search(line):
                return found[0]
        raise AssertionError(f"it said no address: {''.join(self.said)}")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def terminate(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end and wait for that; its exit status."""
        self.process.send_signal(number)
        self.said.append(self.process.communicate(timeout=30)[0])
        return self.process.returncode

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def statecast(
    folder: Path, *arguments: str, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """A command of ours, to its end."""
    return subprocess.run(
        [PROGRAM, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )
