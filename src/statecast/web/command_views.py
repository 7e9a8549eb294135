"""REST about commands: what is asked of devices, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flask import Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from statecast import names, strict_json
from statecast.access.records import AuditEntry
from statecast.commands import life
from statecast.commands import request as commands
from statecast.stores.errors import no_command
from statecast.web import request_rights
from statecast.web.paging import COMMANDS, MAX_COMMANDS
from statecast.web.rest_requests import foreign_site, only_arguments, read_object, whole_number
from statecast.web.rest_responses import json_response, problem

if TYPE_CHECKING:
    from statecast.runtime import Runtime

EVENT_STREAM = "text/event-stream"
PURPOSES = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
"""With these headers browsers say ``prefetch``, ``prerender`` or ``preview``."""
IDEMPOTENCY_KEY = "Idempotency-Key"

Views = dict[str, Callable[..., ResponseReturnValue]]


class CommandViews:
    """The views. No request leaves anything here."""

    def __init__(
        self, live: Runtime, device_below: Callable[[str, str], ResponseReturnValue]
    ) -> None:
        """``device_below`` answers for a device whose name ends with ``/commands``."""
        self.live = live
        self._device_below = device_below

    def paths(self) -> dict[str, Views]:
        """Every path with its methods."""
        return {
            "/devices/<path:device>/commands": {"GET": self.commands, "POST": self.begin_command},
            "/commands": {"GET": self.all_commands},
            "/commands/<id_>": {"GET": self.command},
        }

    def begin_command(self, device: str) -> Response:
        """Ask something of a device; durable before the response. A repeated key is one command."""
        only_arguments()
        members = read_object(self.live.settings.body_bytes, "A command", '{"name": "hug"}')
        key = request.headers.get(IDEMPOTENCY_KEY)
        identity = request_rights.current(self.live).identity
        if identity.is_person:  # whatever name the client gives
            members = {**members, "by": identity.name[: commands.MAX_KEY]}
        asker = identity.sender_at(request.remote_addr or "")
        new = commands.from_members(device, members, key, asker)
        command = self.live.begin_command(
            new, audit=AuditEntry(identity.sender, "command", device, new.name)
        )
        response = json_response(strict_json.encode(life.to_reader(command)), 201)
        response.headers["Location"] = f"{request.root_path}/api/commands/{command.id}"
        return response

    def commands(self, device: str) -> ResponseReturnValue:
        """The commands of a device: with ``after`` those for the device itself, which it takes."""
        names.check(device)
        if self.live.store.get(device) is None:
            return self._device_below(device, "commands")
        if "after" in request.args:
            if request.method == "HEAD":  # it would take what it does not get
                raise MethodNotAllowed(["GET"])
            return self.hand_out(device)
        return self._page(device)

    def hand_out(self, device: str) -> ResponseReturnValue:
        """The open commands after the one with this id; they count as handed out from now on."""
        only_arguments("after", "wait")
        # The server's loop has waited already; other servers do not wait.
        commands.wait_seconds(request.args.get("wait", "0"))
        refusal = foreign_site(self.live.settings.allow_origins) or not_a_program()
        if refusal is not None:
            return refusal
        streamed = EVENT_STREAM in request.headers.get("Accept", "")
        last = request.headers.get("Last-Event-ID") if streamed else None
        found = self.live.hand_out(device, last or request.args["after"] or None)
        now = self.live.clock()
        shown = [life.to_device(one, now) for one in found]
        if streamed:
            return event_stream(shown)
        response = json_response(strict_json.encode({"commands": shown}))
        response.headers["Cache-Control"] = "no-store"  # the next answer is another one
        return response

    def all_commands(self) -> ResponseReturnValue:
        return self._page(None)

    def command(self, id_: str) -> Response:
        only_arguments()
        command = self.live.store.command(id_)
        if not request_rights.current(self.live).may_read(command.device):
            raise no_command(id_)
        return json_response(strict_json.encode(life.to_reader(command)))

    def _page(self, device: str | None) -> Response:
        """Commands, newest first; ``next`` is the ``before`` of the following page."""
        only_arguments("before", "limit")
        before = whole_number("before", None)
        limit = min(whole_number("limit", COMMANDS), MAX_COMMANDS)
        readable = request_rights.current(self.live).readable
        found = self.live.store.commands(device, before=before, limit=limit + 1, readable=readable)
        body = {
            "commands": [life.to_reader(one) for one in found[:limit]],
            "next": found[limit - 1].number if len(found) > limit else None,
        }
        return json_response(strict_json.encode(body))


def event_stream(commands: Sequence[Mapping[str, Any]]) -> Response:
    """The commands as server-sent events. Our own server's loop lets the response go on."""
    events = [
        b"event: command\nid: %b\ndata: %b\n\n" % (one["id"].encode(), strict_json.encode(one))
        for one in commands
    ]
    response = Response(b"".join([b"retry: 1000\n\n", *events]), content_type=EVENT_STREAM)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would wait for more
    return response


def not_a_program() -> Response | None:
    """The refusal, if a browser asks because of an image, a frame or a link, or in advance.

    A device may bring the address of an image that a page of this server's own shows. Old browsers
    do not say what a request is for, but that they want a page.
    """
    headers = request.headers
    is_page = "text/html" in headers.get("Accept", "")
    in_advance = any("pre" in headers.get(name, "") for name in PURPOSES)
    if headers.get("Sec-Fetch-Dest", "empty") == "empty" and not is_page and not in_advance:
        return None
    return problem(403, "Commands are handed out to programs: devices, or scripts that fetch them.")
