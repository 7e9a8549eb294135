"""What is said about each route on the event loop, by its path. Every route has its entry.

The document at ``/api/openapi.json`` and docs/reference.md come from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from statecast import names
from statecast.access.actions import Action
from statecast.openapi.operation import (
    DescribedRoute,
    Operation,
    RequestParameter,
    RouteResponse,
    Schema,
)

NOT_DESCRIBED = {"/socket.io/": "It speaks Engine.IO, whose clients need no document of HTTP."}
"""The others, and why."""
JSON = "application/json"
SWITCH: Schema = {"type": "string", "enum": ["0", "1"], "default": "0"}
PROBLEMS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["kind", "subject", "sentence", "severity", "since"],
        "properties": {
            "kind": {"type": "string"},
            "subject": {"type": "string"},
            "sentence": {"type": "string"},
            "severity": {"enum": ["wrong", "notice"]},
            "since": {"type": "string", "format": "date-time"},
        },
    },
}


def verdict(*verdicts: str) -> Schema:
    members: dict[str, Any] = {
        "status": {"enum": list(verdicts)},
        "store": {"type": "string", "description": "`connected`, or what is wrong with it."},
        "offset": {"type": "integer", "minimum": 0},
        "problems": PROBLEMS,
    }
    return {"type": "object", "required": ["status"], "properties": members}


OPERATIONS: dict[str, tuple[Action | None, Operation]] = {
    "/events": (
        Action.READ,
        Operation(
            "watch_events",
            "States as server-sent events, for as long as the client reads",
            "The events are those of Socket.IO: `states`, `seen`, and `health` and `watching` if "
            "they are asked for. The id of an event is the position with which a reader returns.",
            (RouteResponse(200, "The events.", {"text/event-stream": {}}),),
            (),
            (
                RequestParameter(
                    "device",
                    "A name or pattern (`floor2/*`, `*`), any number of times; without it, all.",
                    {
                        "type": "array",
                        "items": {
                            "type": "string",
                            "pattern": names.WATCHED,
                            "maxLength": names.MAX_CHARACTERS,
                        },
                    },
                ),
                RequestParameter("health", "`1`: the `health` event too.", SWITCH),
                RequestParameter("presence", "`1`: who watches the named devices.", SWITCH),
                RequestParameter(
                    "once",
                    "`1`: the response ends when the reader has everything.",
                    {"type": "string", "enum": ["1"]},
                ),
                RequestParameter(
                    "since",
                    "`<epoch>:<offset>`, as `Last-Event-ID`, which overrides it.",
                    {"type": "string"},
                ),
                RequestParameter(
                    "Last-Event-ID",
                    "The id of the last event that the reader has.",
                    {"type": "string"},
                    "header",
                ),
            ),
        ),
    ),
    "/healthz": (
        None,
        Operation(
            "get_health",
            "Whether the process runs",
            "",
            (
                RouteResponse(
                    200,
                    "It runs.",
                    {
                        JSON: {
                            "type": "object",
                            "required": ["status"],
                            "properties": {"status": {"const": "alive"}},
                        }
                    },
                ),
            ),
        ),
    ),
    "/readyz": (
        None,
        Operation(
            "get_readiness",
            "Whether the work goes on",
            "The store can be read and written, every queue answers, and the server does not stop.",
            (
                RouteResponse(200, "The work goes on.", {JSON: verdict("ready")}),
                RouteResponse(
                    503,
                    "It does not, and `store` or `problems` say why.",
                    {JSON: verdict("not ready", "stopping")},
                ),
            ),
            (),
            (
                RequestParameter(
                    "only",
                    "`store`: whatever the queues do, for load balancers.",
                    {"type": "string", "enum": ["store"]},
                ),
            ),
        ),
    ),
    "/metrics": (
        Action.OPERATE,
        Operation(
            "get_metrics",
            "The figures, for Prometheus",
            "For this machine, and for clients that the setting `metrics_from` names.",
            (
                RouteResponse(
                    200,
                    "The figures, in the format that `Accept` names.",
                    {
                        "text/plain": {"type": "string"},
                        "application/openmetrics-text": {"type": "string"},
                    },
                ),
            ),
        ),
    ),
}


def described_routes(paths: Iterable[str]) -> list[DescribedRoute]:
    """The routes of the loop with these paths, and what is said about them."""
    return [
        DescribedRoute("GET", path, *OPERATIONS[path])
        for path in sorted(paths)
        if path not in NOT_DESCRIBED
    ]
