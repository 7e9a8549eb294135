"""Where npm and uv keep their downloads: below the home folder, or in the clone.

A service user or a user of a container may have no home folder that can be written. pip does
without a cache then. npm and uv end with an error, so they get a folder of the clone.
"""

from __future__ import annotations

import os
from pathlib import Path

USUAL = {"npm_config_cache": "~/.npm", "UV_CACHE_DIR": "~/.cache/uv"}
"""The variables that move a cache, and where it lies without them."""


def variables(root: Path) -> dict[str, str]:
    """For the environment of npm and uv: empty where the usual places can be written."""
    return {
        name: str(root / ".tools" / "cache" / Path(usual).name.lstrip("."))
        for name, usual in USUAL.items()
        if name not in os.environ and not can_be_written(os.path.expanduser(usual))
    }


def can_be_written(folder: str | Path) -> bool:
    """Whether this user may make files there; a folder that does not exist yet may be made too."""
    path = os.fspath(folder)
    while not os.path.lexists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)
