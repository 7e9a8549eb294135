"""The virtual environment in ``.venv``.

Rule 1: the stamp is written last. No stamp, no environment: what an interrupted run left is made anew, not repaired.
Rule 2: only what the lock names is installed, with its hash; nothing is resolved on this machine.
Rule 3: one at a time. `make run` and `make test` may be started together on a fresh clone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools import debian, lock
from tools.commands import Trouble, insist, quiet, run, say

ALWAYS = frozenset({"run", "build"})

# What a person's own pip settings must not change here: where it installs, and whether it may.
PIP_VARIABLES = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PIP_USER": "0",
}


class Environment:
    """``python`` makes the environment; ``self.python`` is the one inside it."""

    def __init__(self, root: Path, python: str = sys.executable) -> None:
        self.root = root
        self.maker = python
        self.folder = root / ".venv"
        self.python = self.folder / "bin" / "python"
        self.stamp = self.folder / "ready.json"

    def ensure(self, *groups: str) -> None:
        """Everything for these groups is installed; does nothing, quickly, when it is already.

        Raises: Trouble, with a sentence that says what to do.
        """
        with self.alone():
            done = self.ready()
            wanted = ALWAYS | set(groups) | done
            if wanted == done:
                return
            if not done or not self.pip():
                self.make()
            self.stamp.unlink(missing_ok=True)
            self.install(wanted)
            self.stamp.write_text(json.dumps({"key": self.key(), "groups": sorted(wanted)}))

    def ready(self) -> frozenset[str]:
        """The groups that are installed, none when the environment is missing, half-made or made for something else."""
        try:
            stamp = json.loads(self.stamp.read_text())
            current = stamp["key"] == self.key() and self.python.exists()
            return frozenset(stamp["groups"]) if current else frozenset()
        except (OSError, ValueError, KeyError, TypeError):
            return frozenset()

    def key(self) -> str:
        """What the environment was made from. Scripts in it carry its path, so a moved clone needs a new one."""
        digest = hashlib.sha256(f"{self.root}\n{sys.version}\n{sys.base_prefix}\n".encode())
        for name in ("requirements.txt", "pyproject.toml"):
            digest.update((self.root / name).read_bytes())
        return digest.hexdigest()

    def make(self) -> None:
        """An empty environment; a Python without ``ensurepip`` (Debian splits it off) needs one of the other ways."""
        say("Making the virtual environment in .venv.")
        made, answer = self.with_its_own_pip()
        if made or self.with_the_systems_pip():
            return
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        if debian.can_install() and debian.install([package]):
            made, answer = self.with_its_own_pip()
        if not made:
            raise Trouble(
                f"{self.maker} cannot make a virtual environment (it says: {answer}): install what it lacks "
                f"(on Debian and Ubuntu `sudo apt-get install {package}`) and repeat the command."
            )

    def with_its_own_pip(self) -> tuple[bool, str]:
        made, answer = quiet([self.maker, "-m", "venv", "--clear", self.folder])
        return made and bool(self.pip()), answer

    def with_the_systems_pip(self) -> bool:
        made, _ = quiet([self.maker, "-m", "venv", "--clear", "--without-pip", self.folder])
        return made and bool(self.pip())

    def pip(self) -> list[str]:
        """The pip that installs into this environment: its own or the system's; empty when there is neither."""
        ways = (
            [str(self.python), "-m", "pip"],
            [self.maker, "-m", "pip", "--python", str(self.python)],
        )
        return next((way for way in ways if quiet([*way, "--version"])[0]), [])

    def install(self, groups: frozenset[str]) -> None:
        entries = lock.part((self.root / "requirements.txt").read_text(), groups)
        count = len(lock.blocks(entries))
        say(
            f"Installing {count} packages, each checked against its hash (for: {', '.join(sorted(groups))})."
        )
        chosen = self.folder / "requirements.txt"
        chosen.write_text(entries)
        install = [*self.pip(), "install", "-qq"]
        if not insist(
            [*install, "--require-hashes", "--no-deps", "--requirement", chosen], PIP_VARIABLES
        ):
            raise Trouble(
                "The packages could not be installed; pip says above why. Mend that and repeat the command."
            )
        if not run(
            [*install, "--no-deps", "--no-build-isolation", "--editable", self.root], PIP_VARIABLES
        ):
            raise Trouble("Statecast itself could not be installed into .venv; pip says above why.")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time. The lock sits on the clone's folder itself: no file to leave behind."""
        handle = os.open(self.root, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another make prepares the environment; waiting for it.")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
