"""What is wrong now: said once in the log, and shown wherever the health of the service is shown.

A part that finds something wrong reports it here. From here it reaches the log, the ``health``
event, ``/readyz``, the operator's page and, through the announced report of the process,
``statecast doctor`` and the other processes.

Rule 1: a sentence is fit for every viewer: no path, no account, no address. ``detail`` has those.
Rule 2: a problem lasts until ``clear``. What cannot be cleared is only an event for the log.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from statecast import timestamps
from statecast.errors import STORE_ERRORS, STORE_FAILURES, StatecastError, StoreUnavailable
from statecast.logs import LineLimit
from statecast.model import value_class

Severity = Literal["wrong", "notice"]

STORE = "store"
"""The subject of problems of the store as a whole. Severity ``wrong`` means: not ready."""
MAX_PER_KIND = 100
"""Problems of one kind that are kept. Policy when full: a further one reaches the log only."""
MAX_SHOWN = 20
"""Problems in a ``health`` event, and in the report of a process to the others."""

log = logging.getLogger(__name__)


@value_class
class Problem:
    """Something that is wrong from ``since`` until it is cleared."""

    kind: str
    """A word, like ``disk-full`` or ``damaged-row``."""
    subject: str
    """What it concerns, like ``store``, ``source queue`` or ``device pillow``."""
    sentence: str
    """What happened and what to do, fit for every viewer."""
    severity: Severity
    """``wrong``: something does not work. ``notice``: it works, and should be looked at."""
    since: int
    """When it was first reported, in ms."""
    count: int = 1
    """How often it was reported since."""
    detail: str = ""
    """What only the operator may see, in the log and in ``statecast doctor``."""

    def public(self) -> dict[str, Any]:
        """The problem as in the ``health`` event."""
        return {
            "kind": self.kind,
            "subject": self.subject,
            "sentence": self.sentence,
            "severity": self.severity,
            "since": timestamps.iso(self.since),
        }

    def explanation(self) -> str:
        """The sentence with the detail, for the operator."""
        return f"{self.sentence} ({self.detail})" if self.detail else self.sentence


class Problems:
    """The problems of one process. Every method may be called from any thread."""

    def __init__(
        self,
        clock: Callable[[], int] = timestamps.now,
        complete: Callable[[str], str] = str,
    ) -> None:
        """``clock`` gives the time in ms. ``complete`` puts what a shell needs into the commands
        of a line of the log; see ``program.commands``.
        """
        self._clock = clock
        self._complete = complete
        self._problems: dict[tuple[str, str], Problem] = {}
        self._lines = LineLimit()
        self._lock = threading.Lock()
        """For all of the above."""

    def report(
        self,
        kind: str,
        subject: str,
        sentence: str,
        *,
        severity: Severity = "wrong",
        detail: str = "",
    ) -> None:
        """Note that something is wrong, or still wrong.

        The log has a line when the problem begins and when its sentence changes, and a limited
        number of lines for each kind.
        """
        key = (kind, subject)
        with self._lock:
            known = self._problems.get(key)
            problem = Problem(kind, subject, sentence, severity, self._clock(), 1, detail)
            if known is not None:
                problem = dataclasses.replace(problem, since=known.since, count=known.count + 1)
            if known is not None or self._count(kind) < MAX_PER_KIND:
                self._problems[key] = problem
        if known is None or known.sentence != sentence:
            level = logging.ERROR if severity == "wrong" else logging.WARNING
            self._log(level, kind, f"{subject}: {self._complete(problem.explanation())}")

    def clear(self, kind: str, subject: str) -> None:
        """Note that a problem is over; does nothing if there is none."""
        if not self._problems:  # called after each success, so the usual case takes no lock
            return
        with self._lock:
            known = self._problems.pop((kind, subject), None)
        if known is not None:
            seconds = max(0, self._clock() - known.since) // 1000
            self._log(logging.WARNING, kind, f"{subject}: over after {seconds} s: {known.sentence}")

    def store_failed(self, error: StatecastError) -> None:
        """Report an error of the store, which lasts until ``store_works``."""
        kind = error.kind if isinstance(error, STORE_ERRORS) else StoreUnavailable.kind
        self.report(kind, STORE, error.public, detail=error.detail)

    def store_works(self) -> None:
        """Clear what ``store_failed`` has reported: a write has succeeded."""
        for kind in STORE_FAILURES:
            self.clear(kind, STORE)

    def current(self) -> list[Problem]:
        """What is wrong now: the wrong before the notices, the oldest first."""
        with self._lock:
            return in_order(self._problems.values())

    def _count(self, kind: str) -> int:
        return sum(one.kind == kind for one in self._problems.values())

    def _log(self, level: int, kind: str, line: str) -> None:
        with self._lock:
            omitted = self._lines.take(kind)
        if omitted is not None:
            log.log(level, "%s%s", line, LineLimit.remark(omitted))


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda one: (one.severity != "wrong", one.since, one.subject))


def for_report(problems: Problems) -> list[dict[str, Any]]:
    """The problems as in the report that a process announces to the others."""
    return [dataclasses.asdict(one) for one in problems.current()[:MAX_SHOWN]]


def from_report(report: Mapping[str, Any]) -> list[Problem]:
    """The problems in the report of a process."""
    return [Problem(**one) for one in report.get("problems", ())]


def merged(groups: Iterable[Iterable[Problem]]) -> list[Problem]:
    """The problems of several processes. The same problem of two of them is one, the older."""
    found: dict[tuple[str, str], Problem] = {}
    for problem in in_order(one for group in groups for one in group):
        found.setdefault((problem.kind, problem.subject), problem)
    return list(found.values())
