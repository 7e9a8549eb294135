"""The options of Flask-SocketIO: those that become settings, are ignored, or are refused."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from typing import Any

from statecast import settings
from statecast.errors import BadSetting

log = logging.getLogger(__name__)

SETTINGS = {
    "ping_interval": "ping_interval",
    "ping_timeout": "ping_timeout",
    "max_http_buffer_size": "max_payload",
    "cors_allowed_origins": "allow_origins",
    "namespaces": "namespaces",
}
"""Options that are settings of ours, under another name."""
IGNORED: Mapping[str, tuple[Any, ...]] = {
    "async_mode": ("threading",),
    "async_handlers": (True,),
    "logger": (False,),
    "engineio_logger": (False,),
    "monitor_clients": (True, False),
    "json": (),
    "always_connect": (False,),
    "allow_upgrades": (True,),
    "compression_threshold": (),
    "http_compression": (True,),
    "cookie": (),
    "cors_credentials": (True,),
    "transports": (),
    "channel": ("flask-socketio",),
}
"""Options that only tune another server, each with the values that say what happens here anyway.

The log names the others once.
"""
PATH = "socket.io"
"""Where the endpoint is, and Flask-SocketIO's default for ``path`` and ``resource``."""
REFUSED = {
    "client_manager": "python-socketio's managers are not used here; remove client_manager.",
    "serializer": "Packets are Socket.IO's own JSON format here; remove serializer.",
}
TLS = frozenset({"certfile", "keyfile", "ssl_context"})
"""Options that name the certificate; see ``tls_settings``."""
DEFAULTS: Mapping[str, Any] = {"max_payload": 1_000_000}
"""Of a Flask-SocketIO server, where ours are stricter."""


def to_settings(options: Mapping[str, Any], shared: bool = False) -> dict[str, Any]:
    """Our settings for these options. ``shared``: the app has settings already.

    Raises BadSetting.
    """
    found: dict[str, Any] = {} if shared else dict(DEFAULTS)
    found |= tls_settings(options)
    ignored = []
    for name, value in options.items():
        if name in TLS:
            continue
        if name in REFUSED:
            raise BadSetting(REFUSED[name])
        if name == "message_queue":
            found |= _store(value)
        elif name in IGNORED:
            if value not in (None, [], "", *IGNORED[name]):
                ignored.append(name)
        elif name in ("path", "resource"):
            _check_path(name, value)
        elif name in SETTINGS:
            if value is not None:
                found[SETTINGS[name]] = _value(name, value)
        elif name in settings.names():
            found[name] = value
        else:
            raise BadSetting(_unknown(name))
    if ignored:
        log.warning("these options of SocketIO do nothing here: %s", ", ".join(sorted(ignored)))
    return found


def tls_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings for ``certfile``, ``keyfile`` and werkzeug's ``ssl_context``.

    Raises BadSetting.
    """
    certificate, key = options.get("certfile"), options.get("keyfile")
    context = options.get("ssl_context")
    if isinstance(context, (tuple, list)) and len(context) == 2:
        certificate, key = context
    elif context is not None:
        raise BadSetting(
            "ssl_context names the files here: a tuple of the certificate and its key, in PEM, "
            "which are read again when they change (docs/how-to/https.md)."
        )
    if certificate is None and key is None:
        return {}
    # A file may hold both, as ssl.SSLContext.load_cert_chain takes it.
    return {"tls_cert": str(certificate or ""), "tls_key": str(key or certificate)}


def _check_path(name: str, value: Any) -> None:
    if str(value or PATH).strip("/") != PATH:
        raise BadSetting(
            f"Viewers connect at /{PATH}/ here, so {name}={value!r} would leave them outside: "
            f"remove it, and the path of the clients. For a prefix use a proxy, or base_path."
        )


def _unknown(name: str) -> str:
    known = [*settings.names(), *SETTINGS, *IGNORED]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f" Do you mean {nearest[0]}?" if nearest else ""
    return (
        f"SocketIO has no option {name!r} here.{hint} It takes those of Flask-SocketIO and the "
        "settings of Statecast (docs/reference.md)."
    )


def _value(name: str, value: Any) -> Any:
    if name == "ping_interval" and isinstance(value, (tuple, list)):
        return value[0]  # the second one is a grace that this server has of its own
    if name == "cors_allowed_origins" and callable(value):
        raise BadSetting("cors_allowed_origins is a list of origins here, not a function.")
    if name == "cors_allowed_origins" and isinstance(value, str):
        return [value]
    return value


def _store(url: Any) -> dict[str, Any]:
    if url in (None, ""):
        return {}
    if str(url).partition(":")[0] in ("sqlite", "memory", "postgresql"):
        return {"store": str(url)}
    raise BadSetting(
        "Processes are connected by their store, not by a message queue: give message_queue the "
        "URL of a store, like sqlite:///app.db, or leave it away; "
        f"{str(url).partition(':')[0]} is none."
    )
