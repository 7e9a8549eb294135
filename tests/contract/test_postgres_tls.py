"""TLS to a server that takes nothing else; its certificate is made by the test."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

import postgres_proxy
from certificates import write_certificate
from postgres_server import USER, PostgresServer
from statecast.cli.main import main
from statecast.errors import StatecastError
from statecast.stores import open_store
from statecast.stores.postgres.driver import row
from statecast.stores.postgres.store import PostgresStore
from statecast.testing import change
from tests.conftest import installed
from tools import system_parts

PASSWORD = "open-sesame"
ONLY_TLS = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class Guarded:
    """A server that takes only TLS and a password, and files of certificates."""

    server: PostgresServer
    port: int
    folder: Path
    """``right.pem`` signed the server's certificate, for 127.0.0.1; ``wrong.pem`` did not."""

    def url(self, options: str, host: str = "127.0.0.1", password: str = PASSWORD) -> str:
        options = options.format(folder=self.folder)
        return f"postgresql://{USER}:{password}@{host}:{self.port}/guarded?{options}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("certificates")
    server = PostgresServer(
        installed(system_parts.POSTGRESQL),
        listen_addresses="127.0.0.1",
        port=str(port),
        ssl="on",
        ssl_cert_file="cert.pem",
        ssl_key_file="key.pem",
    )
    data = server.folder / "data"
    for name in ("wrong", "right"):
        certificate, key = write_certificate(folder)
        shutil.copy(certificate, folder / f"{name}.pem")
    for file in (certificate, key):
        placed = Path(shutil.move(file, data))
        server.own(placed)
        placed.chmod(0o600)
    (data / "pg_hba.conf").write_text(ONLY_TLS)
    try:
        server.start()
        local = f"postgresql://{USER}@/postgres?host={server.folder}&port={port}"
        with psycopg.connect(local, autocommit=True) as connection:
            connection.execute(f"ALTER USER {USER} PASSWORD '{PASSWORD}'")
            connection.execute("CREATE DATABASE guarded")
        yield Guarded(server, port, folder)
    finally:
        server.remove()


WORKS = {
    "the certificate and the name are checked": (
        "sslmode=verify-full&sslrootcert={folder}/right.pem",
        "127.0.0.1",
    ),
    "the certificate is checked": ("sslmode=verify-ca&sslrootcert={folder}/right.pem", "localhost"),
    "nothing is checked": ("sslmode=require", "127.0.0.1"),
    "the URL says nothing": ("", "127.0.0.1"),
}


@pytest.mark.parametrize("case", WORKS)
def test_a_server_that_takes_only_tls(guarded: Guarded, case: str) -> None:
    store = open_store(guarded.url(*WORKS[case]))
    assert isinstance(store, PostgresStore)
    try:
        # then states are written and read, and all connections are encrypted: also the one that
        # holds the leases
        lease = store.lease("queue")
        assert lease is not None
        written = store.edit(change("pillow", {"on": case}, by="user"))
        assert written is not None and store.get("pillow") == written
        with store.database.read() as connection:
            found = row(
                connection,
                "SELECT count(*), bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                "WHERE datname = 'guarded' AND application_name = 'statecast'",
            )
        assert found is not None and found[0] >= 2 and found[1] is True
    finally:
        store.close()


AUTHORITY = "name the file of the authority that signed the server's certificate"
REFUSED = {
    "another authority": (
        "sslmode=verify-full&sslrootcert={folder}/wrong.pem",
        "127.0.0.1",
        "certificate verify failed",
        AUTHORITY,
    ),
    "the authorities of the system": (
        "sslmode=verify-full&sslrootcert=system",
        "127.0.0.1",
        "certificate verify failed",
        AUTHORITY,
    ),
    "another name": (
        "sslmode=verify-full&sslrootcert={folder}/right.pem",
        "localhost",
        'does not match host name "localhost"',
        "put a name that the certificate has into the URL",
    ),
    "no authority": (
        "sslmode=verify-full&sslrootcert={folder}/none.pem",
        "127.0.0.1",
        "does not exist",
        AUTHORITY,
    ),
    "no TLS": (
        "sslmode=disable",
        "127.0.0.1",
        "no encryption",
        "if it takes only TLS, add sslmode=verify-full to the URL",
    ),
    "a mode that there is not": (
        "sslmode=certainly",
        "127.0.0.1",
        'invalid sslmode value: "certainly"',
        "correct the URL or PGSSLMODE",
    ),
    "a mode that checks too little": (
        "sslmode=require&sslrootcert=system",
        "127.0.0.1",
        "weak sslmode",
        "correct the URL or PGSSLMODE",
    ),
    "a service that there is not": (
        "service=nowhere",
        "127.0.0.1",
        'definition of service "nowhere" not found',
        "correct the URL or the service file",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tls_that_fails_says_what_to_do(guarded: Guarded, case: str) -> None:
    options, host, reason, advice = REFUSED[case]
    with pytest.raises(StatecastError) as raised:
        open_store(guarded.url(options, host)).close()
    sentence = str(raised.value)
    assert reason in sentence and advice in sentence
    assert PASSWORD not in sentence and "\n" not in sentence


def test_a_server_without_tls_that_is_asked_for_it(postgres_server: PostgresServer) -> None:
    with postgres_proxy.before(postgres_server) as proxy:
        url = proxy.url("postgres").replace("sslmode=disable", "sslmode=require")
        with pytest.raises(StatecastError) as raised:
            open_store(url.replace(f"{USER}@", f"{USER}:{PASSWORD}@"))
    sentence = str(raised.value)
    assert "does not support SSL" in sentence and "turn on ssl in its postgresql.conf" in sentence
    assert PASSWORD not in sentence


@pytest.mark.parametrize("password", [PASSWORD, "wrong-sesame"])
@pytest.mark.parametrize("mode", ["verify-full", "prefer"])
def test_the_commands_name_no_password(guarded: Guarded, mode: str, password: str) -> None:
    # given a URL with a password in a variable, and the name of a server that has another one
    options = f"sslmode={mode}&sslrootcert={{folder}}/wrong.pem" if mode == "verify-full" else ""
    is_right = mode == "prefer" and password == PASSWORD
    url = guarded.url(options, password=password)
    for words in (["get", "pillow"], ["store", "check"], ["send", "pillow", "on=1"], ["doctor"]):
        ended = CliRunner(env={"STATECAST_STORE": url}).invoke(main, words)
        # then what a command says has no password and no traceback
        assert password not in ended.output and "Traceback" not in ended.output
        if not is_right and words[0] != "doctor":
            # and it is one sentence, and an exit code
            assert ended.exit_code == 1
            assert len(ended.stderr.strip().splitlines()) == 1
