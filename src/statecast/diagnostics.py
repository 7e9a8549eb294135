"""Checks settings, store, sources and the clocks of devices, and reports sentences.

Nothing is changed and no message is received. A running server contributes what it has observed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any, NamedTuple

from statecast import names
from statecast.access import policy
from statecast.access.roles import OPERATOR
from statecast.errors import BadSetting, NotFound, StatecastError
from statecast.model import Update
from statecast.outbox import Outbox
from statecast.problems import Problem, from_report, merged
from statecast.program import certificate
from statecast.program.commands import command, complete, needs_a_backup
from statecast.settings import Settings
from statecast.sources.contract import Diagnosable, DiagnosableSender, Verdict
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.contract import ExaminedStore, Store
from statecast.stores.leases import command_lease
from statecast.stores.totals import Totals
from statecast.timestamps import duration, now

LOW_SPACE = 64 * 2**20
"""Bytes that a disk should have left."""
WRONG_CLOCK_MS = 30_000
"""Less may be the network, or a queue that writes whole seconds."""
MAX_CLOCKS = 20
"""Devices with wrong clocks that are named."""
STALE_AFTER = 60_000
"""Milliseconds. A message that waits longer means that no process receives."""


MAX_FAULTS = 20
"""Damaged rows that are listed; `statecast store check` lists all."""


class DiagnosticLine(NamedTuple):
    """A finding and its subject: ``settings``, ``store``, ``source pillow``, ``device pillow``."""

    about: str
    verdict: Verdict
    sentence: str


def diagnose(
    load: Callable[[], Settings], open_store: Callable[[Settings], AbstractContextManager[Store]]
) -> Iterator[DiagnosticLine]:
    """Check everything. ``open_store`` opens an existing store."""
    try:
        settings = load()
    except BadSetting as error:
        yield DiagnosticLine("settings", "wrong", str(error))
        return
    watched = " and ".join(map(without_options, settings.source))
    yield DiagnosticLine(
        "settings", "good", f"The settings can be read; {watched} would be watched."
    )
    told = []
    for line in check_certificate(settings, time.time()):
        told.append(line.sentence)
        yield line
    try:
        with open_store(settings) as store:
            yield from check_rights(settings, store)
            for line in chain(
                check_store(settings, store),
                check_sources(settings, store),
                check_command_queues(settings, store),
            ):
                told.append(line.sentence)
                yield line
            yield from check_problems(settings, store, told)
    except NotFound as error:
        yield DiagnosticLine("store", "notice", str(error))
        yield from check_sources(settings, None)
        yield from check_command_queues(settings, None)
    except StatecastError as error:
        yield DiagnosticLine("store", "wrong", str(error))
        yield from check_sources(settings, None)
        yield from check_command_queues(settings, None)


def check_rights(settings: Settings, store: Store) -> Iterator[DiagnosticLine]:
    """Who may do what, in short."""
    local = "everything" if settings.trust_local else "what others may (trust_local is no)"
    yield DiagnosticLine(
        "rights",
        "good",
        f"This machine may do {local}. Others, without a name, {_public(settings)}.",
    )
    users = {one.id: one.body or {} for one in store.access_records("user")}
    by_role = Counter(str(body.get("role", "")) for body in users.values())
    roles = ", ".join(f"{number} {role or 'without a role'}" for role, number in by_role.items())
    known = [
        counted(len(users), "user") + (f" ({roles})" if roles else ""),
        counted(len(store.access_records("key")), "key"),
        counted(len(store.access_records("share")), "share link"),
        f"{counted(len(settings.rights), 'entry', 'entries')} in the table of rights",
    ]
    yield DiagnosticLine("rights", "good", f"It knows {', '.join(known)}.")
    if users and not by_role[OPERATOR]:
        promote = command(settings, "user", "role", next(iter(users)), OPERATOR)
        yield DiagnosticLine("rights", "notice", f"No user is an operator; `{promote}` makes one.")


def _public(settings: Settings) -> str:
    """What others without a name may do, as the end of a sentence."""
    if settings.allow_public:
        return policy.deeds_of(settings.others_may)
    if settings.public_read:
        return f"may see {', '.join(settings.public_read)}"
    return "may do nothing"


def run(settings: Settings) -> str:
    """The command that serves with these settings."""
    return command(settings, "run", flags=("store", "source"))


def without_options(url: str) -> str:
    """A source's URL without its options."""
    return url.partition("?")[0]


