"""The URL of a store in PostgreSQL: what is read, what is refused, and that no password is told."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from statecast.cli.options import GivenSettings
from statecast.errors import BadSetting, StoreUnavailable
from statecast.problems import Problems
from statecast.stores import imported, open_store
from statecast.stores.postgres.address import parse
from statecast.stores.postgres.database import PostgresDatabase
from statecast.timestamps import now


@pytest.mark.parametrize(
    ("url", "shown", "expected"),
    [
        ("postgresql://anna@db/live", "postgresql://db/live", {"user": "anna", "host": "db"}),
        ("postgres://db:5433/live", "postgresql://db:5433/live", {"port": "5433"}),
        ("postgresql://a,b/live", "postgresql://a,b/live", {"host": "a,b"}),
        ("postgresql://a:1,b:2/x", "postgresql://a:1,b:2/x", {"host": "a,b", "port": "1,2"}),
        ("postgresql:///x?host=/run/pg", "postgresql:///run/pg/x", {"host": "/run/pg"}),
        ("postgresql://[::1]:5/x", "postgresql://::1:5/x", {"host": "::1", "port": "5"}),
        ("postgresql://?service=live", "postgresql://service live/", {"service": "live"}),
        ("postgresql://u:p%40w@db/x", "postgresql://db/x", {"password": "p@w"}),
        ("postgresql://db/x?sslmode=verify-full", "postgresql://db/x", {"sslmode": "verify-full"}),
        ("postgresql://db/x?connect_timeout=9", "postgresql://db/x", {"connect_timeout": "9"}),
        ("postgresql://", "postgresql:///", {"connect_timeout": 5, "client_encoding": "UTF8"}),
    ],
)
def test_what_libpq_knows_is_passed_on(url: str, shown: str, expected: dict[str, Any]) -> None:
    address = parse(url)
    assert address.shown == shown
    assert expected.items() <= address.conninfo.items()
    assert (address.schema, address.pool_size, address.lease_url) == ("statecast", 10, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("schema=plant_2", ("plant_2", 10, None)),
        ("pool_size=3&sslmode=require", ("statecast", 3, None)),
        ("sslmode=require&lease_url=postgresql%3A%2F%2Fu%3Apw%40direct%2Fx", ("statecast", 10, 1)),
    ],
)
def test_parameters_of_ours_are_not_passed_on(query: str, expected: tuple[Any, ...]) -> None:
    address = parse(f"postgresql://db/x?{query}")
    lease_url = "postgresql://u:pw@direct/x" if expected[2] else None
    assert (address.schema, address.pool_size, address.lease_url) == (*expected[:2], lease_url)
    assert not {"schema", "pool_size", "lease_url"} & address.conninfo.keys()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://u:geheim@db/x?nope=1", "nope"),
        ("postgresql://db/x?password=geheim&nope=1", "nope"),
        ("postgresql://u:geheim@[::1/x", "cannot be read"),
        ("postgresql://u:ge%zzheim@db/x", "cannot be read"),
        ("postgresql://db/x?schema=Plant", "schema=Plant"),
        ("postgresql://db/x?schema=a%22b", "schema="),
        ("postgresql://db/x?schema=", "schema="),
        ("postgresql://db/x?pool_size=1", "pool_size=1"),
        ("postgresql://db/x?pool_size=ten", "pool_size=ten"),
        ("postgresql://db/x?pool_size=1001", "pool_size=1001"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str, sentence: str) -> None:
    with pytest.raises(BadSetting, match=sentence) as raised:
        parse(url)
    assert "heim" not in str(raised.value)
    context = raised.value.__context__
    assert context is None or raised.value.__suppress_context__


@pytest.mark.parametrize(
    "where",
    [
        "postgresql://u:geheim@127.0.0.1:1/x",
        "postgresql://u@127.0.0.1:1/x?password=geheim",
        "postgresql://u:geheim@/x?host=/nowhere",
        "postgresql://u:geheim@127.0.0.1:1/x?sslmode=verify-full&sslrootcert=/nowhere",
    ],
)
def test_no_sentence_names_a_password(where: str, caplog: pytest.LogCaptureFixture) -> None:
    # given a server that cannot be reached, when a store is opened there, with every log line shown
    caplog.set_level(logging.DEBUG)
    address = parse(where)
    with pytest.raises(StoreUnavailable, match="cannot be used") as raised:
        PostgresDatabase(address, Problems(now))
    # then neither the error, nor what it was made from, nor any line has the password
    chain: BaseException | None = raised.value
    while chain is not None:
        assert "geheim" not in f"{chain!r} {chain}"
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    assert "geheim" not in caplog.text + repr(address)
    assert raised.value.public == StoreUnavailable.PUBLIC


def test_a_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for name in [one for one in sys.modules if one.startswith("statecast.stores.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(BadSetting, match=r"pip install '.*\[postgres\]'"):
        open_store("postgresql://db/x")


def test_a_mistake_of_ours_is_no_missing_driver() -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        imported("statecast.stores.nowhere")


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("postgresql://db/x", False),
        ("postgresql://u@db/x?sslmode=require", False),
        ("postgresql://db/x?lease_url=postgresql%3A%2F%2Fu%40direct%2Fx", False),
        ("sqlite:////var/lib/a:b@c.db", False),
        ("postgresql://u:geheim@db/x", True),
        ("postgresql://db/x?password=geheim", True),
        ("postgresql://db/x?sslpassword=geheim", True),
        ("postgresql://db/x?lease_url=postgresql%3A%2F%2Fu%3Ageheim%40direct%2Fx", True),
    ],
)
def test_a_password_on_the_command_line_is_refused(url: str, is_refused: bool) -> None:
    given = GivenSettings({"store": url})
    if is_refused:
        with pytest.raises(BadSetting, match="PGPASSWORD") as raised:
            given.settings()
        assert "geheim" not in str(raised.value)
    else:
        assert given.settings().store == url


def test_a_password_in_the_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATECAST_STORE", "postgresql://u:geheim@db/x")
    assert GivenSettings().settings().store == "postgresql://u:geheim@db/x"
