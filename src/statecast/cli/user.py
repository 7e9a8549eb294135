"""``statecast user``: the people who sign in with a name and a password."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

import click

from statecast import timestamps
from statecast.access.roles import ROLES
from statecast.cli import output
from statecast.cli.completion import access_ids
from statecast.cli.errors import CommandError
from statecast.cli.key import BY
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.show import as_json
from statecast.cli.store import opened_store
from statecast.timestamps import duration, now

if TYPE_CHECKING:
    from statecast.access.users import User

# statecast.access.users is imported where it is used: it loads what hashes passwords.
ROLE = click.Choice((*ROLES, "none"))
user_argument = click.argument("name", shell_complete=access_ids("user"))
password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the standard input."
)


@click.group(short_help="Add, list, change or remove people who sign in.")
def user() -> None:
    """People who sign in with a name and a password.

    A viewer sees everything, an editor also edits and asks devices for something, an operator may
    do everything, and who has none may do what the table of rights says. On the server's machine no
    old password is asked for: so a forgotten one is replaced here.
    """


@user.command()
@click.argument("name")
@click.option("--role", type=ROLE, default="viewer", show_default=True)
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="For the table of rights.")
@password_stdin
@setting_flags()
def add(
    given: GivenSettings, name: str, role: str, groups: tuple[str, ...], password_stdin: bool
) -> None:
    """Add the user NAME. The password is asked for."""
    from statecast.access.users import Users

    settings = given.settings()
    password = new_password(password_stdin)
    with opened_store(settings, create=True) as store:
        added = Users(store, now).add(name, password, role, groups, by=BY)
    output.print_line(f"Added: {added.name}, {added.role}.")


@user.command("password")
@user_argument
@password_stdin
@setting_flags()
def set_password(given: GivenSettings, name: str, password_stdin: bool) -> None:
    """Set a new password for NAME. Sessions of the old one end."""
    from statecast.access.users import Users

    settings = given.settings()
    chosen = new_password(password_stdin)
    with opened_store(settings) as store:
        Users(store, now).set_password(name, chosen, by=BY)
    output.print_line(f"The password of {name} is set. Who was signed in with the old one is not.")


@user.command("role")
@user_argument
@click.argument("role", type=ROLE)
@click.option(
    "--group", "groups", multiple=True, metavar="GROUP", help="Replaces the groups of the user."
)
@setting_flags()
def set_role(given: GivenSettings, name: str, role: str, groups: tuple[str, ...]) -> None:
    """Give NAME another role. It holds for open pages too."""
    from statecast.access.users import Users

    with opened_store(given.settings()) as store:
        Users(store, now).set_role(name, role, groups or None, by=BY)
    output.print_line(f"{name} is {role} now.")


@user.command("list")
@as_json
@setting_flags()
def list_(given: GivenSettings, as_json: bool) -> None:
    """List the users by name."""
    from statecast.access.users import Users

    with opened_store(given.settings()) as store:
        found = Users(store, now).all()
    output.print_list(
        found, as_json=as_json, described=described, cells=cells, nothing="There is no user."
    )


def cells(one: User) -> list[str]:
    set_at = f"password set {duration(now() - one.password_set_at)} ago"
    return [one.name, one.role, set_at, ", ".join(one.groups)]


def described(one: User) -> dict[str, object]:
    return {
        "name": one.name,
        "role": one.role,
        "groups": list(one.groups),
        "created_at": timestamps.iso(one.created_at),
        "password_set_at": timestamps.iso(one.password_set_at),
    }


@user.command()
@user_argument
@setting_flags()
def remove(given: GivenSettings, name: str) -> None:
    """Remove the user NAME. Sessions end within 5 s. The last operator stays."""
    from statecast.access.users import Users

    with opened_store(given.settings()) as store:
        Users(store, now).remove(name, by=BY)
    output.print_line(f"Removed: {name}.")


def new_password(from_stdin: bool) -> str:
    """A password that was typed twice, or the first line of the standard input.

    Never an argument: other users of the machine see the arguments of every process.
    """
    if not from_stdin:
        if not sys.stdin.isatty():
            raise CommandError("There is no terminal to ask for a password; use --password-stdin.")
        return typed_twice()
    return sys.stdin.readline().rstrip("\r\n")


def typed_twice() -> str:
    """Ask until both are the same."""
    while True:
        first = getpass.getpass("Password: ")
        if first == getpass.getpass("The same again: "):
            return first
        click.echo("They are not the same; please type it again.", err=True)
