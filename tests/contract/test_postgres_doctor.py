"""What `statecast doctor`, `store check` and `store migrate` say of a store in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

import pgbouncer_server
from postgres_server import PostgresServer
from statecast.cli.main import main
from statecast.stores.postgres import examination, server

FACTS = server.ServerFacts("15.1", 150001, "UTF8", "on", "on", "on", "on", False, 1)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.created() as name:
        yield name


def said(*words: str, status: int = 0) -> str:
    ended = CliRunner().invoke(main, list(words))
    assert ended.exit_code == status, ended.output
    return ended.output


def test_the_commands_know_a_store_in_postgresql(
    postgres_server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a URL with a password, where other users cannot read it
    url = postgres_server.url(database).replace("statecast@", "statecast:secret@")
    monkeypatch.setenv("STATECAST_STORE", url)
    # its tables are made
    made = said("store", "migrate")
    assert "up to date" in made and "secret" not in made
    assert said("store", "check") == "Nothing is wrong.\n"
    # the doctor says what there is to know, and no password
    report = said("doctor")
    assert "It is in PostgreSQL 1" in report and "schema statecast" in report
    assert "clock and this machine's agree" in report
    assert "Commits wait for no replica" in report
    assert "Data checksums of the server are off" in report
    assert "pooler" not in report and "secret" not in report
    # rows that contradict each other are found
    with postgres_server.connect(database) as connection:
        connection.execute("UPDATE statecast.counters SET devices = 5")
    assert "devices = 5, and there are 0" in said("store", "check", status=1)
    # and are not mended by us
    assert "backup" in said("store", "check", "--repair", status=2)


def test_a_pooler_is_named(postgres_server: PostgresServer, database: str, pgbouncer: str) -> None:
    said("store", "migrate", "--store", postgres_server.url(database))
    with pgbouncer_server.running(pgbouncer, postgres_server) as pooler:
        url = postgres_server.url(database, pooler)
        assert "add a direct connection to its URL" in said("doctor", "--store", url)
        direct = postgres_server.url(database).replace("&", "%26")
        report = said("doctor", "--store", f"{url}&lease_url={direct}")
        assert "leases have a direct connection" in report


@pytest.mark.parametrize(
    ("ahead", "exactness", "verdict", "words"),
    [
        (0, 1, "good", "agree within 2 ms"),
        (-1_990, 20, "good", "agree within 2011 ms"),
        (5_000, 1, "notice", "is 5 s ahead of this machine's"),
        (-7_200_000, 1, "notice", "is 2 h behind this machine's"),
    ],
)
def test_clocks_are_compared(ahead: int, exactness: int, verdict: str, words: str) -> None:
    found, sentence = examination.clocks(ahead, exactness)
    assert found == verdict and words in sentence


@pytest.mark.parametrize(
    ("standbys", "commit", "words"),
    [
        ("", "on", "wait for no replica"),
        ("FIRST 1 (b)", "on", "wait for a replica"),
        ("*", "remote_apply", "wait for a replica"),
        ("*", "local", "wait for no replica"),
        ("*", "off", "wait for no replica"),
    ],
)
def test_replication_is_named(standbys: str, commit: str, words: str) -> None:
    facts = FACTS._replace(synchronous_commit=commit)
    assert words in examination.replication(facts, standbys)[1]
