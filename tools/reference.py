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
from typing import Any, cast

import click

import statecast
from statecast import errors, names, settings, strict_json, timestamps
from statecast.broadcast import encoding
from statecast.broadcast.health import HEALTH_INTERVAL
from statecast.cli.main import main as command_line
from statecast.decoders import items, plain
from statecast.ingest.consumer import Health
from statecast.model import Cause, Update
from statecast.problems import MAX_SHOWN, Problem
from statecast.program.distribution import VERSION
from statecast.server import router
from statecast.web import api
from statecast.web.command_views import CommandViews
from statecast.web.rest_responses import TITLES

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
ADDRESSES = {
    "GET /api/devices": "All devices, by name, and the position up to which the list is complete. "
    "`damaged` names those whose rows in the store cannot be read; they answer 503.",
    "GET /api/devices/<device>": 'One device. The ETag is `"<epoch>.<offset>"`; `If-None-Match` '
    "gives 304.",
    "PUT /api/devices/<device>": "The body, an object, becomes the whole state. `If-Match` gives "
    "412 if the device changed.",
    "PATCH /api/devices/<device>": "The body is a merge patch (RFC 7396). `If-Match` as above.",
    "DELETE /api/devices/<device>": "Removes the device; 204. `If-Match` as above.",
    "GET /api/devices/<device>/history": "Versions, newest first, each "
    "`[at, version, change, cause, arrived_at]`. `limit`: 50, at most 1,000. `before`: a version; "
    "for the next page, the value of `next`.",
    "GET /api/changes": "The latest state of every device that changed after `since` "
    "(`<epoch>.<offset>`; without it: all devices), as a `states` event. Repeat with its position "
    "until it has `complete`. `limit`: 1,000, at most 10,000.",
    "POST /api/devices/<device>/commands": 'Asks something of the device: `{"name": "hug", '
    '"arguments": {}, "expires": 60, "by": "Ada"}`, of which only `name` is required; 201 with the '
    "command. A request with the `Idempotency-Key` of an earlier one is the same command. "
    "429: too many are open.",
    "GET /api/devices/<device>/commands": "The commands of the device, newest first, with what "
    "became of each; `limit` and `before` as for the history. **With `after`** it is the device "
    "that asks: the answer has the open commands after the one with this id (`after=` for all), "
    "which count as handed out from then on. With `wait=SECONDS` (at most 60) the answer waits for "
    "the next command. The device remembers ids, for the same command may come again; it answers "
    "by a message with `command` and `outcome`.",
    "GET /api/devices/<device>/viewers": "How many viewers watch the device, in all serving "
    "processes, and the names that the application gave them.",
    "GET /api/commands": "The commands of all devices, newest first.",
    "GET /api/commands/<id>": "One command.",
    "POST /api/messages": "Puts one message, or an array of up to 1,000 (all or none), into the "
    "embedded queue; 202 with `id` or `ids`. Durable before the answer, applied after it.",
}
BELOW_A_DEVICE = (
    "GET /api/devices/<device>/history",
    "GET /api/devices/<device>/commands",
    "POST /api/devices/<device>/commands",
    "GET /api/devices/<device>/viewers",
)
OTHERS = {
    "/socket.io/": "Socket.IO v5 over Engine.IO v4, on long polling and WebSocket.",
    "/events": "Server-sent events: `device` (a name or pattern, any number), `health=1`, "
    "`presence=1`, `once=1`, `since=<epoch>:<offset>`; the header `Last-Event-ID` overrides "
    "`since`.",
    "/healthz": "200 while the process runs.",
    "/readyz": "200 while the work goes on: the store can be read and written, every "
    "queue answers, and the server is not stopping; else 503, with the part that fails. "
    "`?only=store`: whatever the queues do, for load balancers.",
    "/metrics": "[The figures](how-to/monitoring.md), for Prometheus; for this machine and for "
    "`metrics_from`.",
}
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
        settings.text: "text",
        settings.yes_no: "yes or no",
        settings.words: "list",
        settings.origins: "list",
        settings.networks: "list",
        settings.mount_path: "path",
        settings.live_url: "URL or path",
    }
    known[settings.deadlines] = "table, as text `pillow=60,floor2/*=300`"
    known[settings.device_commands] = "table, as text `pillow=hug open,lamp/*=`"
    known[settings.command_queues] = "table, as text `pillow=azure-queue:pillow-commands`"
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
    flags = [one.name for one in command.params if one.name in table]
    if len(flags) > 5:
        yield "* A flag for each of the [settings](#settings).\n"
    else:
        yield "".join(f"* `--{name} URL`: {sentences[name]}\n" for name in flags)


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
    states = api.RestViews(cast(Any, None))
    views = states.paths() | CommandViews(cast(Any, None), states.device).paths()
    found = [
        f"{method} /api{path.replace('path:', '').replace('id_', 'id')}"
        for path in views
        for method in views[path]
    ]
    same(ADDRESSES, [*found, *BELOW_A_DEVICE], "REST")
    yield """## REST

Request bodies are JSON, with `Content-Type: application/json`. Changes by `PUT`, `PATCH` and
`DELETE` are committed at once, with the source `api`, as changes by a user. Unknown arguments are
errors.

| request | what it does |
| --- | --- |"""
    for request, sentence in ADDRESSES.items():
        yield f"| `{request}` | {sentence} |"
    statuses = ", ".join(f"{status} ({title})" for status, title in TITLES.items())
    yield "\nErrors are `application/problem+json` (RFC 9457), with a sentence in `detail`:"
    yield f"{statuses}.\n"


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
replaces the list; states that the viewer has already are not sent again. `health` requests beats.

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
        assert router.STATIC + script in router.static_files(), f"there is no {script}"
    yield "## Other addresses\n\n| address | what it serves |\n| --- | --- |"
    for path, sentence in OTHERS.items():
        yield f"| `{path}` | {sentence} |"
    scripts = ", ".join(f"`{router.STATIC}{script}`" for script in SCRIPTS)
    yield f"| {scripts} | The scripts for [pages of your own](how-to/own-page.md). |"
    pages = "`/`, `/devices/<device>`, `/operator`"
    yield f"| {pages} | The pages; in a Flask app of yours below `/statecast`. |\n"


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
