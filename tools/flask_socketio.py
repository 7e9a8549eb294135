"""Flask-SocketIO's own tests, which ``statecast.socketio`` must pass with one changed import.

They are in its source distribution on the package index: `make test` fetches it by its hash into
``.tools/flask-socketio``. Nothing of it is committed.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from tools.commands import insist, say
from tools.environment import Environment

VERSION = "5.7.0"
SHA256 = "aa01e50106962808dadc245407c3b6354295b1526e888bd154dc7ff4801a7c88"
TESTS = f"flask_socketio-{VERSION}/test_socketio.py"
MISSING = "needs the source distribution of Flask-SocketIO: `make test` fetches it"


def folder(root: Path) -> Path:
    return root / ".tools" / "flask-socketio"


def tests(root: Path) -> Path | None:
    """The file of its tests; None when it is not here."""
    path = folder(root) / VERSION / "test_socketio.py"
    return path if path.exists() else None


def ensure(environment: Environment) -> None:
    """Fetch the tests unless they are here; what misses them says so later."""
    root = environment.root
    if tests(root) is not None:
        return
    say("Fetching the tests of Flask-SocketIO into .tools/flask-socketio.")
    there = folder(root)
    there.mkdir(parents=True, exist_ok=True)
    named = there / "requirements.txt"
    named.write_text(f"flask-socketio=={VERSION} --hash=sha256:{SHA256}\n")
    command = [*downloader(environment), "--require-hashes", "-r", named, "-d", there]
    if not insist(command, environment.variables, root):
        return
    archive = there / f"flask_socketio-{VERSION}.tar.gz"
    with tarfile.open(archive) as whole:
        member = whole.extractfile(TESTS)
        assert member is not None, archive
        text = member.read()
    target = there / VERSION / "test_socketio.py"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(text)


def downloader(environment: Environment) -> list[str | Path]:
    """pip's command; it reads the metadata with the setuptools of the lock, if it is in there."""
    download = ["download", "-qq", "--no-deps", "--no-binary", "flask-socketio"]
    if pip := environment.pip():
        return [*pip, *download, "--no-build-isolation"]
    return [environment.uv or "uv", "tool", "run", "pip", *download]
