"""Which action each route of REST and of the pages needs. Every route has its line here.

``http.rights`` decides who may do it. Taking commands is acting as the device: a command that was
taken counts as handed out.
"""

from __future__ import annotations

from flask import Request, request

from statecast.access.actions import Action
from statecast.http import rights
from statecast.settings import Settings

ACTIONS: dict[str, dict[str, Action | None]] = {
    "statecast_rest": {
        "devices": Action.READ,
        "device": Action.READ,
        "history": Action.READ,
        "viewers": Action.READ,
        "changes": Action.READ,
        "openapi": Action.READ,
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
        "static": Action.READ,
        "live_address": Action.READ,
        "elsewhere": Action.READ,
        "front": Action.READ,
        "device": Action.READ,
        "pictures": Action.READ,
        "operator": Action.OPERATE,
        "operate": Action.OPERATE,
    },
    "statecast_sign_in": {"show": None, "sign_in": None, "sign_out": None},
}
"""By blueprint and endpoint. None: it is for everybody, and shows nothing of any device."""
OTHER_METHOD = "other_"
"""How the endpoints of REST begin that refuse a method or list those that there are."""


def action_of(asked: Request) -> Action | None:
    """What a request to one of our routes needs. One without a line is only for operators."""
    blueprint, _, endpoint = (asked.endpoint or "").rpartition(".")
    if blueprint == "statecast_rest" and endpoint.startswith(OTHER_METHOD):
        return Action.READ
    if blueprint == "statecast_rest" and endpoint == "commands" and "after" in asked.args:
        return Action.SEND
    return ACTIONS.get(blueprint, {}).get(endpoint, Action.OPERATE)


def may(action: Action, settings: Settings) -> bool:
    """Whether the current request may do this."""
    return rights.may(rights.is_local_environ(request.environ), action, settings.others_may)


def refusal(settings: Settings) -> str:
    """The sentence for the current request if it may not do what its route needs, else ""."""
    action = action_of(request)
    if action is None or may(action, settings):
        return ""
    return rights.refusal(action, settings.others_may)
