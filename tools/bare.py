"""`make test-bare`: README's two commands on a machine that has only what README asks for.

    python3 -m tools.bare [--as root|user] [--suite bookworm] [--short] [-- pytest's arguments]

Rule 1: the machine is a Debian made by debootstrap with the packages of ``PACKAGES`` and no others.
It is kept below ``.tools/bare`` as it was made; each run gets a copy. The reports stay there too.
Rule 2: the environment is empty but for what leads to the package registries. Nothing of this
machine's is committed: it is looked up, and copied, at each run.
Rule 3: nothing is left. The run has namespaces of its own for mounts and processes; both end with
their first process, and the copy is removed.
Rule 4: a skipped test is expected or the run fails: ``tools/bare_skips.txt``.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tools import debian, skips
from tools.commands import Trouble, insist, quiet, run, say

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".tools" / "bare"
PACKAGES = ("ca-certificates", "git", "make", "python3", "python3-venv")
USER = "newcomer"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHORT = ("-m", "bare")
REPORT = "tmp/report.xml"
CLONE = "git -c advice.detachedHead=false clone --quiet"

# The ways to the registries: indexes, mirrors, proxies and the certificates of all these.
KEPT = re.compile(
    r"(?i:pip_.*|npm_config_.*|(https?|all|no)_proxy)"
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS"
)
SYSTEM_FILES = (
    *("/etc/resolv.conf", "/etc/hosts", "/etc/npmrc"),
    *("/etc/pip.conf", "/etc/xdg/pip", "/usr/local/share/ca-certificates"),
)
HOME_FILES = (".config/pip/pip.conf", ".pip/pip.conf", ".npmrc")

# The first process of the namespaces. It stays, because the kernel ends the others with it.
INSIDE = """
set -e
mount --bind "$1" "$1"  # a mount point, as the root of a machine is
mount --rbind /dev "$1/dev"
mount -t tmpfs -o mode=1777 shm "$1/dev/shm"
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys"
root=$1; shift
chroot "$root" "$@" </dev/null
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make test-bare", description=__doc__)
    parser.add_argument("--as", dest="who", choices=["root", "user"])
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("pytest", nargs="*")
    chosen = parser.parse_args(arguments)
    require_root()
    results: dict[str, str] = {}
    for who in [chosen.who] if chosen.who else ["root", "user"]:
        started = time.monotonic()
        faults = lane(who, chosen.suite, chosen.short, chosen.pytest)
        minutes, seconds = divmod(round(time.monotonic() - started), 60)
        results[who] = f"{faults or 'passed'} ({minutes} min {seconds:02} s)"
    for who, result in results.items():
        say(f"make test-bare, {chosen.suite}, as {who}: {result}")
    return 0 if all(result.startswith("passed") for result in results.values()) else 1


def require_root() -> None:
    if os.geteuid() != 0:
        raise Trouble(
            "`make test-bare` makes a small Debian of its own, for which it needs root rights: "
            "`sudo make test-bare`."
        )
    wanted = [name for name in ("debootstrap", "unshare", "setpriv") if not shutil.which(name)]
    if wanted and not (debian.may_install() and debian.install(["debootstrap", "util-linux"])):
        raise Trouble(f"`make test-bare` needs {', '.join(wanted)}: `apt-get install debootstrap`.")


def lane(who: str, suite: str, short: bool, options: list[str]) -> str:
    """What was wrong, in a few words; empty when all went well."""

    def step(title: str, command: str) -> bool:
        say(f"== as {who} on a bare {suite}: {title}")
        return enter(root, who, command)

    with machine(suite) as root:
        furnish(root, who)
        steps = {
            "clone": f"{CLONE} /tmp/statecast.bundle statecast",
            "make run": "cd statecast && python3 -m tools.first_minutes",
        }
        if who == "root" and not short:  # an ordinary user goes without
            steps["make system-deps"] = "cd statecast && make system-deps"
        arguments = [*(SHORT if short else ()), *options, "--junitxml", f"/{REPORT}"]
        steps["make test"] = f"cd statecast && make test ARGS={shlex.quote(shlex.join(arguments))}"
        failed = next((title for title, command in steps.items() if not step(title, command)), "")
        report = root / REPORT
        if not report.exists():
            return f"{failed} failed"
        shutil.copy(report, FOLDER / f"{suite}-{who}.xml")
        wrong = compare_skips(report, who, whole=not short and not options)
        return ", ".join(words for words in (failed and f"{failed} failed", wrong) if words)


def compare_skips(report: Path, who: str, whole: bool) -> str:
    """Both directions when all tests ran; of some tests, only that no skip is unexpected."""
    expected = skips.expected((ROOT / "tools" / "bare_skips.txt").read_text(), who)
    found = skips.found(report.read_text())
    wrong = [f"skipped, but not expected: {skip}" for skip in sorted(found - expected)]
    if whole:
        wrong += [f"expected to be skipped, but ran: {skip}" for skip in sorted(expected - found)]
    for line in wrong:
        say(line)
    return f"{len(wrong)} skips differ from tools/bare_skips.txt" if wrong else ""


