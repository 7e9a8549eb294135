"""The wheel is complete.

Installed into an empty environment, the demo runs in an empty directory.
"""

from __future__ import annotations

import email
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tarfile
import urllib.parse
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import dist
from tools.commands import insist
from tools.environment import PIP_VARIABLES, Environment

pytestmark = pytest.mark.bare

ROOT = Path(__file__).resolve().parent.parent.parent
OUTSIDE = dict(os.environ)

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source archive of this clone and the wheel of that archive; `make dist` has them
    already."""
    if given := os.environ.get(dist.WHEEL):
        wheel = Path(given)
        (archive,) = wheel.parent.glob("statecast-*.tar.gz")
        return archive, wheel
    return dist.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def archive(built: tuple[Path, Path]) -> Path:
    return built[0]


@pytest.fixture(scope="module")
def wheel(built: tuple[Path, Path]) -> Path:
    return built[1]


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment with this wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    if python := os.environ.get(dist.PYTHON):
        return installed_by_pip(Path(python), wheel, folder)
    return installed_with_lent_packages(wheel, folder)


def installed_by_pip(python: Path, wheel: Path, folder: Path) -> Path:
    """As a user does it: an empty environment, and what pip finds today."""
    environment = folder / "venv"
    subprocess.run([python, "-m", "venv", environment], env=OUTSIDE, check=True)
    pip = [environment / "bin" / "python", "-m", "pip"]
    assert insist([*pip, "install", "-qq", "--no-cache-dir", wheel], PIP_VARIABLES)
    subprocess.run([*pip, "check"], env=OUTSIDE, check=True)
    return environment / "bin"


def installed_with_lent_packages(wheel: Path, folder: Path) -> Path:
    """Without a network: a ``.pth`` file lends the dependencies that are installed here.

    It comes after the environment's own packages, and the ``.pth`` of our editable install is not
    read through it: ``statecast`` can only come from the wheel.
    """
    environment = Environment(folder, sys.executable)
    venv.create(environment.folder, with_pip=False)
    base = Environment(environment.root, os.path.realpath(sys.executable))
    installer = environment.installer() or base.installer()
    subprocess.run(
        [*installer, "install", "-qq", "--no-deps", "--no-index", wheel],
        env=OUTSIDE | environment.variables,
        check=True,
    )
    packages = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(environment.folder)}))
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib"))
    return environment.folder / "bin"


def tracked() -> set[str]:
    """The files that a commit of this folder would hold."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs git, to compare with what is committed")
    if listed.returncode:
        pytest.skip("needs a clone, to compare with what is committed")
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}


def test_the_archive_holds_what_is_committed_and_nothing_else(archive: Path) -> None:
    """A distribution runs the tests from it; a cache or a database of ours is in the way."""
    with tarfile.open(archive) as opened:
        held = {name.partition("/")[2] for name in opened.getnames()}
    assert held == tracked() | {"PKG-INFO"}
    assert {"Makefile", "requirements/run.txt", "tests/conftest.py", "docs/README.md"} <= held


def test_the_tests_can_be_collected_from_the_archive(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as opened:
        # Python 3.11.0 to 3.11.3 have no filters yet; this is the documented way for all.
        opened.extraction_filter = getattr(tarfile, "data_filter", None)
        opened.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    collect = [sys.executable, "-m", "pytest", "-qq", "--collect-only", "-p", "no:cacheprovider"]
    finished = subprocess.run(
        [*collect, "tests/unit/test_documents.py", "tests/unit/test_architecture.py"],
        cwd=folder,
        env=OUTSIDE | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_description_leads_out_of_the_package_index(wheel: Path) -> None:
    """There README.md stands alone: a relative link or picture would be dead."""
    metadata = email.message_from_string(metadata_of(wheel))
    description = re.sub(
        r"^```.*?^```|`[^`\n]+`", "", str(metadata.get_payload()), flags=re.M | re.S
    )
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|href|srcset)=\"([^\"]+)\"", description)
    relative = [a or b for a, b in targets if not re.match(r"https?:|#|mailto:", a or b)]
    assert targets and not relative
    source = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []))["Source"]
    picture = f"{source}/raw/v{metadata['Version']}/docs/screenshot.png"
    assert f"]({picture})" in description


def metadata_of(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (one for one in opened.namelist() if one.endswith(".dist-info/METADATA"))
        return opened.read(name).decode()


def test_the_wheel_holds_all_that_is_not_code(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    ours = (
        path
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    assert {str(path.relative_to(ROOT / "src")) for path in ours} == {
        name for name in held if ".dist-info/" not in name
    }
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