def check_certificate(settings: Settings, seconds: float) -> Iterator[DiagnosticLine]:
    """The certificate for TLS, if there is one, at ``seconds`` since 1970."""
    try:
        files = certificate.files(settings)
        if files is None:
            return
        loaded = certificate.load(files)
    except BadSetting as error:
        yield DiagnosticLine("certificate", "wrong", str(error))
        return
    left = loaded.days_left(seconds)
    if left is None or left < 0:
        yield DiagnosticLine("certificate", "wrong", loaded.warning(seconds))
        return
    warning = loaded.warning(seconds)
    sentence = f"{loaded.lasts(seconds)} {warning}".rstrip()
    yield DiagnosticLine("certificate", "notice" if warning else "good", sentence)


def check_store(settings: Settings, store: Store) -> Iterator[DiagnosticLine]:
    present = store.devices()
    devices = len(present)
    yield DiagnosticLine(
        "store",
        "good",
        f"The store {names.without_password(settings.store)} can be read; "
        f"it knows {counted(devices, 'device')}.",
    )
    for verdict, sentence in store.examine() if isinstance(store, ExaminedStore) else ():
        yield DiagnosticLine("store", verdict, sentence)
    if quarantined := store.quarantine_count():
        yield DiagnosticLine(
            "store",
            "notice",
            f"{counted(quarantined, 'message')} could not be read or applied; "
            f"`{command(settings, 'quarantine', 'list')}` says why.",
        )
    yield from check_totals(store.totals())
    processes = store.reports()
    if processes:
        yield DiagnosticLine(
            "store",
            "good",
            f"{counted(len(processes), 'process serves', 'processes serve')} from it.",
        )
    else:
        yield DiagnosticLine(
            "store", "notice", f"No process serves from it just now; `{run(settings)}` would."
        )
    yield from check_dropped_events(processes)
    yield from check_names(settings, present)
    yield from check_clocks(present)
    yield from check_stored(settings, store)
    yield from check_writing(store)


def check_dropped_events(processes: Mapping[str, Mapping[str, Any]]) -> Iterator[DiagnosticLine]:
    """Application events that viewers, handlers or other processes did not get."""
    dropped = sum(report.get("dropped_events", 0) for report in processes.values())
    if dropped:
        yield DiagnosticLine(
            "store",
            "notice",
            f"{counted(dropped, 'application event was', 'application events were')} dropped since "
            "these processes began; their logs name the namespaces and the reasons.",
        )


def check_problems(
    settings: Settings, store: Store, told: Iterable[str]
) -> Iterator[DiagnosticLine]:
    """What serving processes reported, and what reading the store has just shown.

    A problem whose sentence was ``told`` already is left out.
    """
    observed = map(from_report, store.reports().values())
    for problem in merged([store.problems.current(), *observed]):
        if not any(problem.sentence in sentence for sentence in told):
            yield problem_line(problem, settings)


def check_stored(settings: Settings, store: Store) -> Iterator[DiagnosticLine]:
    """Every row with its checksum, every index, and what tables must agree on."""
    found = store.check()
    for sentence in found[:MAX_FAULTS]:
        yield DiagnosticLine("store", "wrong", complete(sentence, settings))
    if found and not needs_a_backup(found):
        more = f"{len(found) - MAX_FAULTS} more. " if len(found) > MAX_FAULTS else ""
        mend = command(settings, "store", "check", "--repair")
        yield DiagnosticLine("store", "wrong", f"{more}`{mend}` mends what can be mended.")


def check_writing(store: Store) -> Iterator[DiagnosticLine]:
    """Write and remove something small: reading succeeds on a full disk too."""
    try:
        store.probe()
    except StatecastError as error:
        yield DiagnosticLine("store", "wrong", f"It cannot be written: {error}")
    free = store.sizes().free_bytes
    if free is not None and free < LOW_SPACE:
        yield DiagnosticLine(
            "store", "notice", f"Its disk has only {free // 2**20} MiB left; free some space."
        )


