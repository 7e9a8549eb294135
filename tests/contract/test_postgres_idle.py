"""What a process asks of PostgreSQL that has nothing to do: fifty of them must cost it little.

What costs most is not a query but a round trip, for which the server wakes one of its processes.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import NamedTuple

import pytest

from postgres_proxy import EXECUTE, FLUSH, ROW, SYNC, PostgresProxy
from postgres_server import PostgresServer
from statecast.broadcast.process_reports import ProcessReports
from statecast.problems import Problems
from statecast.stores import open_store
from statecast.stores.limits import Limits
from statecast.stores.postgres import session
from statecast.stores.postgres.store import PostgresStore

LONG = 3_000
"""Characters of a report."""


class Asked(NamedTuple):
    """What one exchange costs."""

    transactions: int
    statements: int
    rows: int
    waits: int
    """For answers, each a round trip. None if they came before the driver asked for them."""
    bytes: int


def opened(url: str) -> closing[PostgresStore]:
    store = open_store(url, Limits())
    assert isinstance(store, PostgresStore)
    return closing(store)


def reports_of(store: PostgresStore, viewers: list[int]) -> ProcessReports:
    def report() -> dict[str, object]:
        return {"viewers": viewers[0], "counts": "x" * LONG}

    return ProcessReports(lambda: store, report, Problems(store.clock, str))


def asked_by(reports: ProcessReports, proxy: PostgresProxy) -> Asked:
    """The cost of one exchange."""
    before = counted(proxy)
    reports.exchange()
    return Asked(*(after - one for after, one in zip(counted(proxy), before, strict=True)))


def counted(proxy: PostgresProxy) -> Asked:
    sent, answered = proxy.sent.types, proxy.answered.types
    return Asked(sent[SYNC], sent[EXECUTE], answered[ROW], sent[FLUSH], proxy.answered.bytes)


@pytest.mark.parametrize("others", [1, 12])
def test_an_idle_exchange_is_one_round_trip_and_reads_no_report_again(
    postgres_server: PostgresServer,
    proxy: PostgresProxy,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    others: int,
) -> None:
    monkeypatch.setattr(session, "REFUSED_SECONDS", 600.0)
    with ExitStack() as stack:
        # given serving processes, one of which cares for all, and one more whose store is counted
        viewers = [0]
        urls = [postgres_server.url(name)] * others + [proxy.url(name)]
        stores = [stack.enter_context(opened(url)) for url in urls]
        for store in stores:
            store.ended_processes()
        around = [reports_of(store, viewers) for store in stores[:-1]]
        own = reports_of(stores[-1], [7])
        for one in around:
            one.exchange()
        for _ in range(8):  # from then on its statements are prepared
            own.exchange()
        assert len(own.reports) == others + 1
        # when nothing happens, then its exchange is one round trip of few statements, and has one
        # short row for each process
        idle = asked_by(own, proxy)
        assert idle.transactions == 1 and idle.waits <= 1
        assert idle.statements <= 8
        assert idle.rows <= others + 4
        assert idle.bytes < LONG
        # when another process announces something else, then that report is read, and no other
        viewers[0] = 3
        around[0].exchange()
        news = asked_by(own, proxy)
        assert news[:3] == idle[:3] and news.waits <= 1
        assert LONG < news.bytes - idle.bytes < 1.5 * LONG
        assert own.others[around[0].process]["viewers"] == 3
        again = asked_by(own, proxy)
        assert again[:3] == idle[:3] and again.waits <= 1 and again.bytes < LONG
