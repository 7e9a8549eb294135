"""The theoretical limit without a C compiler: ``send()`` in a loop over all connections.

The argument is the size of the frame.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time

from benchmarks.processes import answer, raise_file_limit


def main(size: int) -> None:
    raise_file_limit()
    frame = b"x" * size
    viewers: list[socket.socket] = []
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listening.setblocking(False)
    answer(port=listening.getsockname()[1])
    while True:
        ready = select.select([listening.fileno(), 0], [], [])[0]
        take(listening, viewers)
        line = os.read(0, 65_536) if 0 in ready else None
        if line == b"":
            return
        command = json.loads(line) if line else {"rounds": 0}
        for _ in range(command["rounds"]):
            for viewer in viewers:
                viewer.send(frame)
            time.sleep(command.get("pause", 0))


def take(listening: socket.socket, viewers: list[socket.socket]) -> None:
    """Accept all pending connections. The caller of ``emit`` has waited for them."""
    with contextlib.suppress(BlockingIOError):
        while True:
            viewer, _ = listening.accept()
            viewer.setblocking(True)
            viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            viewers.append(viewer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
