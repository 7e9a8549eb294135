"""The Chromium of browser tests and benchmarks: how it is started."""

from __future__ import annotations

import os

from tools.system_parts import CHROMIUM

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
    return CHROMIUM.find()


def options() -> list[str]:
    """For the command line.

    Chromium's sandbox refuses to run as root, which is what containers run as.
    """
    return [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
