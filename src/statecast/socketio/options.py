"""The options of Flask-SocketIO: those that become settings, are ignored, or are refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

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
IGNORED = {
    *("async_mode", "async_handlers", "logger", "engineio_logger", "monitor_clients", "json"),
    *("always_connect", "allow_upgrades", "compression_threshold", "http_compression", "cookie"),
    *("transports", "channel", "resource", "path"),
}
"""Options that only tune another server. The log names them once."""
REFUSED = {
    "client_manager": "python-socketio's managers are not used here; remove client_manager.",
    "serializer": "Packets are Socket.IO's own JSON format here; remove serializer.",
    "certfile": "TLS ends in a proxy before this server (docs/how-to/proxy.md); remove certfile.",
    "keyfile": "TLS ends in a proxy before this server (docs/how-to/proxy.md); remove keyfile.",
    "ssl_context": "TLS ends in a proxy before this server (docs/how-to/proxy.md); "
    "remove ssl_context.",
}
DEFAULTS: Mapping[str, Any] = {"max_payload": 1_000_000}
"""Of a Flask-SocketIO server, where ours are stricter."""


def to_settings(options: Mapping[str, Any], shared: bool = False) -> dict[str, Any]:
    """Our settings for these options. ``shared``: the app has settings already.

    Raises BadSetting.
    """
    found: dict[str, Any] = {} if shared else dict(DEFAULTS)
    ignored = []
    for name, value in options.items():
        if name in REFUSED:
            raise BadSetting(REFUSED[name])
        if name == "message_queue":
            found |= _store(value)
        elif name in IGNORED:
            if value not in (None, [], ""):
                ignored.append(name)
        elif name in SETTINGS:
            if value is not None:
                found[SETTINGS[name]] = _value(name, value)
        else:
            found[name] = value  # a setting by its own name, else the table of settings refuses it
    if ignored:
        log.warning("these options of SocketIO do nothing here: %s", ", ".join(sorted(ignored)))
    return found


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
