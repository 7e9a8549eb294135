"""Which action each route of REST and of the pages needs. Every route has its line here.

``access.policy`` decides who may do it. Taking commands is acting as the device: a command that was
taken counts as handed out.
"""

from __future__ import annotations

from typing import NamedTuple

from flask import Request, Response, request

from statecast.access.actions import Action
from statecast.errors import NotAuthenticated, TooManyGuesses
from statecast.stores.errors import no_device
from statecast.web import request_rights
from statecast.web.request_rights import RequestRights, RightsRuntime

ACTIONS: dict[str, dict[str, Action | None]] = {
    "statecast_rest": {
        "devices": Action.READ,
        "device": Action.READ,
        "history": Action.READ,
        "viewers": Action.READ,
        "changes": Action.READ,
        "openapi": None,
        "commands": Action.READ,  # with ``after``: see ``action_of``
        "all_commands": Action.READ,
        "command": Action.READ,
        "begin_command": Action.COMMAND,
        "messages": Action.SEND,
        "put": Action.WRITE,
        "patch": Action.WRITE,
        "delete": Action.WRITE,
    },
    "statecast_pages": {
        "static": None,
        "live_address": None,
        "elsewhere": None,
        "front": Action.READ,
        "device": Action.READ,
        "pictures": None,
        "operator": Action.OPERATE,
        "operate": Action.OPERATE,
    },
    "statecast_sign_in": {
        "show": None,
        "sign_in": None,
        "sign_out": None,
        "show_share": None,
        "exchange": None,
    },
}
"""By blueprint and endpoint. None: it is for everybody, and shows nothing of any device."""
OTHER_METHOD = "other_"
"""How the endpoints of REST begin that refuse a method or list those that there are."""
DEVICE_ARGUMENTS = ("device", "name")
"""What the device in the path of a route is called."""
CHALLENGE = 'Bearer realm="statecast"'
WRONG_TOKEN = 'Bearer realm="statecast", error="invalid_token"'  # noqa: S105
"""RFC 6750, section 3."""


class RequestRefusal(NamedTuple):
    """Why the current request is not answered."""

    status: int
    """401, 403, 404 (as if there were no such device) or 429 (too many guesses)."""
    sentence: str
    challenge: str = ""
    """``WWW-Authenticate`` of 401."""
    retry_after: int = 1
    """Of 429, in seconds."""

    def fields(self) -> list[tuple[str, str]]:
        """The header fields of the response."""
        if self.status == 401:
            return [("WWW-Authenticate", self.challenge)]
        return [("Retry-After", str(self.retry_after))] if self.status == 429 else []


def action_of(asked: Request) -> Action | None:
    """What a request to one of our routes needs. One without a line is only for operators."""
    blueprint, _, endpoint = (asked.endpoint or "").rpartition(".")
    if blueprint == "statecast_rest" and endpoint.startswith(OTHER_METHOD):
        return None
    if blueprint == "statecast_rest" and endpoint == "commands" and "after" in asked.args:
        return Action.SEND
    return ACTIONS.get(blueprint, {}).get(endpoint, Action.OPERATE)


def device_of(asked: Request) -> str | None:
    """What the path of a request names as a device; its view checks whether it is a name."""
    values = asked.view_args or {}
    found = [values[argument] for argument in DEVICE_ARGUMENTS if argument in values]
    return found[0] if found else None


def refusal(live: RightsRuntime) -> RequestRefusal | None:
    """Why the current request may not do what its route needs; None: it may.

    It is decided before anything is read, so it is the same whether a device exists or not. Raises
    Unavailable.
    """
    action = action_of(request)
    if action is None:
        return None
    device = device_of(request)
    try:
        rights = request_rights.current(live)
    except TooManyGuesses as error:
        return RequestRefusal(429, error.public, retry_after=error.retry_after)
    except NotAuthenticated as error:
        return RequestRefusal(401, error.public, WRONG_TOKEN)
    if rights.allows(action, device):
        return None
    return _refusal(live, rights, action, device)


def for_one_reader(live: RightsRuntime, response: Response) -> Response:
    """After each request: no cache gives what one client may see to another one."""
    if action_of(request) is not None:
        response.headers["Cache-Control"] = "private, no-store"
        response.vary.update(("Authorization", "Cookie"))
        if live.rights.proxy_fields.user:
            response.vary.add(live.rights.proxy_fields.user)
    return response


def _refusal(
    live: RightsRuntime, rights: RequestRights, action: Action, device: str | None
) -> RequestRefusal:
    helps = live.rights.sign_in_helps(rights.identity)
    sentence = live.rights.policy.refusal(rights.identity, action, sign_in_helps=helps)
    if helps:
        live.rights.note_stranger()
        return RequestRefusal(401, sentence, CHALLENGE)
    if device is not None and not rights.may_read(device):
        return RequestRefusal(404, no_device(device).public)
    return RequestRefusal(403, sentence)
