"""What REST takes and gives, as JSON Schemas. Their limits are those of the code that checks them.

A test compares real responses with them.
"""

from __future__ import annotations

from typing import Any

from statecast import names, strict_json
from statecast.access.patterns import SCOPE_CHARACTERS
from statecast.commands import request as commands
from statecast.decoders import cloud_events, items, plain
from statecast.openapi.document import PATH_PARAMETERS
from statecast.openapi.operation import Schema

COMMAND_STATUSES = ("waiting", "delivered", "done", "refused", "expired", "unanswered")


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(schema: Schema, **bounds: Any) -> Schema:
    return {"type": "array", "items": schema, **bounds}


def optional(schema: Schema) -> Schema:
    """A member that may also be ``null``."""
    return {"anyOf": [schema, {"type": "null"}]}


def object_of(required: dict[str, Schema], also: dict[str, Schema] | None = None) -> Schema:
    """An object with these members; those in ``also`` may be missing."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(also or {})},
    }


def closed(schema: Schema) -> Schema:
    """The same, with no other members: for what we read, where an unknown one is refused."""
    return {**schema, "additionalProperties": False}


def text(sentence: str = "", most: int | None = None, least: int = 0) -> Schema:
    bounds: dict[str, Any] = {} if most is None else {"maxLength": most}
    bounds |= {"minLength": least} if least else {}
    return {"type": "string", **bounds, **({"description": sentence} if sentence else {})}


DEVICE = PATH_PARAMETERS["device"][1]
TIME: Schema = {"type": "string", "format": "date-time"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
SCOPE: Schema = {
    "type": "string",
    "pattern": f"^[0-9a-f]{{{SCOPE_CHARACTERS}}}$",
    "description": "For which devices the position holds: those that the client may read.",
}
OBJECT: Schema = {
    "type": "object",
    "maxProperties": strict_json.MAX_MEMBERS,
    "propertyNames": {"maxLength": strict_json.MAX_NAME, "pattern": "^[^\\u0000]*$"},
    "additionalProperties": ref("Value"),
}
VALUE: Schema = {
    "description": "Any value that every reader of JSON understands alike: a number without a "
    f"fraction or an exponent is within ±{strict_json.MAX_INTEGER}.",
    "anyOf": [
        {"type": ["null", "boolean", "string", "number"]},
        list_of(ref("Value")),
        OBJECT,
    ],
}
STATE: Schema = {
    **OBJECT,
    "description": f"The fields of a device and their values: at most {plain.MAX_BYTES:,} bytes "
    f"and {strict_json.MAX_DEPTH} levels.",
}
CAUSE = object_of(
    {
        "source": text("The source of the message, or `api`."),
        "id": text("The id of the message."),
        "by": {"enum": ["device", "user", "system"]},
    },
    {"sender": text("The key with which it was sent, like `key pillow-1`.")},
)
PRINTABLE = r"^(?:[^\p{C}\p{Z}]| )*$"
COMMAND_NAME = {**text(least=1, most=names.MAX_COMMAND), "pattern": PRINTABLE}
COMMAND_NAMES = list_of(COMMAND_NAME, maxItems=names.MAX_COMMANDS)

SCHEMAS: dict[str, Schema] = {
    "State": STATE,
    "Value": VALUE,
    "Cause": CAUSE,
    "Device": object_of(
        {
            "device": DEVICE,
            "version": {**POSITIVE, "description": "1, 2, 3 ... per device."},
            "offset": {**POSITIVE, "description": "Rising per store."},
            "state": {
                "description": "`null`: the device was removed.",
                **optional(ref("State")),
            },
            "changed_at": {**TIME, "description": "When the newest version happened."},
            "arrived_at": {**TIME, "description": "When it was committed."},
            "seen_at": {**optional(TIME), "description": "The device's last sign of life."},
            "cause": ref("Cause"),
            "silent_after": {
                "type": ["number", "null"],
                "description": "Its deadline in seconds.",
            },
            "source": {
                "type": ["string", "null"],
                "description": "The source of its own newest message.",
            },
        },
        {"commands": {**COMMAND_NAMES, "description": "Those that it takes, if it is known."}},
    ),
    "Devices": object_of(
        {
            "epoch": text(),
            "offset": {**WHOLE, "description": "Up to where the page is complete."},
            "scope": SCOPE,
            "devices": list_of(ref("Device")),
            "next": {
                **optional(DEVICE),
                "description": "The `after` of the following page; `null`: there is none.",
            },
        },
        {"damaged": list_of(text("The name of a device whose rows cannot be read."))},
    ),
    "States": object_of(
        {
            "epoch": text(),
            "offset": {**WHOLE, "description": "With `epoch`, the reader's new position."},
            "scope": SCOPE,
            "states": list_of(ref("Device")),
        },
        {
            "reset": {"const": True, "description": "The position was not valid."},
            "complete": {"const": True, "description": "There is nothing after these now."},
        },
    ),
    "History": object_of(
        {
            "device": DEVICE,
            "history": list_of(ref("Version")),
            "next": {
                **optional(POSITIVE),
                "description": "The `before` of the following page; `null`: there is none.",
            },
            "total": {**POSITIVE, "description": "How many versions are kept."},
            "since": {**optional(TIME), "description": "When the oldest of them happened."},
        }
    ),
    "Version": {
        "type": "array",
        "description": "When it happened, the version, the merge patch against the version before "
        "(`null`: the device was removed), the cause, when it was committed.",
        "prefixItems": [
            TIME,
            POSITIVE,
            {"type": ["object", "null"]},
            ref("Cause"),
            TIME,
        ],
        "minItems": 5,
        "maxItems": 5,
    },
    "Viewers": object_of({"device": DEVICE, "count": WHOLE, "names": list_of(text())}),
    "Command": object_of(
        {
            "id": text(),
            "device": DEVICE,
            "name": COMMAND_NAME,
            "arguments": {"type": "object"},
            "by": {"type": ["string", "null"], "description": "The person who asks."},
            "status": {"enum": list(COMMAND_STATUSES)},
            "reason": {"type": ["string", "null"], "description": "The device's sentence."},
            "change": {**POSITIVE, "description": "Rising with each change of any command."},
            "created_at": TIME,
            "expires_at": TIME,
            "delivered_at": optional(TIME),
            "ended_at": optional(TIME),
        }
    ),
    "Commands": object_of(
        {
            "commands": list_of(ref("Command")),
            "next": {
                **optional(POSITIVE),
                "description": "The `before` of the following page; `null`: there is none.",
            },
        }
    ),
    "HandedOut": object_of(
        {
            "commands": list_of(
                object_of(
                    {
                        "id": text(),
                        "device": DEVICE,
                        "name": COMMAND_NAME,
                        "arguments": {"type": "object"},
                        "expires_at": TIME,
                        "seconds_left": {"type": "number", "minimum": 0},
                    }
                )
            )
        }
    ),
    "NewCommand": closed(
        object_of(
            {"name": COMMAND_NAME},
            {
                "arguments": optional(OBJECT),
                "expires": optional(
                    {
                        "type": "number",
                        "exclusiveMinimum": 0,
                        "maximum": commands.LONGEST,
                        "default": commands.EXPIRES,
                        "description": "Seconds for which it may wait.",
                    }
                ),
                "by": optional(
                    {**text("The person who asks.", commands.MAX_KEY, 1), "pattern": PRINTABLE}
                ),
            },
        )
    ),
    "Message": closed(
        object_of(
            {"device": DEVICE},
            {
                "state": optional(ref("State")),
                "time": optional(
                    {**TIME, "description": "When it happened; without it, the time of arrival."}
                ),
                "id": optional(
                    text("The event's own id: it counts once in 24 hours.", plain.MAX_ID, 1)
                ),
                "sequence": optional(WHOLE),
                "silent_after": optional(
                    {"type": "number", "exclusiveMinimum": 0, "maximum": plain.MAX_SILENCE}
                ),
                "by": {"enum": ["device", "user", None]},
                "replace": {"type": ["boolean", "null"]},
                "delete": {"type": ["boolean", "null"]},
                "commands": optional(COMMAND_NAMES),
                "command": optional(
                    text("The id of the command that it answers.", plain.MAX_ID, 1)
                ),
                "outcome": {"enum": ["done", "refused", None]},
                "reason": optional(text("The device's sentence.", plain.MAX_REASON)),
                plain.IGNORED: {},
            },
        )
    ),
    "CloudEvent": object_of(
        {
            "specversion": {"const": cloud_events.VERSION},
            "id": text(least=1),
            "source": text(least=1),
            "type": text(least=1),
        },
        {"subject": text(), "time": TIME, "data": {}},
    ),
    "Sent": object_of({"id": text("Of the message in the queue.")}),
    "SentAll": object_of({"ids": list_of(text(), minItems=1, maxItems=items.MAX_ITEMS)}),
}
"""By the name under which the routes refer to them."""
