"""REST: states for programs, and sending to the queue.

Errors are ``application/problem+json`` (RFC 9457).
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from statecast import logs, names, strict_json, timestamps
from statecast.access.actions import Action
from statecast.access.patterns import SCOPE_CHARACTERS, scope
from statecast.access.records import AuditEntry
from statecast.broadcast import encoding
from statecast.broadcast.presence import to_reader
from statecast.decoders import encodings, items
from statecast.errors import (
    Conflict,
    DevicesFull,
    Forbidden,
    Malformed,
    NotAuthenticated,
    NotFound,
    NotTaken,
    Refused,
    RowDamaged,
    StatecastError,
    StoreUnavailable,
    StoreUnusable,
    TooLarge,
    TooManyCommands,
    TooManyGuesses,
    TooManyRequests,
    Unavailable,
    WrongWay,
)
from statecast.logs import LimitedLog
from statecast.model import Change, Kind, Position, Update
from statecast.outbox import decoder
from statecast.stores.changes import ReadCursor
from statecast.stores.errors import no_device, reserved_name
from statecast.web import cross_origin, request_rights, route_actions
from statecast.web.command_views import CommandViews
from statecast.web.device_list import read_page
from statecast.web.openapi_view import OpenAPIView
from statecast.web.paging import (
    CHANGES,
    DEVICES,
    HISTORY,
    MAX_CHANGES,
    MAX_DEVICES,
    MAX_HISTORY,
)
from statecast.web.request_rights import RequestRights
from statecast.web.rest_requests import (
    foreign_site,
    json_only,
    log_refused,
    not_allowed,
    note_refused,
    only_arguments,
    read_body,
    read_object,
    whole_number,
)
from statecast.web.rest_responses import empty_response, json_response, problem

if TYPE_CHECKING:
    from statecast.runtime import Runtime

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotFound, 404),
    (Conflict, 412),
    (TooLarge, 413),
    (DevicesFull, 507),
    (TooManyCommands, 429),
    (TooManyGuesses, 429),
    (TooManyRequests, 429),
    (NotAuthenticated, 401),
    (Forbidden, 403),
    (NotTaken, 409),
    (WrongWay, 409),
    (Refused, 400),
    (Unavailable, 503),
    (StoreUnusable, 503),
)
SENTENCES = {
    404: "There is nothing at this address; REST is /api/devices, /api/changes and /api/messages.",
    405: "This address does not take the method {method}; it takes {allowed}.",
}
READS = ("GET", "HEAD")
WRITES = ("POST", "PUT", "PATCH", "DELETE")
METHODS = {"GET", "PUT", "PATCH", "DELETE", "POST", "OPTIONS", "TRACE"}
Views = dict[str, Callable[..., ResponseReturnValue]]
DEVICE = "/devices/<path:device>"
log = logging.getLogger(__name__)


def rest(live: Runtime) -> Blueprint:
    """The blueprint of REST for one app."""
    blueprint = Blueprint("statecast_rest", __name__)
    blueprint.register_error_handler(StatecastError, statecast_problem)
    store_problem = StoreProblem()
    for store_error in (StoreUnavailable, StoreUnusable):
        blueprint.register_error_handler(store_error, store_problem)
    blueprint.register_error_handler(HTTPException, http_problem)
    blueprint.register_error_handler(Exception, unexpected_problem)
    rest_views = RestViews(live)
    blueprint.before_request(rest_views.limit)
    blueprint.before_request(rest_views.check_origin)
    blueprint.before_request(rest_views.check_rights)
    blueprint.after_request(functools.partial(log_refused, LimitedLog(log)))
    blueprint.after_request(functools.partial(route_actions.for_one_reader, live))
    blueprint.after_request(rest_views.allow_origins)
    command_views = CommandViews(live, rest_views.device_below)
    paths = rest_views.paths() | command_views.paths() | OpenAPIView(live).paths()
    for number, (path, views) in enumerate(paths.items()):
        for method, view in views.items():
            guarded = view if method == "GET" else json_only(view)
            if path == DEVICE and method != "GET":
                guarded = rest_views.of_a_device(guarded, paths)
            blueprint.add_url_rule(
                path, view.__name__, guarded, methods=[method], provide_automatic_options=False
            )
        others = functools.partial(rest_views.other_method, views)
        methods = METHODS - set(views)
        if path.endswith(names.RESERVED_ENDINGS):  # these reach the device that is called so
            methods -= set(paths[DEVICE])
        blueprint.add_url_rule(
            path,
            f"{route_actions.OTHER_METHOD}{number}",
            others,
            methods=methods,
            provide_automatic_options=False,
        )
    return blueprint


class RestViews:
    """The views. No request leaves anything here."""

    def __init__(self, live: Runtime) -> None:
        self.live = live

    def limit(self) -> Response | None:
        """Refuse a read to an address that asks for too many. Writes are bounded by the queue."""
        if request.method not in READS or self.live.allows_page(request.remote_addr or ""):
            return None
        return too_many()

    def check_origin(self) -> Response | None:
        """Refuse a change that the page of another site sends. Its author needs to know why first,
        whatever the client may do.
        """
        if request.method in (*READS, "OPTIONS"):
            return None
        return foreign_site(self.live.settings.allow_origins)

    def check_rights(self) -> Response | None:
        """Refuse what the client may not do."""
        found = route_actions.refusal(self.live)
        if found is None:
            if request.method in WRITES:
                self._count_writes(1)
            return None
        if found.status == 403:
            note_refused("rights", not_allowed(request_rights.current(self.live).identity))
        return refused(found)

    def allow_origins(self, response: Response) -> Response:
        """Let pages of other origins read the response."""
        return cross_origin.allow(self.live.settings.allow_origins, response)

    def other_method(self, views: Views, **names: str) -> ResponseReturnValue:
        """Answer other methods here, because the 405 of a user's app is a page for people."""
        allowed = methods_of(views)
        if request.method != "OPTIONS":
            raise MethodNotAllowed(allowed)
        response = empty_response()
        response.headers["Allow"] = ", ".join(allowed)
        return cross_origin.allow_methods(self.live.settings.allow_origins, allowed, response)

    def _count_writes(self, number: int) -> None:
        """Raises TooManyRequests."""
        self.live.rights.writes.acquire(self.rights.identity, number)

    @property
    def rights(self) -> RequestRights:
        """What the current request may do."""
        return request_rights.current(self.live)

    def paths(self) -> dict[str, Views]:
        """Every path with its methods."""
        return {
            "/devices": {"GET": self.devices},
            DEVICE: {
                "GET": self.device,
                "PUT": self.put,
                "PATCH": self.patch,
                "DELETE": self.delete,
            },
            f"{DEVICE}/history": {"GET": self.history},
            f"{DEVICE}/viewers": {"GET": self.viewers},
            "/changes": {"GET": self.changes},
            "/messages": {"POST": self.messages},
        }

    # Reading

    def devices(self) -> Response:
        """A page of the existing devices, by name; ``next`` is the ``after`` of the following page.

        ``damaged`` names those whose rows in the store cannot be read.
        """
        only_arguments("after", "limit")
        readable = self.rights.readable
        after, limit = request.args.get("after", ""), whole_number("limit", DEVICES)
        page = read_page(
            self.live.store, after and names.check(after), min(limit, MAX_DEVICES), readable
        )
        head: dict[str, Any] = {
            "epoch": page.position.epoch,
            "offset": page.position.offset,
            "scope": scope(readable),
            "next": page.next,
        }
        response = json_response(
            strict_json.encode(head | ({"damaged": page.damaged} if page.damaged else {}))[:-1]
            + b',"devices":['
            + b",".join(map(self._item, page.devices))
            + b"]}"
        )
        if page.next is not None:
            following = urlencode({**request.args, "after": page.next})
            address = f"{request.root_path}/api/devices?{following}"
            response.headers["Link"] = f'<{address}>; rel="next"'
        return response

    def device_below(self, device: str, ending: str) -> ResponseReturnValue:
        """A device whose name is the address of something of another, ``pillow/history``.

        Raises NotFound as if it were asked for the other one.
        """
        longer = f"{device}/{ending}"
        if not self.rights.may_read(longer) or self.live.store.get(longer) is None:
            raise no_device(device)
        return self.device(longer)

    def device(self, device: str) -> ResponseReturnValue:
        only_arguments()
        return self._device_response(self._present(device)).make_conditional(request)

    def history(self, device: str) -> ResponseReturnValue:
        """A page of versions, newest first; ``next`` is the ``before`` of the following page."""
        only_arguments("before", "limit")
        names.check(device)
        before, limit = (
            whole_number("before", None),
            min(whole_number("limit", HISTORY), MAX_HISTORY),
        )
        rows = self.live.store.history(device, before=before, limit=limit + 1)
        total, since = self.live.store.history_size(device)
        if not total:
            return self.device_below(device, "history")
        body = {
            "device": device,
            "history": [encoding.history_row(row) for row in rows[:limit]],
            "next": rows[limit - 1].version if len(rows) > limit else None,
            "total": total,
            "since": None if since is None else timestamps.iso(since),
        }
        return json_response(strict_json.encode(body))

    def viewers(self, device: str) -> ResponseReturnValue:
        """Who watches a device, in all serving processes."""
        only_arguments()
        names.check(device)
        if self.live.store.get(device) is None:
            return self.device_below(device, "viewers")
        watching = self.live.viewers.who_watches(device)
        return json_response(strict_json.encode(to_reader(device, watching)))

    def changes(self) -> Response:
        """The changes since a position, as a ``states`` event.

        Repeat the request with the new position until it is ``complete``.
        """
        only_arguments("since", "limit")
        store, limit = self.live.store, min(whole_number("limit", CHANGES), MAX_CHANGES)
        rights = self.rights
        given = request.args.get("since")
        since = None if given is None else self._since(given, rights)
        reset = given is not None and (since is None or not store.is_valid(since))
        start = 0 if since is None or reset else since.offset
        changes = store.read(ReadCursor(offset=start), limit)
        complete = changes.cursor.offset >= changes.position.offset
        reached = changes.position.offset if complete else changes.cursor.offset
        items = [self._item(one) for one in changes.updates if rights.may_read(one.device)]
        return json_response(
            encoding.states(
                changes.position.epoch,
                reached,
                items,
                scope=scope(rights.readable),
                reset=reset,
                complete=complete,
            )
        )

    def _since(self, given: str, rights: RequestRights) -> Position | None:
        """The position in ``since``, if it holds for the devices that are readable now.

        Without a scope it may be of any rights, so it counts only where there are no rules.
        """
        text, _, of_scope = given.rpartition(".")
        if len(of_scope) == SCOPE_CHARACTERS and (found := position(text)) is not None:
            return found if of_scope == scope(rights.readable) else None
        return None if self.live.rights.has_rules() else position(given)

    # Writing

    def put(self, device: str) -> Response:
        return self._edit(device, "replace")

    def patch(self, device: str) -> Response:
        return self._edit(device, "merge")

    def delete(self, device: str) -> Response:
        with self.live.counting_refused():
            only_arguments()
            update = self._present(device)
            removed = self._commit(Change(device, "delete", {}, by="user"), self._if_match(update))
        response = empty_response()
        if removed is not None and self.rights.may_read(device):
            self._set_etag(response, removed)
        return response

    def messages(self) -> Response:
        """Send one message, or all items of an array or of JSON lines or none, to the queue.

        In the embedded queue they are durable before the response.
        """
        with self.live.counting_refused(self.live.queue.name):
            return self._send()

    def _send(self) -> Response:
        only_arguments()
        body = encodings.unwrap(self._body())
        decode, sender = decoder(self.live.settings), self.rights.identity.sender
        messages = items.split(body)
        if messages is None:
            self._check_sender(decode.read(body))
            [id_] = self.live.put_into_queue([body], sender)
            return json_response(strict_json.encode({"id": id_}), 202)
        for index, item in enumerate(messages):
            try:
                self._check_sender(decode.read(item))
            except Refused as error:
                raise type(error)(f"Item {index}: {error} Nothing was sent.") from None
        self._count_writes(len(messages) - 1)  # the request itself was counted before
        ids = self.live.put_into_queue(messages, sender)
        return json_response(strict_json.encode({"ids": ids}), 202)

    def _edit(self, device: str, kind: Kind) -> Response:
        with self.live.counting_refused():
            state = self._object()
            only_arguments()
            change = Change(names.check(device), kind, state, by="user")
            # A damaged device cannot be read, and a replacement mends it.
            found = self.live.store.get(device) if "If-Match" in request.headers else None
            if_match = self._if_match(found)
            update = self._commit(change, if_match)
        if update is None:  # nothing to change on a device that does not exist
            raise no_device(device)
        if not self.rights.may_read(device):  # a patch does not show what it did not set
            return empty_response()
        return self._device_response(update)

    def _commit(self, change: Change, if_match: Position | None) -> Update | None:
        """Commit an edit. Its sender and the audit say who made it."""
        identity = self.rights.identity
        return self.live.store.edit(
            change,
            if_match=if_match,
            sender=identity.sender if identity.is_signed_in else "",
            audit=AuditEntry(identity.sender, "edit", change.device, change.kind),
        )

    def _check_sender(self, changes: Iterable[Change]) -> None:
        """Refuse a message of another device, or one that says it comes from a person.

        Raises Forbidden.
        """
        rights = self.rights
        for change in changes:
            if not rights.allows(Action.SEND, change.device):
                raise Forbidden(
                    f"{rights.identity.sender} may not send for {names.quoted(change.device)}."
                )
            if change.by != "device" and not rights.allows(Action.WRITE, change.device):
                raise Forbidden(
                    f'{rights.identity.sender} sends as a device: no "by": "{change.by}".'
                )

    def of_a_device(
        self, view: Callable[..., ResponseReturnValue], paths: Mapping[str, Views]
    ) -> Callable[..., ResponseReturnValue]:
        """Let a view change devices only, and not what REST has below them.

        A device from before such names were reserved may be called ``pillow/history``.
        """

        @functools.wraps(view)
        def checked(device: str) -> ResponseReturnValue:
            below = next((one for one in names.RESERVED_ENDINGS if device.endswith(one)), None)
            if below is None or self._is_there(device):
                return view(device=device)
            allowed = ", ".join(methods_of(paths[f"{DEVICE}{below}"]))
            response = problem(405, str(reserved_name(device)))
            response.headers["Allow"] = allowed
            return response

        return checked

    # Common parts

    def _is_there(self, device: str) -> bool:
        try:
            update = self.live.store.get(device)
        except RowDamaged:  # it cannot be read, and a replacement mends it
            return True
        return update is not None and update.state is not None

    def _present(self, device: str) -> Update:
        update = self.live.store.get(names.check(device))
        if update is None or update.state is None:
            raise no_device(device)
        return update

    def _item(self, update: Update) -> bytes:
        return encoding.item(update, self.live.settings)

    def _device_response(self, update: Update) -> Response:
        response = json_response(self._item(update))
        self._set_etag(response, update)
        return response

    def _set_etag(self, response: Response, update: Update) -> None:
        epoch, offset = self.live.store.position_of(update)
        response.set_etag(f"{epoch}.{offset}")

    def _if_match(self, update: Update | None) -> Position | None:
        """The position that the device must have. The store compares it again in the commit."""
        if "If-None-Match" in request.headers:
            raise Malformed(
                "If-None-Match is for reading; a change takes If-Match with the ETag that you read."
            )
        if "If-Match" not in request.headers:
            return None
        named = [
            found for tag in request.if_match.as_set() if (found := position(tag or "")) is not None
        ]
        if update is not None and update.state is not None:
            if request.if_match.star_tag:
                return self.live.store.position_of(update)
            for one in named:
                if one.offset == update.offset:
                    return one
        raise Conflict(
            "The device is not at the version that If-Match names; "
            "read it again and send that ETag."
        )

    def _body(self) -> bytes:
        return read_body(self.live.settings.body_bytes)

    def _object(self) -> dict[str, Any]:
        return read_object(self.live.settings.body_bytes, "A state", '{"mood": "happy"}')


