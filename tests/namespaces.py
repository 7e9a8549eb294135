"""Hosts that a test makes: network namespaces with an address each, on a switch of their own.

Rule 1: nothing outside is touched. The switch and its cables lie in a namespace of the test's too,
so no interface, route or rule of the machine changes, and no packet can leave it.
Rule 2: files and Unix sockets are shared, as those of one machine are. A test reaches a database in
a namespace by its socket.
Rule 3: whatever happens, the namespaces are removed at the end of the block; processes in them are
their starter's affair.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

NEW_NETWORK = 0x40000000
"""CLONE_NEWNET."""
NETWORK = "10.77.0"
"""Addresses inside of the namespaces."""


@dataclass(frozen=True)
class Host:
    """One namespace."""

    name: str
    namespace: str
    address: str

    @property
    def prefix(self) -> list[str]:
        """Put before a command, it runs the command there."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--"]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What this thread starts in the block runs there; the thread itself comes back."""
        with (
            open("/proc/thread-self/ns/net") as home,
            open(f"/run/netns/{self.namespace}") as there,
        ):
            set_namespace(there.fileno())
            try:
                yield
            finally:
                set_namespace(home.fileno())

    def run(self, command: str, given: str = "") -> None:
        run([*self.prefix, *command.split()], given)

    def cut_off(self, *others: Host) -> None:
        """From now on packets between this host and the others vanish; without any: all packets.

        Nobody is told: connections stay, as they do when a cable is pulled.
        """
        rules = [
            f"ip {side} {other.address} drop" for other in others for side in ("saddr", "daddr")
        ] or ["drop"]
        chains = "\n".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; {'; '.join(rules)}; }}"
            for hook in ("input", "output")
        )
        self.run("nft -f -", f"table inet cut {{\n{chains}\n}}\n")

    def heal(self) -> None:
        """Let all packets pass again."""
        self.run("nft flush ruleset")


def run(command: Sequence[str], given: str = "") -> None:
    finished = subprocess.run(command, input=given, text=True, capture_output=True, timeout=30)
    assert finished.returncode == 0, f"{' '.join(command)}: {finished.stderr}"


def set_namespace(descriptor: int) -> None:
    """Move this thread. ``os.setns`` is of Python 3.12."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "setns failed")


def why_not() -> str | None:
    """Why there can be no namespaces here, as a sentence; None if there can."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    try:
        with made(["probe"]) as (probe,):
            probe.cut_off()
            probe.heal()
    except (AssertionError, OSError) as error:
        return f"needs network namespaces and nft: {error}"
    return None


@contextmanager
def made(names: Sequence[str]) -> Iterator[list[Host]]:
    """The hosts of these names, which reach each other and nothing else."""
    prefix = f"sc{os.getpid()}"
    switch = Host("switch", f"{prefix}-switch", "")
    hosts = [
        Host(name, f"{prefix}-{name}", f"{NETWORK}.{number}")
        for number, name in enumerate(names, 10)
    ]
    there: list[Host] = []
    try:
        run(["ip", "netns", "add", switch.namespace])
        there.append(switch)
        switch.run("ip link add bridge type bridge")
        switch.run("ip link set bridge up")
        for host in hosts:
            run(["ip", "netns", "add", host.namespace])
            there.append(host)
            host.run("ip link set lo up")
            switch.run(f"ip link add {host.name} type veth peer name net netns {host.namespace}")
            switch.run(f"ip link set {host.name} master bridge up")
            host.run(f"ip addr add {host.address}/24 dev net")
            host.run("ip link set net up")
        yield hosts
    finally:
        for host in there:
            run(["ip", "netns", "del", host.namespace])
