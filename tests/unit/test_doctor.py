"""``statecast doctor`` as a command.

A line per finding, and an exit status that programs can use.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from statecast.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT", "STATECAST_SOURCE"):
        monkeypatch.delenv(name, raising=False)


def doctor(*words: str) -> Result:
    return CliRunner().invoke(main.main, ["doctor", *words])


def test_nothing_is_wrong() -> None:
    assert CliRunner().invoke(main.main, ["send", "pillow", "mood=happy"]).exit_code == 0
    result = doctor()
    assert result.exit_code == 0
    # settings, two lines about rights, the store, that no one serves, and the source
    verdicts = ["ok", "ok", "ok", "ok", "note", "ok"]
    assert [line.split()[0] for line in result.output.splitlines()] == verdicts


def test_something_is_wrong() -> None:
    result = doctor("--source", "azure-queue:pillow")
    assert result.exit_code == 1
    assert "WRONG  source azure-queue:pillow: No storage account is named" in result.output


def test_for_programs() -> None:
    result = doctor("--json", "--source", "fly:away")
    assert result.exit_code == 1
    found = [json.loads(line) for line in result.output.splitlines()]
    assert [sorted(line) for line in found] == [["about", "sentence", "verdict"]] * 3
    assert [(line["about"], line["verdict"]) for line in found] == [
        ("settings", "good"),
        ("store", "notice"),
        ("source fly:away", "wrong"),
    ]


def test_settings_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATECAST_PORT", "many")
    result = doctor()
    assert result.exit_code == 1
    assert result.output.startswith("WRONG  settings: The setting port must be a whole number")
