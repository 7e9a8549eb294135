"""Lets pages of other origins use REST, under whatever server: see ``http.cors``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flask import Response, request

from statecast.http import cors


def allow(origins: Sequence[str], response: Response) -> Response:
    """The response, which a page of one of ``origins`` may read."""
    return _with(response, cors.response_fields(request.headers.get("Origin"), origins))


def allow_methods(origins: Sequence[str], methods: Iterable[str], response: Response) -> Response:
    """The response to OPTIONS: what a page of one of ``origins`` may send."""
    origin = request.headers.get("Origin")
    return _with(response, cors.preflight_fields(origin, origins, methods))


def _with(response: Response, fields: cors.Fields) -> Response:
    for name, value in fields:
        if name == "Vary":
            response.vary.add(value)
        else:
            response.headers[name] = value
    return response
