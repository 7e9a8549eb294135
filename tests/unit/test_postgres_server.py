"""The PostgreSQL of the tests: databases that are apart, crashes, and an end for sure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from child_process import started
from postgres_server import PostgresServer
from tests.conftest import installed
from tools import system_parts

TESTS = Path(__file__).resolve().parent.parent
KILLED = """
import sys
sys.path.append(sys.argv[2])
from postgres_server import PostgresServer
server = PostgresServer(sys.argv[1])
server.start()
print(server.pid, server.folder, flush=True)
sys.stdin.read()
"""


def program() -> str:
    return installed(system_parts.POSTGRESQL)


def test_each_test_has_a_database_of_its_own(postgres_server: PostgresServer) -> None:
    # given databases that are copies of one that was prepared once
    prepared = []

    def prepare(url: str) -> None:
        prepared.append(url)
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE told (word text)")

    one, other = postgres_server.create(prepare), postgres_server.create(prepare)
    assert len(prepared) == 1
    # when a test writes into its own, then the other one stays empty
    with postgres_server.connect(one) as connection:
        connection.execute("INSERT INTO told VALUES ('a'), ('B'), ('_')")
    with postgres_server.connect(other) as connection:
        assert connection.execute("SELECT * FROM told").fetchall() == []
    # and texts are in an order that is not that of their bytes, unless a query says so
    with postgres_server.connect(one) as connection:
        found = connection.execute("SELECT word FROM told ORDER BY word").fetchall()
        assert [word for (word,) in found] == ["_", "a", "B"]
        found = connection.execute('SELECT word FROM told ORDER BY word COLLATE "C"').fetchall()
        assert [word for (word,) in found] == ["B", "_", "a"]
        # and a database can be dropped while it is in use
        postgres_server.drop(one)
    postgres_server.drop(other)


def test_it_keeps_what_was_committed_over_a_crash() -> None:
    # given a commit to a server that is this test's own
    server = PostgresServer(program())
    server.start()
    name = server.create()
    with server.connect(name) as connection:
        connection.execute("CREATE TABLE told AS SELECT 5 AS number")
        # when it crashes and is started again, then what was committed is there
        server.kill()
        server.start()
    with server.connect(name) as connection:
        assert connection.execute("SELECT number FROM told").fetchall() == [(5,)]
    server.remove()


def test_only_its_own_user_reaches_it(postgres_server: PostgresServer) -> None:
    # its files and its socket are in a folder that others cannot enter, and it has no port
    assert postgres_server.folder.stat().st_mode & 0o077 == 0
    with postgres_server.connect() as connection:
        assert connection.execute("SHOW listen_addresses").fetchall() == [("",)]
    # and it is not root who runs it
    assert os.stat(f"/proc/{postgres_server.pid}").st_uid != 0


def test_it_ends_with_the_process_that_started_it() -> None:
    # given a process with a server, which is killed
    command = [sys.executable, "-c", KILLED, program(), TESTS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started(command, **pipes) as process:
        assert process.stdout is not None
        pid, folder = process.stdout.readline().split()
        process.send_signal(signal.SIGKILL)
        process.wait()
    # then the server ends as well: this process, which adopts orphans, can wait for it
    assert os.waitpid(int(pid), 0)[0] == int(pid)
    subprocess.run(["rm", "-r", folder], check=True)
