"""The OpenAPI document of described routes (https://spec.openapis.org/oas/v3.1.1.html)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from statecast import names
from statecast.access.credentials import SESSION_COOKIE
from statecast.openapi import statuses
from statecast.openapi.operation import (
    DescribedRoute,
    Operation,
    RequestParameter,
    RouteResponse,
    Schema,
)
from statecast.program.distribution import VERSION
from statecast.settings import Settings

OPENAPI = "3.1.1"
PROBLEM = "application/problem+json"
DESCRIPTION = (
    "Reads and sets the states of devices, sends their messages and their commands. A GET below "
    "`/api` may also be a HEAD, except one that takes commands (`after`). Unknown arguments of "
    "addresses below `/api` are errors. Errors are problems (RFC 9457), whose `detail` is a "
    "sentence for people; where a browser asks for a page (`Accept: text/html`), those that come "
    "from the server before it looks at the route are a page with the same sentence."
)
DEVICE = "The name of a device. Each `/` in it may be sent as it is or as `%2F`."
PATH_PARAMETERS: Mapping[str, tuple[str, Schema]] = {
    "device": (
        DEVICE,
        {
            "type": "string",
            "minLength": 1,
            "maxLength": names.MAX_CHARACTERS,
            "pattern": names.PATTERN,
        },
    ),
    "id": ("The id of a command.", {"type": "string", "minLength": 1}),
}
SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of this server, or a signed token.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "The session of somebody who has signed in on the page.",
    },
}
PROBLEM_SCHEMA: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string", "description": "A few words about the status."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "A sentence: what happened, what to do."},
        "id": {"type": "string", "description": "With 500: the number under which it is logged."},
    },
}
_VARIABLE = re.compile(r"\{(\w+)\}")


def document(
    routes: Iterable[DescribedRoute], schemas: Mapping[str, Schema], settings: Settings
) -> dict[str, Any]:
    """The document as a JSON object. ``schemas`` are those that routes refer to, by name."""
    paths: dict[str, dict[str, Any]] = {}
    used: set[int] = set()
    for route in routes:
        found = errors_of(route.operation)
        used.update(found)
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route, found)
    return {
        "openapi": OPENAPI,
        "info": {"title": "Statecast", "version": VERSION, "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": PROBLEM_SCHEMA},
            "responses": {
                name_of(status): problem_response(status, settings) for status in sorted(used)
            },
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def operation(route: DescribedRoute, errors: Iterable[int]) -> dict[str, Any]:
    facts = route.operation
    parameters = [*path_parameters(route.path), *map(parameter, facts.parameters)]
    shown: dict[str, Any] = {"operationId": facts.name, "summary": facts.summary}
    if facts.description:
        shown["description"] = facts.description
    if parameters:
        shown["parameters"] = parameters
    if facts.body is not None:
        content = {kind: {"schema": schema} for kind, schema in facts.body.content.items()}
        if facts.body.example is not None:
            next(iter(content.values()))["example"] = facts.body.example
        shown["requestBody"] = {
            "description": facts.body.sentence,
            "required": True,
            "content": content,
        }
    shown["responses"] = {
        str(status): {"$ref": f"#/components/responses/{name_of(status)}"} for status in errors
    } | {str(one.status): response(one) for one in facts.responses}
    if route.action is not None:
        roles = [route.action.value]
        shown["security"] = [{}, *({name: roles} for name in SECURITY_SCHEMES)]
    else:
        shown["security"] = []
    return shown


def errors_of(facts: Operation) -> list[int]:
    return sorted({*statuses.COMMON, *facts.errors})


def path_parameters(path: str) -> list[dict[str, Any]]:
    """The variables of a path. Each of them has its line in ``PATH_PARAMETERS``."""
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARAMETERS[name][0],
            "schema": PATH_PARAMETERS[name][1],
        }
        for name in _VARIABLE.findall(path)
    ]


def parameter(one: RequestParameter) -> dict[str, Any]:
    return {
        "name": one.name,
        "in": one.place,
        "required": one.required,
        "description": one.sentence,
        "schema": one.schema,
    }


def response(one: RouteResponse) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": one.sentence}
    if one.headers:
        shown["headers"] = {name: header(text) for name, text in one.headers.items()}
    content = {kind: {"schema": schema} for kind, schema in one.content.items()}
    if one.status in statuses.SENTENCES:  # the server may answer so before it asks the route
        content |= problem_content(one.status)
    if content:
        shown["content"] = content
    return shown


def header(sentence: str) -> dict[str, Any]:
    return {"description": sentence, "schema": {"type": "string"}}


def name_of(status: int) -> str:
    """The name of the response of an error: ``NotFound``."""
    words = re.findall(r"[A-Za-z]+", statuses.TITLES[status].replace("'", ""))
    return "".join(word[:1].upper() + word[1:] for word in words)


def problem_response(status: int, settings: Settings) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "description": statuses.sentence(status, settings),
        "content": problem_content(status),
    }
    fields = statuses.HEADERS.get(status, {})
    if fields:
        shown["headers"] = {name: header(text) for name, text in fields.items()}
    return shown


def problem_content(status: int) -> dict[str, Any]:
    content: dict[str, Any] = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if status in statuses.AS_PAGE:
        content["text/html"] = {"schema": {"type": "string"}}
    return content
