"""The command ``statecast``. Each subcommand is a few lines that call a public function.

Exit status: 0 done; 1 refused, not found or unavailable, with one sentence on stderr; 2 wrong
usage; 130 after Ctrl-C, 143 after SIGTERM. Flask and the server are not imported here, so that
``send`` starts fast.
"""

from __future__ import annotations

import sys

import click

from statecast.cli import command as device_commands
from statecast.cli.audit import audit
from statecast.cli.doctor import doctor
from statecast.cli.errors import CommandGroup
from statecast.cli.forget import forget
from statecast.cli.key import key
from statecast.cli.maintenance import store
from statecast.cli.quarantine import quarantine
from statecast.cli.run import run
from statecast.cli.send import send
from statecast.cli.share import list_ as shares
from statecast.cli.share import share, unshare
from statecast.cli.show import devices, get
from statecast.cli.user import user
from statecast.cli.viewers import viewers
from statecast.cli.watch import watch
from statecast.program.distribution import VERSION


@click.group(
    cls=CommandGroup,
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


for command in (
    *(run, send, get, devices, watch, viewers),
    *(device_commands.command, device_commands.list_),
    *(user, key, share, shares, unshare, audit, forget),
    *(quarantine, store, doctor),
):
    main.add_command(command)