# The machine


@contextmanager
def machine(suite: str) -> Iterator[Path]:
    """A copy of the Debian that is kept, removed in the end. One run at a time."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    handle = os.open(FOLDER, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    copy = FOLDER / "run"
    try:
        shutil.rmtree(copy, ignore_errors=True)  # of a run that was killed
        pristine = make_debian(suite)
        if not run(["cp", "-a", "--reflink=auto", pristine, copy]):
            raise Trouble(f"{pristine} could not be copied; cp says above why.")
        yield copy
    finally:
        shutil.rmtree(copy, ignore_errors=True)
        os.close(handle)


def make_debian(suite: str) -> Path:
    """Made under another name first, so that half a Debian is never taken for a whole one."""
    made = FOLDER / f"{suite}-{'-'.join(PACKAGES)}"
    if made.exists():
        return made
    say(f"Making a Debian {suite} below .tools/bare (once; about a minute).")
    half = FOLDER / "half-made"
    shutil.rmtree(half, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    mirror = [found] if (found := debian_mirror()) else []
    # In namespaces of its own: it mounts /proc in there, and leaves it when it is interrupted.
    done = insist([*ALONE, *command, suite, half, *mirror])
    if not done:
        raise Trouble(f"debootstrap could not make a Debian {suite}; it says above why.")
    half.rename(made)
    return made


ALONE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")
"""A command's own mounts and processes, all of which end with it, and it with us."""


def debian_mirror() -> str | None:
    """The one that this machine's own apt uses; debootstrap's default elsewhere."""
    fields = "$(COMPONENT) $(REPO_URI)"
    command = ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True).stdout
    except OSError:
        return None
    lines = (line.split(" ", 1) for line in listed.splitlines())
    mirrors = (uri for component, uri in lines if component == "main")
    return next((uri for uri in mirrors if uri.rstrip("/").endswith("/debian")), None)


def furnish(root: Path, who: str) -> None:
    """The clone's bundle, an ordinary user, and the ways to the registries."""
    if quiet(["git", "-C", ROOT, "status", "--porcelain"])[1]:
        say("There are changes that are not committed; they are not part of this run.")
    bundle = root / "tmp" / "statecast.bundle"
    if not run(["git", "-C", ROOT, "bundle", "create", "--quiet", bundle, "HEAD"]):
        raise Trouble("The clone could not be bundled; git says above why.")
    run(["chroot", root, "useradd", "--create-home", USER])
    for name in (*SYSTEM_FILES, *certificates(os.environ)):
        copy_into(root, Path(name), Path(name))
    for name in HOME_FILES:
        copy_into(root, Path.home() / name, home(who) / name)
    if who == "user":
        run(["chroot", root, "chown", "-R", f"{USER}:{USER}", home(who)])
    quiet(["chroot", root, "update-ca-certificates"])
    (root / "etc/apt/apt.conf.d/99machine").write_text(apt_settings())
    # A machine that is thrown away need not survive a loss of power: dpkg is twice as fast.
    (root / "etc/dpkg/dpkg.cfg.d/unsafe").write_text("force-unsafe-io\n")


def copy_into(root: Path, source: Path, target: Path) -> None:
    inside = root / target.relative_to("/")
    inside.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, inside, dirs_exist_ok=True)
    elif source.exists():
        shutil.copy(source, inside)


def certificates(variables: Mapping[str, str]) -> Iterator[str]:
    """Files that the kept variables name, other than the one that Debian makes itself."""
    for value in kept(variables).values():
        if Path(value).is_file() and value != "/etc/ssl/certs/ca-certificates.crt":
            yield str(Path(value).absolute())


def apt_settings() -> str:
    """How this machine's apt reaches its mirror: proxies, and what it checks."""
    try:
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True).stdout
    except OSError:
        return ""
    wanted = re.compile(r"Acquire::(https?|Check-\w+|Check-Valid-Until)\b", re.IGNORECASE)
    return "".join(line for line in dump.splitlines(keepends=True) if wanted.match(line))


def kept(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if KEPT.fullmatch(name)}


def home(who: str) -> Path:
    return Path("/root") if who == "root" else Path("/home") / USER


def enter(root: Path, who: str, command: str) -> bool:
    """Runs a shell's command in there, in that person's home; whether it went well."""
    variables = {"PATH": PATH, "HOME": str(home(who))} | kept(os.environ)
    person = [] if who == "root" else ["setpriv", f"--reuid={USER}", f"--regid={USER}"]
    person += [] if who == "root" else ["--init-groups"]
    words = [f"{name}={value}" for name, value in variables.items()]
    shell = ["sh", "-c", f"cd && {command}"]
    inside = ["env", "-i", *words, *person, *shell]
    return run([*ALONE, "sh", "-c", INSIDE, "sh", root, *inside])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Trouble as exc:
        sys.exit(str(exc))
    except KeyboardInterrupt:
        sys.exit(130)
