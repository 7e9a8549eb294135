"""What users get installed, and what is known against it.

    python -m tools.inventory audit       known vulnerabilities of what the lock names
    python -m tools.inventory sbom        the bill of materials of a release, into dist/
    python -m tools.inventory platforms   whether wheels exist for each system and Python

``audit`` asks a public service. Where it cannot be reached, the audit fails: silence is no answer.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import venv
from pathlib import Path

from tools import dist, lock
from tools.commands import Trouble, quiet, run, say
from tools.environment import PIP_VARIABLES, Environment

ROOT = Path(__file__).resolve().parent.parent
FOR_USERS = ("run", "image")
"""The package's own dependencies, and those of all its extras."""

PLATFORMS = {
    "x86_64-manylinux_2_28": True,
    "aarch64-manylinux_2_28": True,
    "x86_64-unknown-linux-musl": True,
    "aarch64-apple-darwin": True,
    "x86_64-apple-darwin": False,
    "x86_64-pc-windows-msvc": True,
}
"""As uv names them, and whether we promise wheels. Apple no longer sells the fifth."""


def audit() -> None:
    """Every group: a build tool that is taken over is as bad as a dependency. Raises: Trouble."""
    names = [name for name in lock.groups(ROOT) if name != "lock"]
    chosen = [word for file in lock.files(ROOT, names) for word in ("--requirement", str(file))]
    options = ["--strict", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
    if not run([sys.executable, "-m", "pip_audit", *options, *chosen], folder=ROOT):
        raise Trouble(
            "The audit is not clean, or could not ask: pip-audit says above which. For a "
            "vulnerability, raise the lower bound in pyproject.toml and run `make lock`."
        )


def sbom() -> None:
    """CycloneDX, of an environment that holds the wheel, its extras and nothing else."""
    archive, wheel = dist.build(dist.empty(ROOT / "dist"))
    bill = archive.with_name(archive.name.replace(".tar.gz", ".cdx.json"))
    with tempfile.TemporaryDirectory(prefix="statecast-sbom-") as folder:
        python = install(Path(folder), wheel)
        options = ["--pyproject", "pyproject.toml", "--output-reproducible", "--of", "JSON"]
        command = [sys.executable, "-m", "cyclonedx_py", "environment", *options]
        if not run([*command, "--output-file", str(bill), str(python)], folder=ROOT):
            raise Trouble("The bill of materials could not be written; the reason stands above.")
    say(f"{bill.relative_to(ROOT)}  {bill.stat().st_size / 1000:,.0f} kB")


def install(folder: Path, wheel: Path) -> Path:
    """The Python of an environment with what the lock names for users, and the wheel."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [*Environment(ROOT).pip(), "--python", str(python), "install", "-qq", "--no-deps"]
    locked = [word for file in lock.files(ROOT, FOR_USERS) for word in ("-r", str(file))]
    if not (
        run([*pip, "--require-hashes", *locked], PIP_VARIABLES)
        and run([*pip, "--no-index", str(wheel)], PIP_VARIABLES)
    ):
        raise Trouble("The packages could not be installed; pip says above why.")
    return python


def platforms() -> None:
    """Each locked version has a wheel for each system and Python, so no user needs a compiler.

    uv and not pip: pip reads the environment markers of the machine that asks.
    """
    uv = Environment(ROOT).uv_for_the_lock()
    missing = [
        (f"{platform}, Python 3.{minor}: {answer}", promised)
        for platform, promised in PLATFORMS.items()
        for minor in dist.MINORS
        if (answer := without_wheel(uv, platform, f"3.{minor}"))
    ]
    for sentence, promised in missing:
        say(f"{'MISSING' if promised else 'missing, not promised'}: {sentence}")
    if any(promised for _, promised in missing):
        raise Trouble("A wheel is missing: there a user needs a compiler.")
    say(f"{len(PLATFORMS) * len(dist.MINORS) - len(missing)} combinations have all wheels.")


def without_wheel(uv: str, platform: str, version: str) -> str:
    """What uv says when a locked package has no wheel there; empty when all have one."""
    options = ["--no-deps", "--only-binary", ":all:", "--no-header", "--quiet"]
    for_it = ["--python-platform", platform, "--python-version", version]
    files = [str(file) for file in lock.files(ROOT, FOR_USERS)]
    command = [uv, "pip", "compile", *options, *for_it, *files, "--output-file", os.devnull]
    found, answer = quiet(command)
    return "" if found else re.sub(r"\s+", " ", answer)


TASKS = {"audit": audit, "sbom": sbom, "platforms": platforms}

if __name__ == "__main__":
    try:
        if len(sys.argv) != 2 or sys.argv[1] not in TASKS:
            raise Trouble(str(__doc__))
        TASKS[sys.argv[1]]()
    except Trouble as exc:
        sys.exit(str(exc))
    except KeyboardInterrupt:
        sys.exit(130)
