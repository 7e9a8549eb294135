"""Commands that are imported when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from statecast.cli.command_table import CommandTable
from statecast.cli.main import main


@pytest.mark.parametrize("name", main.commands)
def test_each_command_has_the_name_of_its_line(name: str) -> None:
    command = main.commands[name]
    assert command.name == name
    assert main.commands[name] is command


def test_a_name_that_is_in_no_line_is_no_command() -> None:
    table = CommandTable({"get": "statecast.cli.show:get"})
    assert list(table) == ["get"]
    assert table.get("set") is None
    with pytest.raises(KeyError):
        table["set"]


@pytest.mark.parametrize(
    ("command", "module", "imported"),
    [
        ("get", "statecast.cli.show", True),
        ("get", "statecast.cli.doctor", False),
        ("get", "flask", False),
        ("doctor", "statecast.cli.doctor", True),
        ("doctor", "statecast.cli.send", False),
    ],
)
def test_a_command_imports_its_own_module_only(command: str, module: str, imported: bool) -> None:
    # given a process that asks one command for its help
    program = (
        "import sys\n"
        "from statecast.cli.main import main\n"
        f"main([{command!r}, '--help'], standalone_mode=False)\n"
        f"print({module!r} in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == str(imported)
