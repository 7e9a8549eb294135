"""``/metrics``: the figures of all serving processes of a store, for Prometheus.

Rule 1: a scrape reads memory only, so it is answered on the loop. What comes from the store or from
another process is as old as the last exchange of reports, at most some seconds.
Rule 2: no name of a device is a label. There may be a hundred thousand.
Rule 3: a figure that a process counts for itself has the label ``process``. A sum over processes
would fall when one of them ends, and Prometheus would take that for a restart of all.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from statecast import timestamps
from statecast.access.actions import Action
from statecast.http import locality
from statecast.http.addresses import parse
from statecast.http.asgi import Receive, Scope, Send, client_address, respond
from statecast.http.errors import HTTPProblem
from statecast.program.distribution import VERSION, install_hint
from statecast.realtime.readers import Readers
from statecast.server.request_identity import identity_of

if TYPE_CHECKING:
    from prometheus_client.core import CollectorRegistry, Metric

    from statecast.runtime import Runtime

TOTALS = {
    "messages": "Messages and edits that were committed.",
    "versions": "Versions that they made.",
    "duplicates": "Repetitions of messages or events; they changed nothing.",
    "dropped": "Changes that came too late.",
    "quarantined": "Messages, or items of one, that went into quarantine.",
    "evicted": "Messages that left the quarantine because it was full.",
    "refused": "Messages and edits that were refused before a commit.",
    "left_out": "Changes that were applied without a part that could not be read.",
}
"""The counters of a store, per source."""
SOURCES = {
    "lag_seconds": "Age of the newest message when it was applied; absent for an empty queue.",
    "receive_age_seconds": "How long ago the queue last answered.",
    "waiting_messages": "Messages in the queue, if it says.",
    "requests_per_hour": "Requests to a queue that has a price per request.",
}
SIZES = {
    "store_bytes": ("file_bytes", "Size of the database file."),
    "store_log_bytes": ("log_bytes", "Size of the log beside the database file."),
    "disk_free_bytes": ("free_bytes", "Space that is left on the disk of the store."),
    "history_rows": ("history_rows", "Versions in the history."),
    "history_bytes": ("history_bytes", "Size of the history."),
}
PER_PROCESS = {
    "dropped_events": "Application events that a viewer or another process did not get.",
    "sent_bytes": "Bytes of events to viewers, before framing.",
    "ticks": "Reads of changes that were sent to viewers.",
    "requested_resets": "Viewers that had lost what they had; each one is a defect.",
}
"""What each process counts since its start."""


class MetricsEndpoint:
    """Answers ``/metrics`` to those that may read it.

    The package of the metrics is imported by the first one: 0.6 MB that most servers do not need.
    """

    def __init__(self, runtime: Runtime, readers: Readers) -> None:
        self._readers = readers
        self._policy = runtime.rights.policy
        self._settings = runtime.settings
        self._networks = [ipaddress.ip_network(one) for one in runtime.settings.metrics_from]
        self._runtime = runtime
        self._registry: CollectorRegistry | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPProblem(405, "This is only read: GET or HEAD.", [(b"allow", b"GET, HEAD")])
        await self._check_reader(scope)
        if self._registry is None:  # in a thread: its package takes a while to import
            self._registry = await asyncio.to_thread(registry, self._runtime)
        if self._registry is None:
            raise HTTPProblem(
                501, f"Metrics need the package prometheus-client: {install_hint('metrics')}."
            )
        from prometheus_client.exposition import choose_encoder

        accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
        encode, kind = choose_encoder(accept.decode("latin-1"))
        await respond(send, 200, encode(self._registry), kind)

    async def _check_reader(self, scope: Scope) -> None:
        """Raises HTTPProblem for a client that may not read the figures.

        An operator may, by whatever names it; and the addresses of ``metrics_from``.
        """
        if self._policy.allow(await identity_of(self._readers, scope), Action.OPERATE):
            return
        address = client_address(scope)
        if locality.is_passed_on(scope["headers"]) and not self._settings.trusted_proxy:
            raise HTTPProblem(
                403,
                "A proxy passes this request on, so it is not known who asks; name the proxy in "
                "the setting trusted_proxy, or ask the server itself.",
                setting="trusted_proxy",
            )
        if not self._is_named(address):
            raise HTTPProblem(
                403,
                f"Metrics are not for {address}; name it in the setting metrics_from.",
                setting="metrics_from",
            )

    def _is_named(self, address: str) -> bool:
        parsed = parse(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def registry(runtime: Runtime) -> CollectorRegistry | None:
    """A registry of this runtime's own; None without the package."""
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        return None
    made = CollectorRegistry(auto_describe=False)
    made.register(RuntimeCollector(runtime))
    return made


