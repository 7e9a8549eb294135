"""Where the live endpoint is, for the pages of the current request.

Our own server answers pages and viewers at one address. Any other server (gunicorn, waitress) only
answers pages; the setting ``live_url`` then says where ``statecast run`` is.
"""

from __future__ import annotations

import logging
from typing import Protocol
from urllib.parse import urlsplit

import flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from statecast.http import mount
from statecast.settings import Settings
from statecast.settings.checks import OWN_ADDRESS

ENDPOINT = "/socket.io/"
NO_PATH = "The prefix of this address (SCRIPT_NAME or X-Forwarded-Prefix) is no path.\n"

log = logging.getLogger(__name__)


def app_root() -> str:
    """The path of the app on its site. Raises BadRequest unless it is a path and nothing more."""
    root = flask.request.script_root
    if not mount.is_path(root):
        # A page of ours would have links, which begin with the prefix.
        raise BadRequest(response=flask.Response(NO_PATH, 400, mimetype="text/plain"))
    return root


class LiveRuntime(Protocol):
    """The parts of ``Runtime`` that say where it is live."""

    @property
    def settings(self) -> Settings: ...


def live_address(runtime: LiveRuntime) -> str:
    """The live endpoint: a URL, or an absolute path of the page's own site, with a final slash.

    "" if another server than ours answers this request and ``live_url`` does not say where ours is.
    """
    root = app_root()
    scope = flask.request.environ.get("asgi.scope")
    if scope is not None:
        # An app that is mounted in another app sees a root of its own; the endpoint is outside.
        seen = mount.inner_path(scope["path"], scope.get("root_path", ""))
        return mount.outer_prefix(seen, root, flask.request.path) + ENDPOINT
    live_url = runtime.settings.live_url
    if not live_url:
        return ""
    return (root if live_url == OWN_ADDRESS else live_url.removesuffix("/")) + ENDPOINT


def live_origin(runtime: LiveRuntime) -> str:
    """The origin of the live endpoint, where it is not the page's own; else ""."""
    scheme, host, *_ = urlsplit(live_address(runtime))
    return f"{scheme}://{host}" if scheme else ""


class Elsewhere:
    """The view of ``/socket.io/`` under a server that is not ours.

    Stock clients ask the page's own server unless they are given an address: ``io()``. Their
    requests for long polling follow a redirect; a browser's WebSocket does not.
    """

    def __init__(self, runtime: LiveRuntime) -> None:
        self._runtime = runtime
        self._told: set[str] = set()
        """What the log has already: a client asks again and again."""

    def __call__(self) -> ResponseReturnValue:
        """Send a client on to the live endpoint, or say what is missing: in the log too."""
        address = live_address(self._runtime)
        if not address:
            return self._refuse(
                "This server has no viewers. Serve the app with `flask run`, `socketio.run`, "
                "`live.run` or `statecast run`; or start `statecast run` beside it on the same "
                "store, and name its address in the setting live_url."
            )
        if address == app_root() + ENDPOINT:
            return self._refuse(
                "The setting live_url says that a proxy passes /socket.io/ to `statecast run`, "
                "but this request came to the app."
            )
        base = address.removesuffix(ENDPOINT)
        hint = f"io('{base}')" if live_origin(self._runtime) else f"io({{path: '{address}'}})"
        self._warn_once(
            f"A Socket.IO client asked the app and was sent on to {address}, where it has long "
            f"polling only. For WebSocket name the address in the page: {hint}.",
        )
        query = flask.request.query_string.decode("latin-1")
        answer = flask.redirect(f"{address}?{query}", 307)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def _warn_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            log.warning("%s", sentence)

    def _refuse(self, sentence: str) -> ResponseReturnValue:
        self._warn_once(sentence)
        # Browsers show the reason phrase of a failed request in their console.
        answer = flask.Response(f"{sentence}\n", f"404 {sentence}", mimetype="text/plain")
        answer.headers["Cache-Control"] = "no-store"
        return answer