def problem_line(problem: Problem, settings: Settings) -> DiagnosticLine:
    """A problem that a serving process reported, or that reading the store has just shown."""
    lasted = now() - problem.since
    lasting = f"For {duration(lasted, 'days')}: " if lasted >= 1_000 else ""
    sentence = complete(problem.explanation(), settings)
    return DiagnosticLine(problem.subject, problem.severity, lasting + sentence)


def check_totals(totals: Mapping[str, Totals]) -> Iterator[DiagnosticLine]:
    """What came through each source; a notice if something of it had no effect."""
    for source, found in totals.items():
        without_effect = [
            f"{number:,} {what}"
            for number, what in (
                (found.duplicates, "repeated"),
                (found.dropped, "too late to count"),
                (found.quarantined, "put into quarantine"),
                (found.evicted, "deleted from a full quarantine"),
                (found.refused, "refused, and its sender has the reason"),
                (found.left_out, "applied without a part that could not be read"),
            )
            if number
        ]
        sentence = (
            f"{counted(found.messages, 'message')} of it made {counted(found.versions, 'version')} "
            "so far"
        )
        yield DiagnosticLine(
            f"source {source}",
            "notice" if found.dropped or found.evicted or found.left_out else "good",
            "; ".join([sentence, *without_effect]) + ".",
        )


def check_names(settings: Settings, devices: Iterable[Update]) -> Iterator[DiagnosticLine]:
    """The devices whose names are reserved: they are from before that."""
    found = [one.device for one in devices if names.is_reserved(one.device)]
    for device in found[:MAX_CLOCKS]:
        other, _, ending = device.rpartition("/")
        remove = command(settings, "send", device, "--delete", flags=("store", "source"))
        yield DiagnosticLine(
            f"device {device}",
            "notice",
            f"Its name is the address of the {ending} of {names.quoted(other)}, so REST does not "
            f"show it beside such a device; let it send under another name, then `{remove}`.",
        )
    if len(found) > MAX_CLOCKS:
        more = counted(len(found) - MAX_CLOCKS, "more device has", "more devices have")
        yield DiagnosticLine("store", "notice", f"{more} a reserved name.")


def check_clocks(devices: Iterable[Update]) -> Iterator[DiagnosticLine]:
    """The devices whose clocks are wrong, as their last messages show it."""
    wrong = [one for one in devices if abs(one.clock_behind or 0) >= WRONG_CLOCK_MS]
    for device in wrong[:MAX_CLOCKS]:
        behind = device.clock_behind or 0
        if behind < 0:
            sentence = (
                f"Its clock is {duration(-behind, 'days')} ahead; "
                "its times are cut to those of its queue."
            )
        else:
            sentence = (
                f"Its clock is {duration(behind, 'days')} behind, "
                "or its messages take that long to come."
            )
        yield DiagnosticLine(f"device {device.device}", "notice", sentence)
    if len(wrong) > MAX_CLOCKS:
        more = counted(len(wrong) - MAX_CLOCKS, "more device has", "more devices have")
        yield DiagnosticLine("store", "notice", f"{more} a clock that is wrong.")


def check_sources(settings: Settings, store: Store | None) -> Iterator[DiagnosticLine]:
    seen: set[str] = set()
    for url in settings.source:
        about = f"source {without_options(url)}"
        if store is None and url.startswith("embedded:"):
            continue  # it is inside the store
        try:
            source, _ = Outbox(settings, lambda: require(store), now).open(url)
        except StatecastError as error:
            yield DiagnosticLine(about, "wrong", str(error))
            continue
        if source.name in seen:
            yield DiagnosticLine(
                about,
                "wrong",
                f"There are two sources called {source.name!r}; give one of them another name.",
            )
        seen.add(source.name)
        if isinstance(source, Diagnosable):
            for finding in source.examine():
                yield DiagnosticLine(about, *finding)
        if isinstance(source, EmbeddedQueue):
            yield from check_embedded(settings, about, source, is_received(source.name, store))
        for report in store.reports().values() if store is not None else ():
            if source.name in report.get("sources", {}):
                yield check_health(about, report["sources"][source.name])
        if store is not None:
            yield from check_holder(about, source.name, store)
        source.close()
    if store is not None:
        yield from check_other_sources(store, seen)


