"""Writes docs/reference.md from the code: `python -m tools.reference`. A test fails if it is stale.

Settings, public names, commands and addresses come from the code. The examples of the wire are
made by the functions that make the real events. Other texts are in this module, each with a check
that it covers exactly what the code has.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

import statecast
from statecast import errors, names, settings, strict_json, timestamps
from statecast.broadcast import encoding
from statecast.broadcast.health import HEALTH_INTERVAL
from statecast.cli.main import main as command_line
from statecast.decoders import items, plain
from statecast.flask import create_app
from statecast.ingest.consumer import Health
from statecast.model import Cause, Update
from statecast.openapi import statuses
from statecast.openapi.operation import Operation, Schema
from statecast.problems import MAX_SHOWN, Problem
from statecast.program.distribution import VERSION
from statecast.server import loop_operations, static_files
from statecast.settings import checks
from statecast.web import rest_operations
from statecast.web.paging import MAX_WHOLE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"
HEAD = """# Reference

`python -m tools.reference` makes this page from the code. Change the code and run it.

[Settings](#settings) ·
[Python](#python) ·
[Commands](#commands) ·
[Messages](#messages) ·
[REST](#rest) ·
[Events to viewers](#events-to-viewers) ·
[Other addresses](#other-addresses) ·
[Limits](#limits)
"""
MEMBERS = {
    "device": "The device's name, 1 to 128 characters: parts of letters, digits and `. _ : -`, "
    "joined by single `/`; no part is `.` or `..`. Required.",
    "state": "An object, merged into the state by RFC 7396: fields that it does not name stay, and "
    "`null` removes a field. Required, except with `delete`.",
    "time": "When it happened, like `2026-01-31T12:00:00Z`. Without it, or with a time before "
    "2020, the time of arrival in the queue counts. A time after the arrival is replaced by it.",
    "id": "The event's own id: the same id of the same device counts once in 24 hours.",
    "sequence": "A whole number that decides between two messages of one time. With "
    "`order=sequence` in the URL of the source, it counts before the time.",
    "silent_after": "The device's deadline: after this many seconds without a message the device "
    "counts as silent.",
    "by": '`"device"` (the default) or `"user"`. Only messages by the device update its last-seen '
    "time.",
    "replace": "`true`: `state` is the whole state; every other field is removed.",
    "delete": "`true`: the device is removed.",
    "commands": "The names of the commands that the device takes, at most 32; `[]`: none. It "
    "replaces what was known; without it, that stays. `state` is optional then.",
    "command": "The id of a command of this device that the message answers; `state` is optional "
    "then.",
    "outcome": "What became of that command: `done` or `refused`.",
    "reason": "The device's sentence about it, at most 1,000 characters.",
}
ENGINE_IO = "Socket.IO v5 over Engine.IO v4, on long polling and WebSocket."
SCRIPTS = ("statecast.js", "bind.js")
EXAMPLE = Update(
    device="pillow",
    version=47,
    offset=1203,
    state=b'{"mood":"happy","battery":82}',
    changed_at=1_769_860_800_000,
    arrived_at=1_769_860_800_012,
    seen_at=1_769_860_801_500,
    cause=Cause("queue", "88", "device"),
    silent_after=60.0,
    source="queue",
)


COLUMNS = 100


def render() -> str:
    parts = [
        HEAD,
        *table_of_settings(),
        *python(),
        *commands(),
        *messages(),
        *addresses(),
        *events(),
        *others(),
    ]
    return folded("\n".join([*parts, *limits()]).rstrip()) + "\n"


def folded(page: str) -> str:
    """The page with lines of at most 100 columns, except in tables and code."""
    pieces = re.split(r"(^```.*?^```$)", page, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        piece if piece.startswith("```") else "\n".join(map(fold, piece.split("\n")))
        for piece in pieces
    )


def fold(line: str) -> str:
    """A line broken at spaces, but not within backticks. A row of a table stays whole."""
    if len(line) <= COLUMNS or line.startswith("|"):
        return line
    whole = re.sub(r"`[^`]*`", lambda span: span[0].replace(" ", "\0"), line)
    indent = "  " if line.startswith("* ") else ""
    broken = textwrap.fill(
        whole,
        COLUMNS,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return broken.replace("\0", " ")


def same(
    written: Mapping[str, Any] | list[str], found: Iterator[str] | list[str], what: str
) -> None:
    """The names in this module are the names in the code."""
    left, right = set(written), set(found)
    if left != right:
        raise SystemExit(
            f"tools/reference.py and the code differ in {what}: {sorted(left ^ right)}"
        )


# Settings


def table_of_settings() -> Iterator[str]:
    yield """## Settings

The first of these that is given decides the value of a setting:

1. a flag of `statecast run`: `--history-days 30`, or an option of `Statecast(app, history_days=30)`
2. a variable: `STATECAST_HISTORY_DAYS=30`
3. a key of a Flask app's configuration: `app.config["STATECAST_HISTORY_DAYS"]`
4. a line of the TOML file that `--config` or `STATECAST_CONFIG` names: `history_days = 30`

Unknown names and bad values are errors. A list is a list in TOML and Python, one text with commas
in a variable, and a repeated flag on the command line.

| name | default | value | what it sets | variable |
| --- | --- | --- | --- | --- |"""
    for line in dataclasses.fields(settings.Settings):
        shown = (
            ""
            if line.default in ((), "") or line.default is dataclasses.MISSING
            else f"`{plainly(line.default)}`"
        )
        sentence = line.metadata["sentence"]
        variable = f"`STATECAST_{line.name.upper()}`"
        value = kind(line.metadata["check"])
        yield f"| `{line.name}` | {shown} | {value} | {sentence} | {variable} |"
    yield ""


def plainly(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def kind(check: Callable[[Any], Any]) -> str:
    known = {
        checks.text: "text",
        checks.yes_no: "yes or no",
        checks.words: "list",
        checks.origins: "list",
        checks.patterns: "list",
        checks.header_name: "text",
        checks.networks: "list",
        checks.mount_path: "path",
        checks.live_url: "URL or path",
        checks.ancestors: "list",
        checks.keys_location: "URL or file",
    }
    known[checks.deadlines] = "table, as text `pillow=60,floor2/*=300`"
    known[checks.rights] = "table, as text JSON"
    known[checks.device_commands] = "table, as text `pillow=hug open,lamp/*=`"
    known[checks.command_queues] = "table, as text `pillow=azure-queue:pillow-commands`"
    if check in known:
        return known[check]
    bounds = inspect.getclosurevars(check).nonlocals
    if "known" in bounds:
        return " or ".join(f"`{one}`" for one in bounds["known"])
    low, high = (
        f"{bounds[name]:,}" if isinstance(bounds[name], int) else f"{bounds[name]:,g}"
        for name in ("low", "high")
    )
    return f"{low} to {high}"


# Python


def python() -> Iterator[str]:
    yield "## Python\n\nEverything here is imported from `statecast`.\n"
    public = [name for name in statecast.__all__ if not name.startswith("_")]
    same(
        ["Statecast", "Settings", *ERRORS],
        public,
        "public names",
    )
    yield from extension(statecast.Statecast)
    yield "### `Settings(...)`\n"
    yield f"{prose(settings.Settings)} Its fields are the [settings](#settings).\n"
    for name in ERRORS:
        yield f"### `{name}`\n\n{prose(getattr(statecast, name))}\n"
    tree = (errors.__doc__ or "").partition("::\n\n")[2].rstrip()
    yield "All errors; those that are not named above are in `statecast.errors`:\n"
    yield f"```text\n{tree}\n```\n"


def extension(kind_of_guest: type) -> Iterator[str]:
    yield f"### `Statecast(app=None, **settings)`\n\n{prose(kind_of_guest)}\n"
    for name, member in vars(kind_of_guest).items():
        if name.startswith("_") or not inspect.isfunction(member):
            continue
        mark = "@" if name in ("on", "on_change", "poll") else ""
        yield f"* **`{mark}live.{name}{signature(member)}`**: {prose(member)}"
    yield ""


def signature(function: Callable[..., Any]) -> str:
    """The signature as it is called: without types and ``self``."""
    found = inspect.signature(function)
    members = [
        one.replace(annotation=inspect.Parameter.empty)
        for one in list(found.parameters.values())[1:]
    ]
    return str(found.replace(parameters=members, return_annotation=inspect.Signature.empty))


def prose(documented: Any) -> str:
    text = inspect.getdoc(documented)
    assert text, f"{documented} has no docstring"
    return re.sub(r"\s*\n\s*", " ", text).replace("``", "`")


# Commands


def commands() -> Iterator[str]:
    yield """## Commands

`statecast --help` and each command's own `--help` have the same texts.

| exit status | meaning |
| --- | --- |
| 0 | done |
| 1 | refused, not found, unavailable, output not writable, or system not supported (Windows) |
| 2 | wrong usage |
| 130, 143 | ended by Ctrl-C, by SIGTERM |

With status 1 or 2 one sentence on stderr says why.
"""
    for path, command in subcommands("statecast", command_line):
        context = click.Context(command, info_name=path)
        usage = " ".join([path, *command.collect_usage_pieces(context)])
        yield f"### {path}\n\n```text\n{usage}\n```\n"
        yield paragraphs(command.help or "") + "\n"
        yield from options(command)
        if command.epilog:
            yield f"```text\n{inspect.cleandoc(command.epilog.replace(chr(8), '')).strip()}\n```\n"


def subcommands(path: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from subcommands(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def options(command: click.Command) -> Iterator[str]:
    table = settings.names()
    sentences = {
        line.name: line.metadata["sentence"] for line in dataclasses.fields(settings.Settings)
    }
    own = [
        one
        for one in command.params
        if isinstance(one, click.Option) and one.name not in table and not one.hidden
    ]
    for option in own:
        metavar = f" {option.metavar}" if option.metavar else ""
        if isinstance(option.type, click.Choice):
            metavar = " " + "|".join(option.type.choices)
        yield f"* `{'`, `'.join(option.opts)}{metavar}`: {option.help}"
    flags = [one for one in command.params if one.name in table]
    if len(flags) > 5:
        yield "* A flag for each of the [settings](#settings).\n"
    else:
        yield "".join(f"* `{one.opts[0]} {one.metavar}`: {sentences[one.name]}\n" for one in flags)


def paragraphs(text: str) -> str:
    parts = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(re.sub(r"\s*\n\s*", " ", part) for part in parts).replace("``", "`")


# Messages, addresses, events


def messages() -> Iterator[str]:
    same(MEMBERS, list(plain.MEMBERS), "the members of a message")
    yield """## Messages

A message is a JSON object. An array holds several messages, which are independent. A message with
an unknown member is refused. A member that may be left out may also be `null`.

| member | meaning |
| --- | --- |"""
    for name in plain.MEMBERS:
        yield f"| `{name}` | {MEMBERS[name]} |"
    yield f"\n`{plain.IGNORED}` is ignored: Azure Functions add it. For events of other systems see"
    yield "[CloudEvents, Event Grid and IoT Hub](how-to/read-events.md).\n"


def addresses() -> Iterator[str]:
    yield """## REST

`GET /api/openapi.json` answers this as an OpenAPI document, with every member of every body: for a
client in any language, and for tools that try the server. Request bodies are JSON, with
`Content-Type: application/json`. Unknown arguments are errors. What a request needs is one of the
actions that a client may be allowed.

| request | what it does | needs | errors |
| --- | --- | --- | --- |"""
    app = create_app(settings.Settings(store="memory:"))
    for route in rest_operations.described_routes(app):
        path = route.path.replace("{", "<").replace("}", ">")
        errors = ", ".join(map(str, route.operation.errors))
        facts = told(route.operation)
        yield f"| `{route.method} {path}` | {facts} | {route.action} | {errors} |"
    common = ", ".join(map(str, statuses.COMMON))
    yield (
        "\nErrors are `application/problem+json` (RFC 9457), with a sentence in `detail`. Every "
        f"request may be answered by {common}; most of these come from the server, before it "
        "looks at the address.\n\n| status | title | why |\n| --- | --- | --- |"
    )
    for status, title in statuses.TITLES.items():
        sentence = statuses.sentence(status, settings.Settings())
        yield f"| {status} | {title} | {sentence} |"
    yield ""


def told(facts: Operation) -> str:
    """What an operation does, its parameters, and an example of its body."""
    parts = [f"{facts.summary}.", facts.description]
    if facts.body is not None:
        example = strict_json.encode(facts.body.example).decode()
        parts.append(f"For example `{example}`.")
    parts += [f"`{one.name}`{bounds(one.schema)}: {one.sentence}" for one in facts.parameters]
    return " ".join(filter(None, parts))


def bounds(schema: Schema) -> str:
    """The bounds of a parameter, but for the largest whole number of all."""
    low, high = schema.get("minimum"), schema.get("maximum")
    known = [f"default {schema['default']}"] if "default" in schema else []
    if high is not None and high != MAX_WHOLE:
        known.insert(0, f"{low:g} to {high:g}")
    return f" ({', '.join(known)})" if known else ""


ERRORS = ("StatecastError", "Refused", "ConnectionRefused", "Unavailable", "BadSetting")
CLOCK_EXAMPLE = "Its clock is 5 min ahead; its times are cut to those of its queue."


def events() -> Iterator[str]:
    item = encoding.item(EXAMPLE)
    states = encoding.states("64c8…", EXAMPLE.offset, [item], complete=True)
    now = EXAMPLE.changed_at
    health = {"queue": Health("connected", now - 60_000, now, 0.012, 0).report()}
    beat = strict_json.encode(
        {
            "now": timestamps.iso(now),
            "sources": health,
            "viewers": 3,
            "version": VERSION,
            "problems": [
                Problem("clock", "device pillow", CLOCK_EXAMPLE, "notice", now - 60_000).public()
            ],
        }
    )
    yield f"""## Events to viewers

Events are in the namespace `/`. A viewer sends `watch`. It is acknowledged at once with
`{{"epoch", "offset", "reset"}}`, or with `{{"error"}}`, a sentence:

```json
{{
  "devices": ["pillow", "floor2/*"],
  "since": {{"epoch": "64c8…", "offset": 1200}},
  "protocol": 1,
  "health": true
}}
```

`devices` holds names and patterns: `floor2/*` for all depths below, or `*`. `since` is the position
of the last `states` that the viewer has; without it the viewer gets everything. A further `watch`
replaces the list; states that the viewer has already are not sent again. `health` requests beats,
and `protocol` 2 [patches](wire.md#patches) in the place of whole states.

The server sends `states`, always with a list:

```json
{pretty(states)}
```

* `epoch` and `offset` are the viewer's new position.
* `"complete": true` ends the answer to `watch`.
* `"reset": true`: the viewer's position was not valid. A device that this answer does not name was
  removed.
* A removed device has `"state": null`.
* `source` is the source of the device's own last message. Its health says whether the state may be
  old.

`seen`, at most once a second, for devices with a deadline that reported without a change:

```json
{pretty(encoding.seen({EXAMPLE.device: EXAMPLE.changed_at}))}
```

`health`, to viewers that requested it, on change and as a beat every {HEALTH_INTERVAL:g} s.
`status` is `connected`, `away` (the queue does not answer), `blocked` (the store takes nothing) or
`standby`; `sentence` says why. `lag` is in seconds, and `null` if the queue was empty. A queue
with a price per request also has `requests_per_hour`. `problems` are what is wrong now, at most
{MAX_SHOWN}, the severity `wrong` before `notice`; each has a sentence for people:

```json
{pretty(beat)}
```
"""


def pretty(encoded: bytes) -> str:
    return strict_json.encode(strict_json.decode(encoded)).decode()


def others() -> Iterator[str]:
    for script in SCRIPTS:
        assert static_files.STATIC + script in static_files.static_files(), f"there is no {script}"
    yield "## Other addresses\n\n| address | what it serves |\n| --- | --- |"
    yield f"| `/socket.io/` | {ENGINE_IO} |"
    for path, (_, facts) in loop_operations.OPERATIONS.items():
        yield f"| `{path}` | {told(facts)} |"
    scripts = ", ".join(f"`{static_files.STATIC}{script}`" for script in SCRIPTS)
    yield f"| {scripts} | The scripts for [pages of your own](how-to/own-page.md). |"
    pages = "`/`, `/devices/<device>`, `/operator`"
    yield f"| {pages} | The pages; in a Flask app of yours below `/statecast`. |\n"
    yield "What the figures say: [Monitor a server](how-to/monitoring.md).\n"


def limits() -> Iterator[str]:
    yield "## Limits\n\nBeside the settings, these limits always apply.\n"
    yield "| what | at most |\n| --- | ---: |"
    for what, most in (
        ("bytes of a message, and of a state", plain.MAX_BYTES),
        ("messages of an array", items.MAX_ITEMS),
        ("bytes of an array of messages", items.MAX_ARRAY_BYTES),
        ("characters of a device's name", names.MAX_CHARACTERS),
        ("characters of a field's name", strict_json.MAX_NAME),
        ("levels of nesting", strict_json.MAX_DEPTH),
        ("members of an object", strict_json.MAX_MEMBERS),
    ):
        yield f"| {what} | {most:,} |"
    yield ""


def main() -> None:
    PAGE.write_text(render(), "utf-8")


if __name__ == "__main__":
    main()