def refused(found: route_actions.RequestRefusal) -> Response:
    """The response to a request that may not do what it asks for."""
    response = problem(found.status, found.sentence, retry_after=found.retry_after)
    for name, value in found.fields():
        response.headers[name] = value
    return response


def methods_of(views: Views) -> list[str]:
    """The methods that an address takes."""
    return [*views, *(["HEAD"] if "GET" in views else []), "OPTIONS"]


def position(text: str) -> Position | None:
    """The position in an ETag or in ``since``: ``<epoch>.<offset>``; None if it is not one."""
    epoch, _, offset = text.rpartition(".")
    if not epoch or not offset.isascii() or not offset.isdigit() or len(offset) > 16:
        return None
    return Position(epoch, int(offset))


def too_many() -> Response:
    """The response to an address that reads too often."""
    return problem(429, "This address reads too often; subscribe to changes at /events.")


def statecast_problem(error: StatecastError) -> Response:
    """The response for an error of Statecast."""
    status = next((status for kind, status in STATUS if isinstance(error, kind)), None)
    if status is None:
        return unexpected_problem(error)
    return problem(status, error.public, retry_after=retry_after(error))


class StoreProblem:
    """The response for an error of the store. The log has the sentence that names the file."""

    def __init__(self) -> None:
        self._log = LimitedLog(log)

    def __call__(self, error: StatecastError) -> Response:
        self._log.warning("store", f"{request.endpoint} was not answered: {error}")
        seconds = retry_after(error)
        return problem(503, f"{error.public} Nothing was changed.", retry_after=seconds)


def retry_after(error: StatecastError) -> int:
    """Seconds until a request may succeed: a store that cannot be used needs an operator."""
    if isinstance(error, TooManyGuesses | TooManyRequests):
        return error.retry_after
    return 30 if isinstance(error, StoreUnusable) else 1


def http_problem(error: HTTPException) -> ResponseReturnValue:
    """The response for an error of HTTP. Redirects pass unchanged."""
    if error.response is not None or error.code is None or error.code < 400:
        return error
    headers = [(name, value) for name, value in error.get_headers() if name == "Allow"]
    allowed = ", ".join(value for _, value in headers)
    sentence = SENTENCES.get(error.code, error.description or "The request cannot be answered.")
    response = problem(
        error.code, sentence.format(method=names.quoted(request.method), allowed=allowed)
    )
    response.headers.extend(headers)
    return response


def unexpected_problem(error: Exception) -> Response:
    """A response with an error number, under which the log has the error."""
    number = logs.log_error(log, f"the answer of {request.endpoint} failed", error)
    return problem(
        500, f"Something failed here; the log says what, under error {number}.", id=number
    )
