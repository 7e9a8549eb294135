"""The programs and libraries that the tests use and no Python or npm package brings.

Rule 1: each is looked for with its version, and named in one sentence with the command that
brings it.
Rule 2: they are installed by `make system-deps` only, and by `make test` where that is sure to be
welcome: on a CI machine (``CI=true``), as root.
"""

from __future__ import annotations

import ctypes.util
import glob
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

from tools import debian
from tools.commands import Trouble, say

VERSION = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True)
class Program:
    """``packages`` are Debian's; ``variable`` may name one that is not on the PATH."""

    title: str
    names: tuple[str, ...]
    """Names or paths. ``*`` in a path stands for the versions of a program that lie side by side.
    """
    minimum: tuple[int, ...]
    packages: tuple[str, ...]
    variable: str | None = None
    flag: str = "--version"
    """Prints the version."""

    def find(self) -> str | None:
        """The path of the first one that is new enough."""
        return next((path for path in self.paths() if self.version(path) >= self.minimum), None)

    def paths(self) -> list[str]:
        # One that is named and missing is not silently replaced by another.
        named = os.environ.get(self.variable) if self.variable else None
        names = [named] if named else [one for name in self.names for one in found_as(name)]
        return [path for name in names if (path := shutil.which(name))]

    def version(self, path: str) -> tuple[int, ...]:
        """The version; empty, which counts as too old, if the program does not print it."""
        try:
            printed = subprocess.run([path, self.flag], capture_output=True, text=True)
        except OSError:
            return ()
        found = VERSION.search(printed.stdout or printed.stderr)
        return tuple(map(int, found[0].split("."))) if found else ()

    def missing(self) -> str:
        """The sentence of a test that cannot do without it."""
        wanted = ".".join(map(str, self.minimum))
        sentence = f"needs {self.title} {wanted} or newer: `make system-deps` installs it"
        if self.variable:
            sentence += f"; or name the path of one in {self.variable}"
        return sentence


def found_as(name: str) -> list[str]:
    """The name; or the paths that it stands for, those of the newest version first."""
    if "*" not in name:
        return [name]
    return sorted(glob.glob(name), key=numbers, reverse=True)


def numbers(path: str) -> list[int]:
    return [int(one) for one in re.findall(r"\d+", path)]


# Chromium 120 (December 2023): the oldest whose developer protocol the locked Playwright drives
# with all that the tests use, and newer than every style rule of the page.
CHROMIUM = Program(
    "Chromium",
    ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    (120,),
    ("chromium",),
    "CHROMIUM",
)
# curl 7.61 (2018): the oldest in a distribution that still has support.
CURL = Program("curl", ("curl",), (7, 61), ("curl",))
# jq 1.5 (2015): the oldest in a distribution that still has support.
JQ = Program("jq", ("jq",), (1, 5), ("jq",))
# systemd 250: the first that rates a unit file that is not installed.
SYSTEMD_ANALYZE = Program("systemd-analyze", ("systemd-analyze",), (250,), ("systemd",))
# For a program of the benchmarks, in C99, which every version knows.
C_COMPILER = Program("a C compiler", ("cc",), (4,), ("gcc", "libc6-dev"))
# nginx 1.20 (2021): the first with -e, so that it writes no file of its own. Debian keeps it where
# only root looks for programs.
NGINX = Program("nginx", ("nginx", "/usr/sbin/nginx"), (1, 20), ("nginx-light",), flag="-v")
# PostgreSQL 15 (2022): the oldest that the store works with. Debian keeps each version apart, where
# nobody looks for programs.
POSTGRESQL = Program(
    "PostgreSQL", ("/usr/lib/postgresql/*/bin/postgres", "postgres"), (15,), ("postgresql",)
)
# PgBouncer 1.18 (2022): the oldest in a Debian that has PostgreSQL 15. Optional: few put one before
# the server, and Statecast works without it.
PGBOUNCER = Program("PgBouncer", ("pgbouncer", "/usr/sbin/pgbouncer"), (1, 18), ("pgbouncer",))
# HAProxy 2.4 (2021): the oldest that still gets repairs.
HAPROXY = Program("HAProxy", ("haproxy", "/usr/sbin/haproxy"), (2, 4), ("haproxy",), flag="-v")
# nftables 0.9 (2018): the oldest in a distribution that still has support. Tests make hosts of
# network namespaces, with iproute2, and cut their cables.
NFT = Program("nft", ("nft", "/usr/sbin/nft"), (0, 9), ("nftables", "iproute2"))
# Prometheus 2.33 (2022): the oldest in a distribution that still has support. It checks /metrics.
PROMTOOL = Program("promtool", ("promtool",), (2, 33), ("prometheus",))

# Firefox 128 (July 2024): the oldest whose WebDriver BiDi does what the test needs, without driver.
# Optional: Ubuntu has it as a snap only, whose profile and sandbox are not ours to choose.
FIREFOX = Program("Firefox", ("firefox-esr", "firefox"), (128,), ("firefox-esr",), "FIREFOX")

# libfaketime 0.9.8 (2019): the first that leaves the uptime alone when it is told so.
FAKETIME = Program("faketime", ("faketime",), (0, 9, 8), ("faketime",))

# The first font of the pages' list that Linux has. Other systems have the ones before it.
LIBERATION_SANS = "/usr/share/fonts/**/LiberationSans-Regular.*"

PROGRAMS = (
    *(CHROMIUM, CURL, JQ, SYSTEMD_ANALYZE, C_COMPILER, NGINX, HAPROXY, FAKETIME, PROMTOOL),
    POSTGRESQL,
    NFT,
)
OPTIONAL = (FIREFOX, PGBOUNCER)
"""Their tests are skipped without them, also in CI. `make system-deps` installs what it can."""


def packages() -> list[str]:
    """The Debian packages that are missing."""
    missing = (program.packages for program in PROGRAMS if not program.find())
    found = [package for packages in missing for package in packages]
    # The Node that Playwright brings along, and cannot do without, is linked with libatomic.
    if not ctypes.util.find_library("atomic"):
        found.append("libatomic1")
    # Lines of the pages are as long as this font makes them; with a wider one they break elsewhere.
    if sys.platform == "linux" and not glob.glob(LIBERATION_SANS, recursive=True):
        found.append("fonts-liberation")
    return found


def ensure() -> None:
    """`make system-deps`.

    Raises: Trouble, with the command that a person has to give instead.
    """
    wanted = packages()
    if not wanted:
        say("All programs that the tests need of the system are there.")
        _install_optional()
        return
    if not debian.can_install():
        raise Trouble(
            f"The tests also need {' '.join(wanted)}, which only root can install: "
            f"`{debian.command(wanted)}` on Debian and Ubuntu, the same parts elsewhere."
        )
    if not debian.install(wanted) or packages():
        raise Trouble(f"{' '.join(packages())} could not be installed; apt-get says above why.")
    _install_optional()


def _install_optional() -> None:
    for program in OPTIONAL:
        if program.find() or not debian.can_install():
            continue
        if not debian.install(program.packages) or not program.find():
            say(f"{program.title} could not be installed; the tests that need it are skipped.")


def ensure_or_tell() -> None:
    """`make test`: nothing of the system is installed unasked, except on a CI machine."""
    wanted = packages()
    if not wanted:
        return
    if debian.may_install():
        debian.install(wanted)
    else:
        say(
            f"Not on this system: {', '.join(wanted)}. The tests that need them are skipped; "
            "`make system-deps` installs them."
        )
