"""Below which path a browser sees this server: pure decisions about targets and headers.

Behind a proxy the whole server may be one part of a site. Two kinds of proxies do that:

* One strips the path and names it in ``X-Forwarded-Prefix``. Only that of a trusted proxy counts.
* One passes the path on. The setting ``base_path`` says which it is. A request outside of it is
  answered too: a health check knows no path.

What was found is ASGI's ``root_path`` and WSGI's ``SCRIPT_NAME``; Flask's links begin with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from statecast.settings.checks import mount_path

_PATH = re.compile(r"""(?:/[^/\\\s"'<>`?#;\x00-\x1f]+)*""")


def is_path(prefix: str) -> bool:
    """Whether links may begin with this SCRIPT_NAME: it is a path, and no host, script or ``..``.

    Under another server it is the application's own affair which proxy it believes, and some pass
    on what a client sent. Any letter is fine: applications are mounted below names of any language.
    """
    return _PATH.fullmatch(prefix) is not None and not {".", ".."} & set(prefix.split("/"))


def split_target(target: bytes, base_path: bytes) -> tuple[bytes, bytes]:
    """The base path, if the target lies below it, and the target without it."""
    if not base_path or not target.startswith(base_path):
        return b"", target
    rest = target[len(base_path) :]
    if rest[:1] == b"/":
        return base_path, rest
    if rest[:1] in (b"", b"?"):
        return base_path, b"/" + rest
    return b"", target  # of another path that begins with the same letters


def forwarded_prefix(values: Sequence[str]) -> str:
    """The path in a proxy's X-Forwarded-Prefix; "" without one. Raises ValueError."""
    if not values:
        return ""
    if len(values) > 1:
        raise ValueError("X-Forwarded-Prefix comes twice; it is ignored")
    try:
        return mount_path(values[0].strip())
    except ValueError as error:
        raise ValueError(f"X-Forwarded-Prefix {error}; it is ignored") from None


def inner_path(path: str, root_path: str) -> str:
    """The path of an ASGI scope without its root path, which it begins with."""
    return path[len(root_path) :] or "/"


def outer_prefix(scope_path: str, script_name: str, path_info: str) -> str:
    """The part of SCRIPT_NAME that only proxies before us know.

    Middleware in the application (``DispatcherMiddleware``) moves a part of the path into
    SCRIPT_NAME; we see that part in our own path ``scope_path``. What else is there comes from a
    proxy.
    """
    dispatched = scope_path.removesuffix(path_info)
    return script_name.removesuffix(dispatched)
