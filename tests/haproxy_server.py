"""A real HAProxy before servers of the tests, with the file that the documents show."""

from __future__ import annotations

import csv
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from child_process import started

SOCKET = "stats"
FILE = Path(__file__).resolve().parent.parent / "contrib" / "haproxy.cfg"


@contextmanager
def before_several(program: str, folder: Path, backends: Sequence[str]) -> Iterator[str]:
    """HAProxy before several servers; yields its address.

    It inherits a socket that listens already, so no client has to wait for its start.
    """
    text = FILE.read_text()
    for number, backend in enumerate(backends, 1):
        name = f"statecast-{number}:8000"
        assert name in text
        text = text.replace(name, backend.removeprefix("http://"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        bound = f"bind fd@{listening.fileno()}"
        text, count = re.subn("bind :80(?= )", bound, text)
        assert count == 1 and ":8000" not in text
        configuration = folder / "haproxy.cfg"
        configuration.write_text(f"global\n    stats socket {folder / SOCKET}\n{text}")
        command = [program, "-db", "-q", "-f", str(configuration)]
        with started(command, pass_fds=[listening.fileno()]) as process:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            process.terminate()
            process.wait(20)


def all_are_up(folder: Path) -> bool:
    """Whether HAProxy counts every server as up. It learns of a new one by its next check."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(folder / SOCKET))
        asking.sendall(b"show stat\n")
        with asking.makefile() as answer:
            rows = list(csv.DictReader(answer))
    states = {row["svname"]: row["status"] for row in rows if row["# pxname"] == "statecast"}
    return all(states[name] == "UP" for name in ("one", "two"))
