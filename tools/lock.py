"""The lock: one file of exact versions and hashes per dependency group, below ``requirements``.

All files come from one resolution, so that no two of them disagree about a version. Each file is
complete: what it names is all that is installed for its group, and nothing in it but the
requirements themselves is read. Not ``uv.lock``, which is one file for the same purpose: it carries
the address of the registry it was made with, and which registry serves a machine is that machine's
own affair.
"""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from tools.commands import Trouble, run, say

RUN = "run"
"""The package's own dependencies; the other names are those of ``[dependency-groups]``."""


def groups(root: Path) -> list[str]:
    """The names of all files of the lock, without their ending."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    return [RUN, *project.get("dependency-groups", {})]


def files(root: Path, names: Iterable[str]) -> list[Path]:
    return [root / "requirements" / f"{name}.txt" for name in sorted(names)]


def resolve(root: Path, uv: str) -> None:
    """Writes all files, from the newest versions that ``pyproject.toml`` allows.

    Raises: Trouble, when uv finds no versions that fit together; uv then says why.
    """
    names = groups(root)
    with tempfile.TemporaryDirectory() as folder:
        everything = Path(folder) / "everything.txt"
        compile_lock(root, uv, everything, ["pyproject.toml", *for_groups(names[1:])])
        for name, file in zip(names, (root / "requirements" / f"{n}.txt" for n in names)):
            sources = ["pyproject.toml"] if name == RUN else for_groups([name])
            new = Path(folder) / file.name
            compile_lock(root, uv, new, [*sources, "--constraints", str(everything)])
            file.write_text(new.read_text())
    say(f"Resolved {', '.join(names)}: see `git diff requirements`.")


def for_groups(names: Iterable[str]) -> list[str]:
    return [word for name in names for word in ("--group", name)]


def compile_lock(root: Path, uv: str, output: Path, sources: list[str]) -> None:
    # Universal: for all systems and for every Python that `requires-python` allows.
    # Without annotations and addresses: the files hold data, and nothing of the machine they
    # were made on.
    options = "--universal --generate-hashes --no-annotate --no-header --quiet"
    bare = "--no-emit-index-url --no-emit-find-links"
    command = [uv, "pip", "compile", *sources, *options.split(), *bare.split()]
    if not run([*command, "--output-file", str(output)], folder=root, errors_only=True):
        raise Trouble("The lock could not be made; uv says above why.")
