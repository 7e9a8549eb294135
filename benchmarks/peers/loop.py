"""The limit without a C compiler: a loop of ``send()`` over all connections. The argument is the frame's size."""

from __future__ import annotations

import json
import os
import select
import socket
import sys

from benchmarks.processes import answer, raise_file_limit


def main(size: int) -> None:
    raise_file_limit()
    frame = b"x" * size
    viewers = []
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    answer(port=listening.getsockname()[1])
    while True:
        for ready in select.select([listening.fileno(), 0], [], [])[0]:
            if ready:
                viewers.append(listening.accept()[0])
                viewers[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                continue
            line = os.read(0, 65_536)
            if not line:
                return
            for _ in range(json.loads(line)["rounds"]):
                for viewer in viewers:
                    viewer.send(frame)


if __name__ == "__main__":
    main(int(sys.argv[1]))
