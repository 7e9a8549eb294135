"""What is said about a route: the values of which the document is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from statecast.access.actions import Action

Schema = Mapping[str, Any]
"""A JSON Schema (draft 2020-12)."""


@dataclass(frozen=True)
class RequestParameter:
    """A member of the query, or a header field. Those of the path follow from the path."""

    name: str
    sentence: str
    schema: Schema
    place: Literal["query", "header"] = "query"
    required: bool = False


@dataclass(frozen=True)
class RequestBody:
    """What is sent with a request. It is required."""

    sentence: str
    content: Mapping[str, Schema]
    """The schema by content type."""
    example: Any = None


@dataclass(frozen=True)
class RouteResponse:
    """A response of the route itself: a success, or an error with a body of its own."""

    status: int
    sentence: str
    content: Mapping[str, Schema] = field(default_factory=dict)
    """The schema by content type; without any there is no body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name, what a header field says."""


@dataclass(frozen=True)
class Operation:
    """The facts of one method of one route."""

    name: str
    """Of the function in a generated client: unique."""
    summary: str
    """A line without a full stop."""
    description: str
    responses: tuple[RouteResponse, ...]
    errors: tuple[int, ...] = ()
    """Statuses beside those that every operation may have."""
    parameters: tuple[RequestParameter, ...] = ()
    body: RequestBody | None = None


@dataclass(frozen=True)
class DescribedRoute:
    """One method of one route, and what is said about it."""

    method: str
    path: str
    """With its variables in braces: ``/api/devices/{device}``."""
    action: Action | None
    """What it needs; None: nothing."""
    operation: Operation
