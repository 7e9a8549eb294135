"""The inner names of uvicorn that this package relies on, in one place and checked before serving.

``http_protocol`` extends uvicorn's HTTP protocol class, and ``server`` extends its server. Neither
promises these names, so a new release may rename any of them. This module is imported before both
and raises UnsupportedLibrary, which says what to install instead. It has no upper bound of the
version: a bound would make the package uninstallable beside a newer uvicorn that works.

When a name is missing, read the new source of its class beside ours before the table is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import uvicorn
from uvicorn import server

from statecast.errors import UnsupportedLibrary

__all__ = ["FlowControl", "HttpToolsProtocol", "RequestResponseCycle", "ServerState"]

TESTED = "0.54.0"
"""The newest uvicorn with which all tests have passed; `make test-newest` tries the current one."""

try:
    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
    from uvicorn.server import ServerState
except ImportError as error:
    raise UnsupportedLibrary("uvicorn", uvicorn.__version__, [str(error.name)], TESTED) from error

NAMES: dict[type, str] = {
    HttpToolsProtocol: (
        # attributes of a connection
        "app client connections cycle flow headers loop parser pipeline scope"
        " root_path server server_state transport url"
        # methods that we call or override
        " _should_upgrade _unset_keepalive_if_required connection_lost connection_made"
        " data_received eof_received handle_websocket_upgrade on_body on_header"
        " on_headers_complete on_message_begin on_message_complete on_url resume_writing shutdown"
    ),
    RequestResponseCycle: (
        "disconnected keep_alive message_event more_body response_complete response_started"
        " waiting_for_100_continue"
    ),
    FlowControl: "resume_reading write_paused",
    server.Server: (
        "_serve config lifespan main_loop run server_state servers should_exit shutdown startup"
    ),
    ServerState: "connections default_headers tasks",
    uvicorn.Config: "encoded_headers",
}
"""By class: attributes and methods."""


def missing(names: dict[type, str]) -> list[str]:
    """The names that their classes do not have."""
    return [
        f"{owner.__name__}.{name}"
        for owner, listed in names.items()
        for name in listed.split()
        if name not in _names_of(owner)
    ]


def _names_of(owner: type) -> set[str]:
    """Those of the class, and those that its methods use: instances do not exist yet."""
    methods: Iterable[Callable[..., object]] = (
        value for one in owner.__mro__ for value in vars(one).values() if hasattr(value, "__code__")
    )
    return set(dir(owner)).union(*(method.__code__.co_names for method in methods))


def check() -> None:
    """Raises UnsupportedLibrary."""
    if lacking := missing(NAMES):
        raise UnsupportedLibrary("uvicorn", uvicorn.__version__, lacking, TESTED)


check()
