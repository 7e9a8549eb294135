"""Where the live endpoint is, for the pages of the current request.

Our own server answers pages and viewers at one address. Any other server (gunicorn, waitress) only
answers pages; the setting ``live_url`` then says where ``statecast run`` is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

import flask

from statecast.http import mount
from statecast.settings import OWN_ADDRESS, Settings

ENDPOINT = "/socket.io/"


class LiveRuntime(Protocol):
    """The parts of ``Runtime`` that say where it is live."""

    @property
    def settings(self) -> Settings: ...
    @property
    def live_origin(self) -> Callable[[], str]: ...


def live_address(runtime: LiveRuntime) -> str:
    """The live endpoint: a URL, or an absolute path of the page's own site, with a final slash.

    "" if another server than ours answers this request and ``live_url`` does not say where ours is.
    """
    root = flask.request.script_root
    scope = flask.request.environ.get("asgi.scope")
    if scope is not None:
        # An app that is mounted in another app sees a root of its own; the endpoint is outside.
        seen = mount.inner_path(scope["path"], scope.get("root_path", ""))
        return mount.outer_prefix(seen, root, flask.request.path) + ENDPOINT
    live_url = runtime.live_origin() or runtime.settings.live_url
    if not live_url:
        return ""
    return (root if live_url == OWN_ADDRESS else live_url.removesuffix("/")) + ENDPOINT


def live_origin(runtime: LiveRuntime) -> str:
    """The origin of the live endpoint, where it is not the page's own; else ""."""
    scheme, host, *_ = urlsplit(live_address(runtime))
    return f"{scheme}://{host}" if scheme else ""
