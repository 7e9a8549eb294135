"""What is said about each route of REST, by its endpoint, as in ``route_actions.ACTIONS``.

Every route has its entry. The document at ``/api/openapi.json`` and docs/reference.md come from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from flask import Flask

from statecast.commands import request as commands
from statecast.decoders import items
from statecast.openapi.operation import (
    DescribedRoute,
    Operation,
    RequestBody,
    RequestParameter,
    RouteResponse,
)
from statecast.web import route_actions
from statecast.web.paging import (
    CHANGES,
    COMMANDS,
    DEVICES,
    HISTORY,
    MAX_CHANGES,
    MAX_COMMANDS,
    MAX_DEVICES,
    MAX_HISTORY,
    MAX_WHOLE,
)
from statecast.web.rest_schemas import DEVICE as NAME
from statecast.web.rest_schemas import list_of, ref

BLUEPRINT = "statecast_rest"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
EVENT_STREAM = "text/event-stream"
ETAG = {"ETag": '`"<epoch>.<offset>"`.'}
DEVICE = RouteResponse(200, "The device.", {JSON: ref("Device")}, ETAG)
UNSEEN = RouteResponse(204, "It is changed, and the client may not read it.")
IF_MATCH = RequestParameter(
    "If-Match",
    "Only if the device still has this ETag, else 412; `*`: only if it exists.",
    {"type": "string"},
    "header",
)
IF_NONE_MATCH = RequestParameter(
    "If-None-Match",
    "The ETag that the client has: if it is still that of the device, the answer is 304.",
    {"type": "string"},
    "header",
)


def limit(default: int, most: int) -> RequestParameter:
    return RequestParameter(
        "limit",
        f"How many at most; more than {most:,} count as {most:,}.",
        {"type": "integer", "minimum": 1, "maximum": MAX_WHOLE, "default": default},
    )


def before(what: str) -> RequestParameter:
    return RequestParameter(
        "before",
        f"Only older {what}: the value of `next` of the page before.",
        {"type": "integer", "minimum": 1, "maximum": MAX_WHOLE},
    )


COMMAND_PAGE = (before("commands"), limit(COMMANDS, MAX_COMMANDS))

OPERATIONS: dict[str, Operation] = {
    "devices": Operation(
        "list_devices",
        "All devices",
        "Those that may be read, by name, with the position up to which the page is complete: with "
        "what `/api/changes` has since the position of the first page, the pages are complete. "
        "`damaged` names those whose rows in the store cannot be read; they answer 503.",
        (
            RouteResponse(
                200,
                "A page of devices.",
                {JSON: ref("Devices")},
                {"Link": 'The address of the following page, with `rel="next"`, if there is one.'},
            ),
        ),
        (),
        (
            RequestParameter(
                "after",
                "Only devices after this name: the value of `next` of the page before.",
                {"anyOf": [NAME, {"const": ""}]},
            ),
            limit(DEVICES, MAX_DEVICES),
        ),
    ),
    "device": Operation(
        "get_device",
        "One device",
        "",
        (DEVICE, RouteResponse(304, "The device still has the ETag of If-None-Match.", {}, ETAG)),
        (404,),
        (IF_NONE_MATCH,),
    ),
    "put": Operation(
        "replace_state",
        "Set the whole state",
        "The body becomes the state, and a device that does not exist is made. It is committed at "
        "once, with the source `api`, as a change by a user.",
        (DEVICE, UNSEEN),
        (404, 412, 415, 507),
        (IF_MATCH,),
        RequestBody("The whole state.", {JSON: ref("State")}, {"mood": "happy"}),
    ),
    "patch": Operation(
        "merge_state",
        "Change some fields of the state",
        "The body is a merge patch (RFC 7396): fields that it does not name stay, and `null` "
        "removes a field. It is committed as with PUT.",
        (DEVICE, UNSEEN),
        (404, 412, 415, 507),
        (IF_MATCH,),
        RequestBody(
            "The fields to change.",
            {JSON: ref("State"), MERGE_PATCH: ref("State")},
            {"mood": "calm", "note": None},
        ),
    ),
    "delete": Operation(
        "delete_device",
        "Remove a device",
        "Those who watch it are told so.",
        (RouteResponse(204, "It is removed.", {}, ETAG),),
        (404, 412),
        (IF_MATCH,),
    ),
    "history": Operation(
        "get_history",
        "The versions of a device, newest first",
        "Each is `[at, version, change, cause, arrived_at]`.",
        (RouteResponse(200, "A page of versions.", {JSON: ref("History")}),),
        (404,),
        (before("versions"), limit(HISTORY, MAX_HISTORY)),
    ),
    "viewers": Operation(
        "get_viewers",
        "Who watches a device",
        "How many viewers do, in all serving processes, and the names that the application gave "
        "them.",
        (RouteResponse(200, "Their number and names.", {JSON: ref("Viewers")}),),
        (404,),
    ),
    "changes": Operation(
        "get_changes",
        "What has changed since a position",
        "The latest state of every device that changed after `since`, as a `states` event. Repeat "
        "with its position until it has `complete`.",
        (RouteResponse(200, "The devices that changed.", {JSON: ref("States")}),),
        (),
        (
            RequestParameter(
                "since",
                "`<epoch>.<offset>.<scope>`. Without it the answer has all devices; one that is "
                "not valid, or of other rights, is answered by `reset` and all devices. The scope "
                "may be left out where everybody who may read may read everything.",
                {"type": "string"},
            ),
            limit(CHANGES, MAX_CHANGES),
        ),
    ),
    "messages": Operation(
        "send_messages",
        "Send messages as a device",
        f"Puts one message, or an array or JSON lines of up to {items.MAX_ITEMS:,} (all or none), "
        "into the queue; durable before the answer, applied after it.",
        (
            RouteResponse(
                202,
                "They are in the queue: one has an `id`, several have `ids`.",
                {JSON: {"anyOf": [ref("Sent"), ref("SentAll")]}},
            ),
        ),
        (415,),
        (),
        RequestBody(
            "Messages, or events in a format that the source reads.",
            {
                JSON: {
                    "anyOf": [
                        ref("Message"),
                        list_of(ref("Message"), minItems=1, maxItems=items.MAX_ITEMS),
                    ]
                },
                "application/cloudevents+json": ref("CloudEvent"),
                "application/cloudevents-batch+json": list_of(
                    ref("CloudEvent"), minItems=1, maxItems=items.MAX_ITEMS
                ),
                "application/jsonl": {"type": "string"},
                "application/x-ndjson": {"type": "string"},
            },
            {"device": "pillow", "state": {"mood": "happy"}},
        ),
    ),
    "begin_command": Operation(
        "give_command",
        "Ask something of a device",
        "Durable before the answer. Of the members only `name` is required.",
        (
            RouteResponse(
                201,
                "The command; 201 also if the request repeats an earlier one.",
                {JSON: ref("Command")},
                {"Location": "The address of the command."},
            ),
        ),
        (404, 409, 415),
        (
            RequestParameter(
                "Idempotency-Key",
                "The sender's own id of the request: one that repeats it is the same command.",
                {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": commands.MAX_KEY,
                    "pattern": "^[!-~]([ -~]*[!-~])?$",
                },
                "header",
            ),
        ),
        RequestBody(
            "What is asked.",
            {JSON: ref("NewCommand")},
            {"name": "hug", "arguments": {"strength": 2}, "expires": 60, "by": "Ada"},
        ),
    ),
    "commands": Operation(
        "list_commands_of_device",
        "The commands of a device; with `after`, those for the device itself",
        "Newest first, with what became of each. **With `after`** it is the device that asks, and "
        "it needs the right to send: the answer has the open commands after the one with this id, "
        "which count as handed out from then on. With `Accept: text/event-stream` it goes on, with "
        "an event for each command. The device remembers ids, for the same command may come again; "
        "it answers by a message with `command` and `outcome`.",
        (
            RouteResponse(
                200,
                "A page of commands; with `after`, the commands for the device.",
                {
                    JSON: {"anyOf": [ref("Commands"), ref("HandedOut")]},
                    EVENT_STREAM: {},
                },
            ),
        ),
        (404, 405, 409),
        (
            *COMMAND_PAGE,
            RequestParameter(
                "after", "The newest id that the device has; empty: all.", {"type": "string"}
            ),
            RequestParameter(
                "wait",
                "With `after`: seconds for which the answer may wait for the next command.",
                {"type": "number", "minimum": 0, "maximum": commands.LONGEST_WAIT},
            ),
        ),
    ),
    "all_commands": Operation(
        "list_commands",
        "The commands of all devices, newest first",
        "",
        (RouteResponse(200, "A page of commands.", {JSON: ref("Commands")}),),
        (),
        COMMAND_PAGE,
    ),
    "command": Operation(
        "get_command",
        "One command, and what became of it",
        "",
        (RouteResponse(200, "The command.", {JSON: ref("Command")}),),
        (404,),
    ),
    "openapi": Operation(
        "get_openapi",
        "This document",
        "",
        (
            RouteResponse(
                200, "An OpenAPI document.", {JSON: {"type": "object"}}, {"ETag": "Its hash."}
            ),
            RouteResponse(
                304, "It still has the ETag of If-None-Match.", {}, {"ETag": "Its hash."}
            ),
        ),
        (),
        (
            RequestParameter(
                "If-None-Match",
                "The ETag that the client has: if the document still has it, the answer is 304.",
                {"type": "string"},
                "header",
            ),
        ),
    ),
}
_VARIABLE = re.compile(r"<(?:\w+:)?(\w+?)_?>")


def described_routes(app: Flask) -> Iterator[DescribedRoute]:
    """The routes of REST in an app, with what is said about them, by path."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda one: one.rule):
        blueprint, _, endpoint = rule.endpoint.rpartition(".")
        if blueprint != BLUEPRINT or endpoint.startswith(route_actions.OTHER_METHOD):
            continue
        path = _VARIABLE.sub(r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            action = route_actions.ACTIONS[BLUEPRINT][endpoint]
            yield DescribedRoute(method, path, action, OPERATIONS[endpoint])
