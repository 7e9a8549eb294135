"""The files that run Statecast elsewhere: they name settings, flags and directives that exist."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from statecast import settings
from statecast.cli.main import main

ROOT = Path(__file__).resolve().parent.parent.parent
UNIT = ROOT / "contrib" / "statecast.service"
EXPOSURE = 3.0
"""What `systemd-analyze security` may say at most; 10 is the worst."""


def given_to_run(command: list[str]) -> dict[str, object]:
    """What ``statecast run`` makes of its flags. Fails for one that does not exist."""
    program, name, *flags = command
    assert program.rpartition("/")[2] == "statecast"
    run = main.commands[name]
    assert isinstance(run, click.Command)
    return dict(run.make_context(name, flags).params)


# systemd


def unit() -> dict[str, str]:
    """The section [Service]; of a key that occurs twice, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


def test_the_unit_starts_a_server_that_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    service = unit()
    assert (service["Type"], service["WatchdogSec"]) == ("notify", "30")
    program, name, flag, file = shlex.split(service["ExecStart"])
    assert [program.rpartition("/")[2], name, flag] == ["statecast", "run", "--config"]
    # and it writes where it may
    text = UNIT.read_text()
    assert f"/var/lib/{service['StateDirectory']}/statecast.db" in text
    # and the how-to puts each file where the unit looks for it
    how_to = (ROOT / "docs" / "how-to" / "service.md").read_text()
    for path in (file, service["EnvironmentFile"].lstrip("-"), program.rpartition("/")[0]):
        assert path in how_to


def test_the_settings_of_the_service_can_be_read() -> None:
    text = (ROOT / "contrib" / "statecast.toml").read_text()
    uncommented = re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)
    given = tomllib.loads(uncommented)
    assert given
    settings.load(given)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_unit_is_hardened(tmp_path: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    finished = subprocess.run(command, capture_output=True, text=True)
    said = re.search(r"Overall exposure level for statecast.service: ([\d.]+)", finished.stdout)
    assert said, finished.stdout + finished.stderr
    assert float(said[1]) < EXPOSURE
    # and it has no key that systemd does not know; the program is not installed here
    verified = subprocess.run(["systemd-analyze", "verify", UNIT], capture_output=True, text=True)
    unknown = [line for line in verified.stderr.splitlines() if UNIT.name in line]
    assert [line for line in unknown if "is not executable" not in line] == []


# A proxy


def test_the_page_about_proxies_shows_what_the_file_has() -> None:
    file = (ROOT / "contrib" / "nginx.conf").read_text()
    page = (ROOT / "docs" / "how-to" / "proxy.md").read_text()
    snippet = re.search(r"^```nginx\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert snippet
    directives = {line.strip() for line in snippet[1].splitlines()}
    assert "proxy_set_header Host $http_host;" in directives
    assert "proxy_buffering off;" in directives
    assert directives <= {line.partition("  #")[0].strip() for line in file.splitlines()}
