"""What a delivery costs over each way to a viewer: WebSocket, server-sent events, long polling.

One device changes ten times a second, and all viewers watch it. A viewer that polls asks again for
each answer, so the server works for its requests too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from benchmarks import http_viewers, processes, servers
from benchmarks.processes import BenchmarkError, Process
from benchmarks.report import Row
from benchmarks.servers import Server

WEBSOCKET = "WebSocket"
PAUSE = 0.1


class Watching:
    """A server with viewers of one kind, which run in a process of their own."""

    def __init__(self, kind: str, server: Server, viewers: Process) -> None:
        self.kind = kind
        self.server = server
        self.viewers = viewers
        self.costs: list[float] = []
        self.busy = 0.0

    def connect(self, number: int) -> None:
        self.server.process.ask(do="set", changes=1, pause=0)
        port = self.server.port
        if self.kind != WEBSOCKET:
            self.viewers.ask(120, do="connect", kind=self.kind, port=port, number=number)
            return
        self.viewers.ask(120, do="connect", group="all", port=port, viewers=number)
        self.viewers.ask(do="watch", group="all", patterns=["pillow"])

    def measure(self, number: int, changes: int) -> None:
        """Microseconds of the server's CPU per update."""
        self._ask("count", what="updates")
        used, own = self.server.process.cpu(), self.viewers.cpu()
        self.server.process.ask(60 + changes, do="set", changes=changes, pause=PAUSE)
        counts = self._ask("quiet")
        used, own = self.server.process.cpu() - used, self.viewers.cpu() - own
        if counts["updates"] < 0.5 * changes * number or counts["lost"]:
            raise BenchmarkError(
                f"{self.kind}: of {changes} changes {counts['updates'] / number:g} reached each "
                f"viewer; {counts['lost']} connections were lost"
            )
        self.costs.append(used / counts["updates"] * 1e6)
        self.busy = max(self.busy, own / (changes * PAUSE))

    def _ask(self, do: str, **more: Any) -> dict[str, Any]:
        if self.kind == WEBSOCKET:
            return self.viewers.ask(do=do, group="all", **more)
        return self.viewers.ask(do=do)

    def row(self, number: int) -> Row:
        what = f"{number} viewers over {self.kind}, paced at {1 / PAUSE:g} changes/s"
        note = "the viewers were the bottleneck" if self.busy > servers.BUSY else ""
        return Row.of(what, self.costs, "µs of CPU per delivery", note=note)


def rows(quick: bool) -> list[Row]:
    number, changes, turns = (100, 10, 1) if quick else (500, 40, 5)
    starters: dict[str, Callable[[], AbstractContextManager[Process]]] = {
        WEBSOCKET: servers.generator
    }
    starters |= dict.fromkeys(
        http_viewers.KINDS, lambda: processes.python("benchmarks.http_viewers")
    )
    with ExitStack() as stack:
        running = []
        for kind, start in starters.items():
            folder: Path = stack.enter_context(servers.scratch())
            server = stack.enter_context(servers.serving(servers.OURS, folder))
            running.append(Watching(kind, server, stack.enter_context(start())))
            running[-1].connect(number)
        for _ in range(turns):
            for one in running:
                one.measure(number, changes)
    return [one.row(number) for one in running]
