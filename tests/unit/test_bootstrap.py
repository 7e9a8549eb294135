"""The environment of ``make run``: made once, repaired when half-made, and made on machines that lack things.

A shell script stands for Python: it writes down what it was asked and makes what the real one would have made.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools import bootstrap, browser, commands, debian, environment, javascript, lock
from tools.commands import Trouble
from tools.environment import Environment

ROOT = Path(__file__).resolve().parent.parent.parent

PYTHON = """#!/bin/sh
echo "$*" >> "{log}"
case "$*" in
  "-m venv"*) for last; do :; done
    pip=yes; case "$*" in *--without-pip*) pip=no ;; esac
    [ $pip = no ] || [ ! -e "{root}/no-ensurepip" ] || {{ echo "no ensurepip"; exit 1; }}
    rm -rf "$last"; mkdir -p "$last/bin"; cp "$0" "$last/bin/python"; [ $pip = yes ] && touch "$last/pip"; exit 0 ;;
  "-m pip --python"*) [ ! -e "{root}/no-pip" ] && [ -e "$4" ] || exit 1 ;;
  "-m pip --version") [ -e "$(dirname "$0")/../pip" ] || exit 1 ;;
esac
case "$*" in *--requirement*) [ ! -e "{root}/offline" ] || exit 1 ;; esac
"""

LOCK = """\
flask==3.1 \\
    --hash=sha256:aa
    # via
    #   statecast (pyproject.toml)
    #   flask-socketio
blinker==1.9 ; python_version >= '3.11' \\
    --hash=sha256:bb
    # via flask
flask-socketio==5.0 \\
    --hash=sha256:cc
    # via statecast (pyproject.toml:bench)
hatchling==1.30 \\
    --hash=sha256:dd
    # via statecast (pyproject.toml:build)
pytest==9.0 \\
    --hash=sha256:ee
    # via statecast (pyproject.toml:test)
"""


class Machine:
    """A clone in an empty folder, and a Python that can be told what it lacks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "log"
        (root / "pyproject.toml").write_text("[project]")
        (root / "requirements.txt").write_text(LOCK)
        self.python = root / "python"
        self.python.write_text(PYTHON.format(log=self.log, root=root))
        self.python.chmod(0o755)
        self.environment = Environment(root, str(self.python))

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


MAKE = "-m venv --clear /.venv"
PACKAGES = "-m pip install -qq --require-hashes --no-deps --requirement /.venv/requirements.txt"
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
    # and what was installed is the part of the lock that was asked for
    installed = (machine.environment.folder / "requirements.txt").read_text()
    assert [line.split("==")[0] for line in installed.splitlines() if "==" in line] == [
        "flask",
        "blinker",
        "hatchling",
    ]


def test_the_second_time_asks_nobody(machine: Machine) -> None:
    machine.environment.ensure()
    machine.asked()
    machine.environment.ensure()
    assert machine.asked() == []


def test_a_half_made_environment_is_made_anew(machine: Machine) -> None:
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
    # and with the network back, it is made anew
    machine.lacks()
    machine.environment.ensure()
    assert machine.asked() == [MAKE, PACKAGES, ITSELF]


def test_another_group_is_added_not_exchanged(machine: Machine) -> None:
    machine.environment.ensure()
    machine.asked()
    machine.environment.ensure("test")
    assert machine.asked() == [PACKAGES, ITSELF]
    # and what is there stays when less is asked for
    machine.environment.ensure()
    assert machine.asked() == []
    assert machine.environment.ready() == {"run", "build", "test"}


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_changed_lock_makes_it_anew(machine: Machine, name: str) -> None:
    machine.environment.ensure()
    machine.asked()
    with (machine.root / name).open("a") as file:
        file.write("# changed\n")
    machine.environment.ensure()
    assert machine.asked() == [MAKE, PACKAGES, ITSELF]


def test_a_python_that_is_gone_makes_it_anew(machine: Machine) -> None:
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


def test_a_pip_that_is_gone_makes_it_anew(machine: Machine) -> None:
    # given an environment that the system's pip filled, and a system whose pip was removed since
    machine.lacks("no-ensurepip")
    machine.environment.ensure()
    machine.asked()
    machine.lacks("no-pip")
    # when a group is added, then it is made anew with the way there is now
    machine.environment.ensure("test")
    assert machine.asked() == [MAKE, PACKAGES, ITSELF]


def test_without_any_pip_one_sentence(machine: Machine) -> None:
    machine.lacks("no-ensurepip", "no-pip")
    with pytest.raises(
        Trouble, match=r"no ensurepip.*apt-get install python3\.\d+-venv.*repeat the command\."
    ):
        machine.environment.ensure()
    assert not machine.environment.ready()


def test_without_any_pip_root_on_debian_installs_it(
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
    # when it is made ready, then the missing package was installed first
    machine.environment.ensure()
    assert installed == [f"python3.{sys.version_info.minor}-venv"]
    assert machine.environment.ready()


def test_packages_are_asked_for_three_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an apt-get that fails twice
    fake = tmp_path / "apt-get"
    fake.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/log\n[ "$(grep -c install {tmp_path}/log)" != 2 ] || exit 1\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(commands, "PAUSE", 0)
    (tmp_path / "log").write_text("an install before\n")
    # when a package is installed, then the lists are fetched first and the second try succeeds
    assert debian.install(["chromium"])
    asked = [line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()[1:]]
    assert asked == ["update", "chromium", "chromium"]


def test_every_group_of_the_project_is_in_the_lock() -> None:
    """And the lock names no addresses: which registry serves the packages is each machine's own affair."""
    text = (ROOT / "requirements.txt").read_text()
    run = lock.part(text, ["run", "build"])
    assert "flask==" in run and "hatchling==" in run and "pytest==" not in run
    assert "pytest==" in lock.part(text, ["test"])
    assert "gevent==" in lock.part(text, ["bench"])
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert lock.part(text, ["run", *groups]) == text
    assert "://" not in text and "\n-" not in text
    assert all("--hash=sha256:" in entry for entry, _ in lock.blocks(text).values())


def test_a_lock_without_its_reasons_is_refused() -> None:
    with pytest.raises(Trouble, match="make lock"):
        lock.part("flask==3.1 \\\n    --hash=sha256:aa\n", ["run"])


def test_the_installed_packages_fit_together() -> None:
    finished = subprocess.run([*Environment(ROOT).pip(), "check"], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_a_browser_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "my-chromium"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv(browser.VARIABLE, str(program))
    assert browser.find() == str(program)
    # and a name that leads nowhere is not replaced by another browser in silence
    monkeypatch.setenv(browser.VARIABLE, str(tmp_path / "nothing"))
    assert browser.find() is None


def test_missing_programs_are_named_by_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(browser.VARIABLE, raising=False)
    assert javascript.packages() == ["nodejs", "npm"]
    assert browser.find() is None
    assert "chromium" in browser.packages()
    assert not debian.can_install()


def test_an_unknown_command_shows_the_known_ones() -> None:
    with pytest.raises(Trouble, match=r"run \| test"):
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
