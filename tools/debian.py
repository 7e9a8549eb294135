"""Debian's packages, where we may install them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from tools.commands import insist, say


def can_install() -> bool:
    """Root, on a system that has apt-get: a container or a CI machine, as a rule."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def may_install() -> bool:
    """Unasked: only on a CI machine."""
    return os.environ.get("CI") == "true" and can_install()


def command(packages: Sequence[str]) -> str:
    """What a person types who has to install them."""
    return f"sudo apt-get install --no-install-recommends {' '.join(packages)}"


def install(packages: Sequence[str]) -> bool:
    """Whether the packages are there afterwards."""
    say(f"Installing from Debian's packages (the first time takes a minute): {' '.join(packages)}.")
    # A fresh image has no package lists, an old one has lists of versions that are gone.
    # Another apt-get may be at work (a machine that has just started updates itself): wait for it.
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    quietly = {"DEBIAN_FRONTEND": "noninteractive"}
    insist([*apt, "update"], quietly)
    return insist([*apt, "install", "--yes", "--no-install-recommends", *packages], quietly)
