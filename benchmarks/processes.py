"""Processes that take commands: one JSON object per line in, one per line out."""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent


class BenchmarkError(Exception):
    """A benchmark cannot run; the message says why."""


class Process:
    """A child process that takes commands; ``with`` ends it."""

    def __init__(
        self, name: str, command: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=os.environ | (variables or {}),
        )
        self._process = psutil.Process(self._popen.pid)
        self.counted = [self._popen.pid]
        """The processes whose CPU time counts: a program that drives a server names the server's.
        """
        self._received = b""

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def send(self, **command: Any) -> None:
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(json.dumps(command, separators=(",", ":")).encode() + b"\n")
            self._popen.stdin.flush()
        except OSError:
            raise BenchmarkError(self._exit_sentence()) from None

    def ask(self, timeout: float = 60, **command: Any) -> dict[str, Any]:
        self.send(**command)
        return self.receive(timeout)

    def receive(self, timeout: float = 60) -> dict[str, Any]:
        assert self._popen.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._popen.stdout], [], [], left)[0]:
                raise BenchmarkError(
                    f"{self.name} did not answer for {timeout:g} seconds. {self._error_output()}"
                )
            piece = os.read(self._popen.stdout.fileno(), 65_536)
            if not piece:
                raise BenchmarkError(self._exit_sentence())
            self._received += piece
        line, _, self._received = self._received.partition(b"\n")
        result: dict[str, Any] = json.loads(line)
        if "error" in result:
            raise BenchmarkError(f"{self.name}: {result['error']}")
        return result

    def cpu(self) -> float:
        """Seconds of CPU time, user and system, of all threads."""
        return sum(map(cpu_of, self.counted))

    def memory(self) -> int:
        """Resident memory in bytes."""
        return int(self._process.memory_info().rss)

    def stop(self) -> None:
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._popen.wait(5)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(5)
        self._errors.close()

    def _exit_sentence(self) -> str:
        return f"{self.name} ended with status {self._popen.wait(5)}. {self._error_output()}"

    def _error_output(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:]


def cpu_of(pid: int) -> float:
    """Seconds of CPU time that a process has used, user and system, in all threads."""
    if sys.platform == "linux":  # psutil counts in hundredths
        clock = (~pid << 3) | 2  # what clock_getcpuclockid(3) returns
        return time.clock_gettime(clock)
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def python(module: str, *arguments: str) -> Process:
    return Process(module, [sys.executable, "-m", module, *arguments])


def raise_file_limit() -> int:
    """Allow as many file descriptors as the system permits; how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def answer(**result: Any) -> None:
    """Send one line to the process that started this one."""
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
