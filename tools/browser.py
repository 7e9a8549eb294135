"""The Chromium of the browser tests."""

from __future__ import annotations

import ctypes.util
import os
import shutil

VARIABLE = "STATECAST_CHROMIUM"
MISSING = (
    "needs Chromium: on Debian `apt-get install chromium` (`make test` does it when it is root), "
    f"elsewhere any Chromium or Chrome on the PATH, or its path in {VARIABLE}"
)

# Without these it asks its maker's hosts for updates and lists at every start.
OPTIONS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


def find() -> str | None:
    """The path of the browser, or None."""
    if named := os.environ.get(VARIABLE):
        return shutil.which(named)
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for path in map(shutil.which, names) if path), None)


def packages() -> list[str]:
    """The Debian packages that are missing. The program that Playwright brings along is linked with libatomic."""
    chromium = [] if find() else ["chromium"]
    return chromium if ctypes.util.find_library("atomic") else [*chromium, "libatomic1"]


def options() -> list[str]:
    """For the command line. Chromium's sandbox refuses to run as root, which is what containers run as."""
    return [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