class RuntimeCollector:
    """The figures of a runtime as families of metrics, as ``prometheus_client`` asks for them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import InfoMetricFamily

        yield InfoMetricFamily("statecast_build", "The running version.", {"version": VERSION})
        report = self._runtime.report()
        yield from self._totals()
        yield from self._commands()
        yield from self._sources(report["sources"])
        yield from self._processes()
        yield from self._store()
        yield from self._problems()

    def _totals(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily

        totals = self._runtime.process_reports.totals
        for name, text in TOTALS.items():
            family = CounterMetricFamily(f"statecast_{name}", text, labels=["source"])
            for source, counted in totals.items():
                family.add_metric([source], getattr(counted, name))
            yield family
        yield gauge(
            "quarantine_messages",
            "Messages that wait in quarantine.",
            self._runtime.process_reports.quarantined,
        )

    def _commands(self) -> Iterator[Metric]:
        found = self._runtime.process_reports.open_commands
        yield gauge("open_commands", "Commands that are not at an end.", found.number)
        since = min((one.since for one in found.devices), default=None)
        age = 0.0 if since is None else max(0, self._runtime.clock() - since) / 1000
        yield gauge(
            "oldest_command_seconds", "Age of the oldest command that is not at an end.", age
        )

    def _sources(self, sources: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
        now = self._runtime.clock()
        yield gauges(
            "source_up",
            "1 if the queue answers and the store takes its messages.",
            "source",
            {name: int(health["status"] == "connected") for name, health in sources.items()},
        )
        for figure, text in SOURCES.items():
            values = {
                name: value
                for name, health in sources.items()
                if (value := _figure(figure, health, now)) is not None
            }
            yield gauges(f"source_{figure}", text, "source", values)

    def _processes(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily

        exchanged = self._runtime.process_reports
        named = {exchanged.process: self._runtime.own_report(), **exchanged.others}
        reports, by_pid = list(named.values()), by_process(named)
        yield gauge("processes", "Serving processes of the store.", len(reports))
        yield gauge("viewers", "Connected viewers.", _sum("viewers", reports))
        yield gauge(
            "viewers_behind", "Viewers that do not have everything yet.", _sum("lagging", reports)
        )
        for name, text in PER_PROCESS.items():
            family = CounterMetricFamily(f"statecast_{name}", text, labels=["process"])
            for pid, one in by_pid.items():
                family.add_metric([pid], one.get(name, 0))
            yield family
        yield gauges(
            "loop_delay_seconds",
            "The longest delay of the event loop in the last 15 s.",
            "process",
            {pid: one.get("loop_delay", 0.0) for pid, one in by_pid.items()},
        )

    def _store(self) -> Iterator[Metric]:
        sizes = self._runtime.process_reports.sizes
        for name, (field, text) in SIZES.items():
            value = getattr(sizes, field)
            if value is not None:
                yield gauge(name, text, value)

    def _problems(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        found = Counter((one.kind, one.severity) for one in self._runtime.all_problems())
        family = GaugeMetricFamily(
            "statecast_problems", "What is wrong now.", labels=["kind", "severity"]
        )
        for labels, number in sorted(found.items()):
            family.add_metric(labels, number)
        yield family


def by_process(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The reports by their process ids, for the label; ``reports`` are by the ids in the store.

    In two containers that share a volume, both processes may be number 1.
    """
    pids = Counter(str(one.get("pid", "?")) for one in reports.values())
    return {
        pid if pids[pid := str(one.get("pid", "?"))] == 1 else f"{pid}-{process[:8]}": one
        for process, one in reports.items()
    }


def gauge(name: str, text: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"statecast_{name}", text, value=value)


def gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"statecast_{name}", text, labels=[label])
    for one, value in values.items():
        family.add_metric([one], value)
    return family


def _sum(name: str, reports: Iterable[Mapping[str, Any]]) -> int:
    return sum(one.get(name, 0) for one in reports)


def _figure(figure: str, health: Mapping[str, Any], now: int) -> float | None:
    if figure == "receive_age_seconds":
        received_at = health.get("received_at")
        return None if received_at is None else (now - timestamps.parse_time(received_at)) / 1000
    names = {"lag_seconds": "lag", "waiting_messages": "waiting"}
    value: float | None = health.get(names.get(figure, figure))
    return value
