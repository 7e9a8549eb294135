"""``/metrics``: who may read it, what it holds, and whether Prometheus can read it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from statecast.access.grants import Grants
from statecast.commands.request import new_command
from statecast.errors import BadSetting
from statecast.http import locality
from statecast.http.errors import HTTPProblem
from statecast.http.head import by_name
from statecast.runtime import Runtime
from statecast.server.metrics import MetricsEndpoint
from statecast.server.server import BackgroundServer
from statecast.settings import Settings
from statecast.testing import change, message, refused
from statecast.testing.values import VirtualClock

ROOT = Path(__file__).resolve().parent.parent.parent
DASHBOARD = ROOT / "contrib" / "grafana-dashboard.json"
HOW_TO = ROOT / "docs" / "how-to" / "monitoring.md"
PAGE = "text/plain"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Runtime]:
    runtime = Runtime(Settings(store=f"sqlite:///{tmp_path / 's.db'}"), VirtualClock())
    yield runtime
    runtime.stop()


def ask(
    runtime: Runtime, client: str = "127.0.0.1", method: str = "GET", **headers: str
) -> tuple[int, str, str]:
    """Status, content type and body. The request is of this machine where the server says so."""
    endpoint = MetricsEndpoint(runtime, runtime.readers(None, inline=True))
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    fields = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    local = locality.is_local_head(
        client, by_name([*fields, (b"host", b"localhost")]), trusted=False
    )
    scope = {
        "method": method,
        "path": "/metrics",
        "client": (client, 1234),
        "headers": fields,
        "extensions": {locality.EXTENSION: local},
    }

    async def answer() -> None:
        try:
            await endpoint(scope, None, send)  # type: ignore[arg-type]
        except HTTPProblem as problem:
            await problem.send(send)

    asyncio.run(answer())
    fields = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    body = b"".join(one["body"] for one in said[1:])
    return said[0]["status"], fields["content-type"], body.decode()


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels."""
    return {
        (sample.name, *map(str, sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def busy(live: Runtime) -> None:
    """Something for every metric to show."""
    live.store.commit("queue", 1, [message("1", change("pillow", {"n": 1})), refused("2")])
    live.store.commit("queue", 1, [message("1", change("pillow", {"n": 1}))])
    live.store.count_refused("api")
    live.store.begin_command(new_command("pillow", "hug"))
    live.problems.report("clock", "device pillow", "Its clock is ahead.", severity="notice")
    source = {
        "status": "away",
        "since": "2026-01-01T00:00:00.000Z",
        "received_at": "2025-12-31T23:59:30.000Z",
        "lag": 1.5,
        "waiting": 7,
        "sentence": "It is away.",
        "requests_per_hour": 3600,
    }
    other = {
        "pid": 4711,
        "sources": {"far": source},
        "viewers": 30,
        "lagging": 2,
        "dropped_events": 5,
        "sent_bytes": 1_000,
        "ticks": 10,
        "requested_resets": 2,
        "loop_delay": 0.25,
    }
    live.store.announce("another", other)
    live.viewers.count = lambda: 12
    live.process_reports.exchange()


CASES: dict[tuple[str, ...], float] = {
    ("statecast_messages_total", "queue"): 2,
    ("statecast_versions_total", "queue"): 1,
    ("statecast_duplicates_total", "queue"): 1,
    ("statecast_dropped_total", "queue"): 0,
    ("statecast_quarantined_total", "queue"): 1,
    ("statecast_evicted_total", "queue"): 0,
    ("statecast_refused_total", "api"): 1,
    ("statecast_left_out_total", "queue"): 0,
    ("statecast_quarantine_messages",): 1,
    ("statecast_open_commands",): 1,
    ("statecast_oldest_command_seconds",): 0,
    ("statecast_source_up", "far"): 0,
    ("statecast_source_lag_seconds", "far"): 1.5,
    ("statecast_source_receive_age_seconds", "far"): 30,
    ("statecast_source_waiting_messages", "far"): 7,
    ("statecast_source_requests_per_hour", "far"): 3600,
    ("statecast_processes",): 2,
    ("statecast_viewers",): 42,
    ("statecast_viewers_behind",): 2,
    ("statecast_dropped_events_total", "4711"): 5,
    ("statecast_sent_bytes_total", "4711"): 1_000,
    ("statecast_ticks_total", "4711"): 10,
    ("statecast_requested_resets_total", "4711"): 2,
    ("statecast_loop_delay_seconds", "4711"): 0.25,
    ("statecast_problems", "clock", "notice"): 1,
    ("statecast_history_rows",): 1,
}


@pytest.mark.parametrize("name", CASES, ids=" ".join)
def test_each_figure_is_that_of_all_processes(live: Runtime, name: tuple[str, ...]) -> None:
    busy(live)
    status, kind, text = ask(live)
    assert status == 200 and kind.startswith(PAGE)
    assert figures(text)[name] == CASES[name]


def test_the_age_of_the_oldest_open_command(live: Runtime) -> None:
    # given commands of two devices, of which one is done
    clock = live.clock
    assert isinstance(clock, VirtualClock)
    for device in ("lamp", "pillow"):
        live.store.begin_command(new_command(device, "hug", expires=600))
        clock.advance(20)
    # when the figures are exchanged and asked for
    live.process_reports.exchange()
    found = figures(ask(live)[2])
    # then they count both, and the age is that of the first
    assert found["statecast_open_commands",] == 2
    assert found["statecast_oldest_command_seconds",] == 40


def test_processes_of_one_number_are_told_apart(live: Runtime) -> None:
    """Two containers that share a volume: both are process 1."""
    for process, ticks in (("aaaaaaaa-1", 3), ("bbbbbbbb-2", 4)):
        live.store.announce(process, {"pid": 1, "sources": {}, "viewers": 0, "ticks": ticks})
    live.process_reports.exchange()
    found = figures(ask(live)[2])
    assert found[("statecast_ticks_total", "1-aaaaaaaa")] == 3
    assert found[("statecast_ticks_total", "1-bbbbbbbb")] == 4
    assert ("statecast_ticks_total", str(os.getpid())) in found


def test_the_sizes_are_those_of_the_files(live: Runtime) -> None:
    busy(live)
    found = figures(ask(live)[2])
    for name in ("store_bytes", "store_log_bytes", "disk_free_bytes", "history_bytes"):
        assert found[(f"statecast_{name}",)] > 0


def test_an_empty_queue_has_no_lag(live: Runtime) -> None:
    source = {"status": "connected", "received_at": None, "lag": None, "waiting": None}
    live.store.announce("another", {"sources": {"far": source}, "viewers": 0})
    live.process_reports.exchange()
    found = figures(ask(live)[2])
    assert found[("statecast_source_up", "far")] == 1
    names = {name for name, *labels in found if labels == ["far"]}
    assert names == {"statecast_source_up"}


def test_no_device_is_a_label(live: Runtime) -> None:
    busy(live)
    assert "pillow" not in ask(live)[2]


def test_prometheus_finds_nothing_to_complain_about(live: Runtime, promtool: str) -> None:
    busy(live)
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=ask(live)[2], capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_newer_format_is_there_for_those_that_ask(live: Runtime) -> None:
    _, kind, text = ask(live, accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text") and text.endswith("# EOF\n")


READERS: dict[str, tuple[str, dict[str, str], dict[str, Any], int]] = {
    # client, headers, settings, status
    "this machine": ("127.0.0.1", {}, {}, 200),
    "this machine, IPv6": ("::1", {}, {}, 200),
    "this machine, IPv4 in IPv6": ("::ffff:127.0.0.1", {}, {}, 200),
    "a socket in the file system": ("local", {}, {}, 200),
    "another machine": ("10.0.0.9", {}, {}, 403),
    "another machine that is named": ("10.0.0.9", {}, {"metrics_from": "10.0.0.9"}, 200),
    "a network that is named": ("10.0.0.9", {}, {"metrics_from": "10.0.0.0/8,fd00::/8"}, 200),
    "another network": ("11.0.0.9", {}, {"metrics_from": "10.0.0.0/8"}, 403),
    "a proxy that is not named": ("127.0.0.1", {"x_forwarded_for": "8.8.8.8"}, {}, 403),
    "another machine, as operators": (
        "10.0.0.9",
        {},
        {"allow_public": True, "others_may": "operate"},
        200,
    ),
    "another machine that may do all else": (
        *("10.0.0.9", {}, {"allow_public": True, "others_may": "command,send,write"}, 403),
    ),
    "a tunnel beside us, with a proxy elsewhere": (
        *("127.0.0.1", {"x_forwarded_for": "8.8.8.8"}, {"trusted_proxy": "10.0.0.5"}, 403),
    ),
    "another kind of proxy": ("127.0.0.1", {"forwarded": "for=8.8.8.8"}, {}, 403),
    "one that says only its name": ("127.0.0.1", {"via": "1.1 proxy"}, {}, 403),
    "a client of a trusted proxy": (
        *("8.8.8.8", {"x_forwarded_for": "8.8.8.8"}),
        *({"trusted_proxy": "127.0.0.1"}, 403),
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_who_may_read(name: str) -> None:
    client, headers, settings, expected = READERS[name]
    runtime = Runtime(Settings(store="memory:", **settings))
    status, _, text = ask(runtime, client, **headers)
    assert status == expected
    assert ("statecast_viewers" in text) == (expected == 200)
    if expected == 403:
        assert re.search(r"metrics_from|trusted_proxy", text), "the setting is named"
    runtime.stop()


@pytest.mark.parametrize(
    ("grants", "expected"),
    [({"*": "operate"}, 200), ({"*": "read write"}, 403), (None, 401)],
)
def test_a_key_of_an_operator_may_read_from_everywhere(
    live: Runtime, grants: dict[str, str] | None, expected: int
) -> None:
    # given a key with grants; None: it was revoked
    token = live.rights.keys.create(
        "prometheus", Grants.of(grants or {"*": "operate"}), by="machine"
    )
    if grants is None:
        live.rights.keys.revoke("prometheus", by="machine")
    # when another machine, and this one, ask with it
    for client in ("10.0.0.9", "127.0.0.1"):
        status, _, text = ask(live, client, authorization=f"Bearer {token}")
        # then who names himself is that one
        assert status == expected
        assert ("statecast_viewers" in text) == (expected == 200)


@pytest.mark.parametrize("value", ["10.0.0.0/33", "example.org", "10.0.0"])
def test_what_is_no_network_is_a_bad_setting(value: str) -> None:
    with pytest.raises(BadSetting, match="metrics_from must hold addresses or networks"):
        Settings(metrics_from=value)  # type: ignore[arg-type]


def test_it_is_only_read(live: Runtime) -> None:
    assert ask(live, method="POST")[0] == 405
    assert ask(live, method="HEAD")[0] == 200


def test_without_the_package_one_sentence_says_what_to_install(
    live: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    status, kind, text = ask(live)
    assert (status, kind) == (501, "application/problem+json")
    assert "Metrics need the package prometheus-client: pip install" in text


def test_a_server_answers_on_its_loop_and_counts_what_it_sends(tmp_path: Path) -> None:
    from serving import fetch, get

    runtime = Runtime(Settings(store=f"sqlite:///{tmp_path / 's.db'}", port=0))
    server = BackgroundServer(runtime, lambda environ, start: [])  # type: ignore[arg-type]
    server.start()
    try:
        answer = fetch(server, get(b"/metrics"))
        assert answer.status == 200
        found = figures(answer.body.decode())
        assert found[("statecast_processes",)] == 1
        assert {name for name, *_ in found} >= {"statecast_ticks_total", "statecast_source_up"}
    finally:
        server.stop()


def test_two_runtimes_of_one_process_do_not_mix() -> None:
    one, other = Runtime(Settings(store="memory:")), Runtime(Settings(store="memory:"))
    one.viewers.count = lambda: 3
    assert figures(ask(one)[2])[("statecast_viewers",)] == 3
    assert figures(ask(other)[2])[("statecast_viewers",)] == 0
    one.stop()
    other.stop()


def names_of(text: str) -> set[str]:
    return set(re.findall(r"statecast_[a-z_]+", text))


def test_the_dashboard_names_each_metric_and_no_other(live: Runtime) -> None:
    busy(live)
    there = {name for name, *_ in figures(ask(live)[2])}
    expressions = [
        target["expr"]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
    ]
    assert names_of(" ".join(expressions)) == there


def test_the_how_to_names_each_metric_and_no_other(live: Runtime) -> None:
    busy(live)
    there = {name for name, *_ in figures(ask(live)[2])}
    assert names_of(HOW_TO.read_text()) == there
