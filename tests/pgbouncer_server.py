"""PgBouncer before a PostgreSQL of the tests: a pooler that gives each transaction any session."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from child_process import started
from postgres_server import DIE_WITH_PARENT, USER, PostgresServer

CONFIGURATION = """
[databases]
* = host={server} user={user} pool_size=4
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
server_round_robin = 1
"""


@contextmanager
def running(program: str, server: PostgresServer) -> Iterator[str]:
    """A pooler before ``server``; yields the folder of its socket, for ``server.url``."""
    folder = Path(tempfile.mkdtemp(dir=server.folder))
    file = folder / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(server=server.folder, user=USER, folder=folder))
    server.own(folder)
    prefix = DIE_WITH_PARENT if sys.platform == "linux" else ()
    command = [*prefix, program, str(file)]
    with started(command, stderr=subprocess.PIPE, cwd="/", **server.options) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "process up" in line:
                break
        else:
            raise AssertionError("PgBouncer ended:\n" + "".join(lines))
        yield f"{folder}&port=6432"
        process.terminate()
        process.wait(20)
