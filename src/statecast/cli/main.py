"""The command ``statecast``. Each subcommand is a few lines that call a public function.

Exit status: 0 done; 1 refused, not found or unavailable, with one sentence on stderr; 2 wrong
usage; 130 after Ctrl-C, 143 after SIGTERM. A command is imported when it is used, so that ``send``
starts fast, and a server holds no other command in its memory.
"""

from __future__ import annotations

import sys

import click

from statecast.cli.command_table import CommandTable
from statecast.cli.errors import CommandGroup
from statecast.program.distribution import VERSION

COMMANDS = CommandTable(
    {
        "run": "statecast.cli.run:run",
        "send": "statecast.cli.send:send",
        "get": "statecast.cli.show:get",
        "devices": "statecast.cli.show:devices",
        "watch": "statecast.cli.watch:watch",
        "viewers": "statecast.cli.viewers:viewers",
        "command": "statecast.cli.command:command",
        "commands": "statecast.cli.command:list_",
        "user": "statecast.cli.user:user",
        "key": "statecast.cli.key:key",
        "share": "statecast.cli.share:share",
        "shares": "statecast.cli.share:list_",
        "unshare": "statecast.cli.share:unshare",
        "audit": "statecast.cli.audit:audit",
        "forget": "statecast.cli.forget:forget",
        "quarantine": "statecast.cli.quarantine:quarantine",
        "store": "statecast.cli.maintenance:store",
        "doctor": "statecast.cli.doctor:doctor",
    }
)


@click.group(
    cls=CommandGroup,
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Every setting may also be a variable STATECAST_NAME or a line of the TOML file "
    "given by --config.",
)
@click.version_option(VERSION, message="%(prog)s %(version)s", prog_name="statecast")
def main() -> None:
    """The state of devices, from a queue to every browser."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Characters that the terminal's encoding lacks are written as escapes.
            stream.reconfigure(errors="backslashreplace")
