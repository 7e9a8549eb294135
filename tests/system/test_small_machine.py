"""What an idle server does without: packages and modules that cost memory and time at its start."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
from server_process import ServerProcess

pytestmark = pytest.mark.bare

IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +([\w.]+)$", re.MULTILINE)


def imports_of(folder: Path, *paths: str) -> set[str]:
    """What a server has imported from its start to its end, with requests for these paths."""
    server = ServerProcess(
        folder,
        *("--port", "0", "--store", "sqlite:///small.db"),
        PYTHONPROFILEIMPORTTIME="1",
    )
    try:
        for path in paths:
            with urllib.request.urlopen(server.address + path, timeout=20) as response:
                response.read()
        assert server.terminate() == 143
    finally:
        server.kill()
    return set(IMPORTED.findall("".join(server.output)))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """By an idle server."""
    return imports_of(tmp_path_factory.mktemp("idle"))


@pytest.mark.parametrize(
    ("module", "needed_by"),
    [
        ("prometheus_client", "the first scrape"),
        ("psycopg", "a store in PostgreSQL"),
        ("statecast.stores.postgres", "a store in PostgreSQL"),
        ("statecast.stores.memory.store", "a store in memory"),
        ("azure", "a queue of Azure"),
        ("statecast.sources.azure_queue", "a queue of Azure"),
        ("jwt", "tokens of an identity provider"),
        ("cryptography", "tokens of an identity provider"),
        ("requests", "the SDK of Azure"),
        ("aiohttp", "the SDK of Azure"),
        ("statecast.diagnostics", "doctor"),
        ("statecast.cli.doctor", "doctor"),
        ("statecast.cli.send", "send"),
        ("statecast.cli.user", "user"),
        ("statecast.cli.maintenance", "store"),
        ("statecast.cli.quarantine", "quarantine"),
        ("getpass", "user, for a password"),
        ("statecast.server.supervisor", "several processes"),
        ("statecast.server.worker_link", "several processes"),
        ("statecast.server.connection_forwarder", "several processes"),
        ("statecast.server.tls_listener", "TLS"),
        ("statecast.program.certificate", "TLS"),
        ("statecast.stores.sqlite.repair", "store repair"),
        ("tomllib", "a file of settings"),
        ("encodings.idna", "a host with a name that is not ASCII"),
        ("statecast.socketio", "an application of Flask-SocketIO"),
        ("statecast.testing", "tests"),
        ("unittest", "tests"),
        ("sqlite3", "nothing: apsw is our SQLite"),
        ("concurrent.futures.process", "nothing"),
        ("werkzeug.debug", "the debugger of Flask"),
        ("pdb", "nothing"),
        ("xml", "nothing"),
    ],
)
def test_an_idle_server_imports_nothing_that_only_others_need(
    imported: set[str], module: str, needed_by: str
) -> None:
    assert "statecast.server.server" in imported
    assert module not in imported, f"only for: {needed_by}"


def test_metrics_are_imported_by_the_first_scrape(tmp_path: Path) -> None:
    assert "prometheus_client" in imports_of(tmp_path, "/metrics")
