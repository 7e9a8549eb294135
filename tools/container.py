"""`make test-container`: the steps of the Containerfile on a bare Debian, then its server.

No engine is needed: each step of both stages runs as a shell would run it, in one root. Then the
server runs as the file says, as its user, with its volume and with the rest of the root read-only.
What only an engine does (layers, the base image, publishing a port) is not tried.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from tools import bare
from tools.commands import Trouble, say

ROOT = Path(__file__).resolve().parent.parent
CLONE = "/root/statecast"

COPY = f"""\
copy() {{
  if test -d {CLONE}/$1; then mkdir -p $2; cp -r {CLONE}/$1/. $2; else cp {CLONE}/$1 $2; fi
}}
"""

# Loopback of its own, so that port 8000 is free.
NETWORK = """\
import fcntl, socket, struct
flags = struct.pack("16sh14x", b"lo", 0x1 | 0x40)
fcntl.ioctl(socket.socket(), 0x8914, flags)
"""

SERVER = """\
set -eu
{environment}
python3 -c {network}
mkdir /image
mount --bind / /image
mount -o remount,bind,ro /image
mount --rbind /dev /image/dev
mount -t proc proc /image/proc
mount -t tmpfs tmpfs /image/tmp
mount --bind {volume} /image{volume}
inside="chroot --userspec={user} /image env --chdir={volume}"

$inside {command} &
server=$!
tries=0
until $inside {check} 2>/dev/null; do
    tries=$((tries + 1))
    if test $tries = 100; then echo "It is not healthy."; exit 1; fi
    sleep 0.3
done
$inside statecast send pillow mood=happy
tries=0
until $inside statecast get pillow 2>/dev/null | grep happy; do
    tries=$((tries + 1))
    if test $tries = 100; then echo "The state did not come."; exit 1; fi
    sleep 0.3
done
for path in / /opt/statecast /etc; do
    if $inside touch $path/written 2>/dev/null; then echo "$path can be written."; exit 1; fi
done
if $inside sh -c "command -v cc gcc"; then echo "A compiler is there."; exit 1; fi
kill -TERM $server
status=0; wait $server || status=$?
echo "It was healthy as user {user}, kept a state, and ended with status $status."
test $status = 143
"""


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The words and their arguments, one per line; comments and continuations resolved."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if found := re.match(r"([A-Z]+) +(.+)", line):
            yield found[1], found[2]


def steps(text: str) -> str:
    """The steps as one script. Both stages share its root, so copies between them exist already."""
    script = ["set -eu", "export PIP_QUIET=2", COPY]
    for word, rest in instructions(text):
        if word == "RUN":
            script.append(f"( {rest} )")
        elif word == "WORKDIR":
            script.append(f"mkdir -p {rest} && cd {rest}")
        elif word == "ENV":
            script.append(f"export {rest}")
        elif word == "COPY" and not rest.startswith("--from="):
            *sources, target = rest.split()
            script += [f"copy {source} {target}" for source in sources]
    return "\n".join(script)


def server(text: str) -> str:
    """A script that runs the server of the last stage, and asks it."""
    last = dict(instructions(text.rpartition("\nFROM ")[2]))
    check = last["HEALTHCHECK"].partition(" CMD ")[2]
    return SERVER.format(
        environment=f"export {last['ENV']}",
        network=shlex.quote(NETWORK),
        volume=last["VOLUME"],
        user=last["USER"],
        command=shlex.join(json.loads(last["ENTRYPOINT"]) + json.loads(last["CMD"])),
        check=shlex.join(json.loads(check)),
    )


def main() -> int:
    bare.require_root()
    text = (ROOT / "Containerfile").read_text()
    with bare.machine("bookworm") as root:
        bare.furnish(root, "root")
        (root / "root" / "steps.sh").write_text(steps(text))
        (root / "root" / "server.sh").write_text(server(text))
        commands = {
            "clone": f"git -c advice.detachedHead=false clone -q /tmp/statecast.bundle {CLONE}",
            "the steps of the Containerfile": "sh steps.sh",
            "its server": "unshare --net sh server.sh",
        }
        for title, command in commands.items():
            say(f"== {title}")
            if not bare.enter(root, "root", command):
                raise Trouble(f"On a bare Debian this failed: {title}.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as exc:
        sys.exit(str(exc))
    except KeyboardInterrupt:
        sys.exit(130)