def check_command_queues(settings: Settings, store: Store | None) -> Iterator[DiagnosticLine]:
    """The queues into which commands are put."""
    outbox = Outbox(settings, lambda: require(store), now)
    try:
        urls = outbox.command_routes.queues
    except StatecastError as error:  # of a source, which has its line, or of the queues together
        if not isinstance(error, NotFound):
            yield DiagnosticLine("command queues", "wrong", str(error))
        return
    for url in urls:
        about = f"command queue {without_options(url)}"
        if store is None and url.startswith("embedded:"):
            continue
        try:
            queue = outbox.open_command_queue(url)
        except StatecastError as error:
            yield DiagnosticLine(about, "wrong", str(error))
            continue
        if isinstance(queue, DiagnosableSender):
            for finding in queue.examine_sending():
                yield DiagnosticLine(about, *finding)
        if isinstance(queue, EmbeddedQueue):
            waiting = counted(queue.waiting(), "command waits", "commands wait")
            yield DiagnosticLine(about, "good", f"{waiting} in it for devices.")
        holder = None if store is None else store.holder(command_lease(without_options(url)))
        if holder is not None and holder.has_stalled():
            yield DiagnosticLine(about, "wrong", holder.stalled_sentence())
        queue.close()


def check_other_sources(store: Store, seen: set[str]) -> Iterator[DiagnosticLine]:
    """Those of the running server that these settings do not name: its settings may be others."""
    for report in store.reports().values():
        for name, health in report.get("sources", {}).items():
            if name not in seen:
                yield check_health(f"source {name}", health)


def require(store: Store | None) -> Store:
    if store is None:
        raise NotFound("It needs the store, which is not there.")
    return store


def is_received(source: str, store: Store | None) -> bool:
    """Whether a process receives from a source, or holds it: starting another would not help."""
    if store is None:
        return False
    reports = store.reports().values()
    return store.holder(source) is not None or any(
        source in report.get("sources", {}) for report in reports
    )


def check_embedded(
    settings: Settings, about: str, queue: EmbeddedQueue, received: bool
) -> Iterator[DiagnosticLine]:
    """``received``: a process receives from it, and a line of its own says how it does."""
    waiting, oldest = queue.waiting(), queue.oldest()
    yield DiagnosticLine(
        about, "good", f"{counted(waiting, 'message waits', 'messages wait')} in it."
    )
    if oldest is None or now() - oldest <= STALE_AFTER:
        return
    sentence = f"The oldest has waited for {duration(now() - oldest, 'days')}"
    if not received:
        sentence += f": no process receives them; start `{run(settings)}`"
    yield DiagnosticLine(about, "wrong", f"{sentence}.")


def check_holder(about: str, source: str, store: Store) -> Iterator[DiagnosticLine]:
    """A process that was stopped keeps its lease, and no other process may receive."""
    holder = store.holder(source)
    if holder is None:
        return
    if holder.has_stalled():
        yield DiagnosticLine(about, "wrong", holder.stalled_sentence())
    elif not any(source in report.get("sources", {}) for report in store.reports().values()):
        yield DiagnosticLine(
            about,
            "notice",
            f"Process {holder.pid} holds it and has not reported for 10 s; "
            f"it noted progress {holder.idle_seconds:.0f} s ago.",
        )


def check_health(about: str, health: Mapping[str, Any]) -> DiagnosticLine:
    """What the process with the lease reports about a source."""
    away = {
        "away": "The running server cannot reach it since",
        "blocked": "The running server leaves its messages there since",
    }
    if health["status"] in away:
        said = away[health["status"]]
        sentence = f"{said} {health['since']}: {health['sentence']}"
        return DiagnosticLine(about, "wrong", sentence)
    costs = health.get("requests_per_hour")
    more = f", at a pace of {costs} requests per hour" if costs is not None else ""
    return DiagnosticLine(
        about,
        "good",
        f"The running server receives from it, last at {health['received_at']}{more}.",
    )


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
