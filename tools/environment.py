"""The virtual environment in ``.venv``.

Rule 1: the stamp is written last. No stamp, no environment: what an interrupted run left is made
from the beginning, not repaired.
Rule 2: only what the lock names is installed, with its hash; nothing is resolved on this machine.
Rule 3: one at a time. `make run` and `make test` may be started together on a fresh clone.

With uv on the PATH, uv makes and fills it, else Python's own venv and pip do; from the same files.
It is `uv pip sync`, not `uv sync`, because the latter reads only ``uv.lock`` (see tools/lock.py).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools import caches, debian, lock
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
    """``python`` makes the environment; ``self.python`` is the one inside it.

    ``self.uv`` is the path of uv, or None. ``folder`` is ``.venv`` of the clone.
    """

    def __init__(
        self, root: Path, python: str = sys.executable, folder: Path | None = None
    ) -> None:
        self.root = root
        self.maker = python
        self.uv = shutil.which("uv")
        self.folder = folder or root / ".venv"
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
            self.require_rights()
            if not done or not self.installer():
                self.make()
            self.stamp.unlink(missing_ok=True)
            self.install(wanted)
            self.install_statecast()
            self.stamp.write_text(json.dumps({"key": self.key(), "groups": sorted(wanted)}))

    def require_rights(self) -> None:
        """Raises: Trouble, for a clone of another user or on a medium that cannot be written."""
        if not caches.can_be_written(self.folder):
            raise Trouble(
                f"This user may not write {self.folder}: repeat the command as the owner of the "
                "clone, or make a clone of your own."
            )

    def uv_for_the_lock(self) -> str:
        """The path of a uv, which is installed when the system has none.

        Alone, because the rest of the lock may be what does not fit the project any more.
        """
        if self.uv:
            return self.uv
        with self.alone():
            if not self.installer():
                self.make()
            self.install(frozenset({"lock"}))
        return str(self.folder / "bin" / "uv")

    def ready(self) -> frozenset[str]:
        """The groups that are installed.

        Empty when the environment is missing, half-made or made for something else.
        """
        try:
            stamp = json.loads(self.stamp.read_text())
            current = stamp["key"] == self.key() and self.python.exists()
            return frozenset(stamp["groups"]) if current else frozenset()
        except (OSError, ValueError, KeyError, TypeError):
            return frozenset()

    def key(self) -> str:
        """What the environment was made from.

        Scripts in it carry its path, so a moved clone needs a new one.
        """
        digest = hashlib.sha256(f"{self.root}\n{sys.version}\n{sys.base_prefix}\n".encode())
        made_from = sorted((self.root / "requirements").glob("*.txt"))
        for file in (*made_from, self.root / "pyproject.toml"):
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def make(self) -> None:
        """An empty environment.

        A Python without ``ensurepip`` (Debian splits it off) needs one of the other ways.
        """
        say("Making the virtual environment in .venv.")
        if self.with_uv():
            return
        made, answer = self.with_its_own_pip()
        if made or self.with_the_systems_pip():
            return
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        if debian.may_install() and debian.install([package]):
            made, answer = self.with_its_own_pip()
        if not made:
            raise Trouble(
                f"{self.maker} cannot make a virtual environment (it says: {answer}): "
                f"install what it lacks (on Debian and Ubuntu `{debian.command([package])}`) "
                "and repeat the command."
            )

    def with_uv(self) -> bool:
        if not self.uv:
            return False
        shutil.rmtree(self.folder, ignore_errors=True)
        return quiet([self.uv, "venv", "--quiet", "--python", self.maker, self.folder])[0]

    def with_its_own_pip(self) -> tuple[bool, str]:
        made, answer = quiet([self.maker, "-m", "venv", "--clear", self.folder])
        return made and bool(self.pip()), answer

    def with_the_systems_pip(self) -> bool:
        made, _ = quiet([self.maker, "-m", "venv", "--clear", "--without-pip", self.folder])
        return made and bool(self.pip())

    def installer(self) -> list[str]:
        """The command that installs into this environment, without its verb.

        Empty when there is none. Its variables are ``self.variables``.
        """
        return [self.uv, "pip"] if self.uv else self.pip()

    @property
    def variables(self) -> dict[str, str]:
        """How pip and uv find this environment, and what a person's settings must not change."""
        return PIP_VARIABLES | caches.variables(self.root) | {"VIRTUAL_ENV": str(self.folder)}

    def pip(self) -> list[str]:
        """Its own or the system's; empty when there is neither."""
        ways = (
            [str(self.python), "-m", "pip"],
            [self.maker, "-m", "pip", "--python", str(self.python)],
        )
        return next((way for way in ways if quiet([*way, "--version"])[0]), [])

    def install(self, groups: frozenset[str]) -> None:
        say(f"Installing what the lock names for {', '.join(sorted(groups))}.")
        installer = self.installer()
        files = list(map(str, lock.files(self.root, groups)))
        if self.uv:
            command = [*installer, "sync", "--quiet", "--require-hashes", *files]
        else:
            options = ["-qq", "--require-hashes", "--no-deps"]
            each = [word for file in files for word in ("--requirement", file)]
            command = [*installer, "install", *options, *each]
        if not insist(command, self.variables):
            raise Trouble(
                "The packages could not be installed; the reason stands above. "
                "Mend that and repeat the command."
            )

    def install_statecast(self) -> None:
        options = ["-qq", "--no-deps", "--no-build-isolation", "--editable"]
        if not run([*self.installer(), "install", *options, self.root], self.variables):
            raise Trouble(
                "Statecast itself could not be installed into .venv; the reason stands above."
            )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time.

        The lock sits on the clone's folder itself: there is no file to leave behind.
        """
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
