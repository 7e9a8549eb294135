"""The wheel is complete: installed into an empty environment, the demo runs in an empty directory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import urllib.parse
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.environment import PIP_VARIABLES, Environment

ROOT = Path(__file__).resolve().parent.parent.parent
OUTSIDE = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("PYTHON", "STATECAST_"))
}
"""A person's shell, without what this test run was told."""

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment with this wheel and the dependencies that are installed here.

    A ``.pth`` file lends the dependencies. It comes after the environment's own packages, and the ``.pth`` of our
    editable install is not read through it: ``statecast`` can only come from the wheel.
    """
    environment = Environment(tmp_path_factory.mktemp("installed"), sys.executable)
    venv.create(environment.folder, with_pip=False)
    base = Environment(environment.root, os.path.realpath(sys.executable))
    pip = environment.pip() or base.pip()
    subprocess.run(
        [*pip, "install", "-qq", "--no-deps", "--no-index", wheel],
        env=OUTSIDE | PIP_VARIABLES,
        check=True,
    )
    packages = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(environment.folder)}))
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib"))
    return environment.folder / "bin"


def test_the_wheel_holds_all_that_is_not_code(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    ours = (
        path
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    assert {str(path.relative_to(ROOT / "src")) for path in ours} <= held
    assert "statecast/py.typed" in held
    assert any(name.endswith("/licenses/LICENSE") for name in held)


def test_the_package_comes_from_the_wheel(programs: Path, tmp_path: Path) -> None:
    command = [programs / "python", "-c", "import statecast; print(statecast.__file__)"]
    finished = subprocess.run(
        command, cwd=tmp_path, env=OUTSIDE, capture_output=True, text=True, check=True
    )
    assert finished.stdout.startswith(str(programs.parent))


@pytest.fixture
def demo(programs: Path, tmp_path: Path) -> Iterator[str]:
    """The address of the demo, started in an empty directory; it ends in order when asked to."""
    command = [programs / "statecast", "run", "--demo", "--port", "0"]
    printed: list[str] = []
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=OUTSIDE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        address = None
        # Its output ends if it fails to start; if it hangs, the test's time limit says so.
        while not address and (line := process.stdout.readline()):
            printed.append(line)
            address = ADDRESS.search(line)
        if address:
            yield address[0]
        process.send_signal(signal.SIGTERM)
        printed.append(process.communicate(timeout=20)[0])
    assert address, f"no address in what it printed:\n{''.join(printed)}"
    assert process.returncode == 128 + signal.SIGTERM, "".join(printed)
    assert "Traceback" not in "".join(printed)


def test_the_demo_runs_from_the_wheel(demo: str) -> None:
    # when the page is opened
    page = urllib.request.urlopen(demo + "/", timeout=20).read().decode()
    # then it is there, with the scripts and the style it names
    assert "pillow" in page
    names = re.findall(r"""<(?:script|link)[^>]+(?:src|href)=["']?([^\s"'>]+\.(?:js|css))""", page)
    assert {name.rpartition(".")[2] for name in names} == {"css", "js"}, names
    for name in [*names, "/statecast/statecast.js"]:
        with urllib.request.urlopen(urllib.parse.urljoin(demo + "/", name), timeout=20) as answer:
            assert answer.status == 200 and answer.read()
