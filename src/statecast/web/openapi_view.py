"""Serves the OpenAPI document of REST: made of the routes that the app really has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app, request
from flask.typing import ResponseReturnValue

from statecast import strict_json
from statecast.web.rest_requests import only_arguments
from statecast.web.rest_responses import json_response

if TYPE_CHECKING:
    from statecast.runtime import Runtime


class OpenAPIView:
    """The view. No request leaves anything here."""

    def __init__(self, live: Runtime) -> None:
        self.live = live

    def paths(self) -> dict[str, dict[str, Callable[..., ResponseReturnValue]]]:
        return {"/openapi.json": {"GET": self.openapi}}

    def openapi(self) -> ResponseReturnValue:
        """The document, with the path below which a proxy serves us."""
        only_arguments()
        found = document_of(current_app, self.live)
        if request.root_path:
            found["servers"] = [{"url": request.root_path}]
        response = json_response(strict_json.encode(found))
        response.add_etag()
        return response.make_conditional(request)


def document_of(app: Flask, live: Runtime) -> dict[str, Any]:
    """The document of an app: REST, and what the server of its process answers itself."""
    # Few servers are ever asked for it, and what it is made of takes 0.2 MB.
    from statecast.openapi.document import document
    from statecast.web.rest_operations import described_routes
    from statecast.web.rest_schemas import SCHEMAS

    return document([*described_routes(app), *live.loop_routes()], SCHEMAS, live.settings)
