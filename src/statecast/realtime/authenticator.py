"""Finds out who a viewer is, before it is answered.

Who brings nothing is known at once. All else asks the store, the identity provider or the
application, which may block: that runs on threads of its own, with a time limit. What gives no
answer in time allows nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from statecast import logs
from statecast.access.credentials import Credentials
from statecast.access.identity import Identity, RecordKey
from statecast.access.policy import AccessPolicy
from statecast.access.records import Records
from statecast.errors import NotAuthenticated, StatecastError, TooManyGuesses
from statecast.http.head import RequestHead
from statecast.threads import ThreadPool

LIMIT = 8.0
"""Seconds in which it must be known who a viewer is: a little less than ``connect_timeout``, so
that the viewer gets the reason."""
BACKLOG = 1_000
"""Viewers that may wait for a thread. The newest is refused."""
ASK_AGAIN = 60.0
"""Seconds for which an answer of the application holds."""
MAX_ANSWERS = 10_000
"""Answers that are remembered; beyond it the oldest is forgotten."""
NO_ANSWER = "The server could not find out in time who you are; come back."
BUSY = "The server is too busy to find out who you are; come back."

log = logging.getLogger(__name__)


class NotAdmitted(NamedTuple):
    """Why a viewer is not let in: a sentence for it, and the status for HTTP."""

    status: int
    sentence: str
    retry_after: int | None = None
    """In seconds."""


class Visit(NamedTuple):
    """What is known of a viewer, to find out again who it is."""

    given: Credentials
    head: RequestHead | None = None
    """The request with which it began, if the application may be asked about it."""


class Found(NamedTuple):
    """Who a viewer is."""

    identity: Identity
    seen: dict[RecordKey, int] = {}
    """The newest change of each record on which it rests, no older than what was judged."""
    asked_at: float | None = None
    """When the application was asked (monotonic); None: it was not."""


Outcome = Found | NotAdmitted
AskApplication = Callable[[RequestHead, str], Any]
"""Asks the application what the request with this head and address may do. May block."""


class Authenticator:
    """For the viewers of one process. ``identify`` is for the loop."""

    def __init__(
        self,
        policy: AccessPolicy,
        records: Callable[[], Records],
        *,
        threads: int,
        ask: Callable[[], AskApplication | None] = lambda: None,
        inline: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``ask`` gives the application's function, if it has one. ``inline``: for tests, without
        threads."""
        self._policy = policy
        self._records = records
        self._ask = ask
        self._inline = inline
        self._clock = clock
        self._pool = ThreadPool(threads, name="identify", backlog=BACKLOG)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answers: OrderedDict[tuple[Any, ...], tuple[float, Any]] = OrderedDict()
        """Of the application, by what it can know a user by; with the times of the questions."""
        self._forgotten = 0
        """How often the answers were forgotten."""
        self._lock = threading.Lock()
        """For the answers."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def close(self) -> None:
        self._pool.close()

    def forget_answers(self) -> None:
        """Rights have changed that the application knows of. Any thread."""
        with self._lock:
            self._forgotten += 1
            self._answers.clear()

    @property
    def asks_application(self) -> bool:
        return self._ask() is not None

    def identify(self, visit: Visit, done: Callable[[Outcome], None]) -> None:
        """Call ``done`` with who a viewer is, on the loop: at once, or later."""
        if self._is_known_at_once(visit):
            done(Found(self._policy.identify(visit.given)))
            return
        if self._inline:
            done(self._find(visit))
            return
        assert self._loop is not None
        loop, open_ = self._loop, True

        def finish(outcome: Outcome) -> None:
            nonlocal open_
            if open_:
                open_ = False
                timer.cancel()
                done(outcome)

        def run() -> None:
            outcome = self._find(visit)
            try:
                loop.call_soon_threadsafe(finish, outcome)
            except RuntimeError:  # the loop was closed, so the viewer is gone too
                return

        timer = loop.call_later(LIMIT, finish, NotAdmitted(503, NO_ANSWER, 1))
        if not self._pool.try_submit(run):
            finish(NotAdmitted(503, BUSY, 1))

    def _is_known_at_once(self, visit: Visit) -> bool:
        given = visit.given
        asks = visit.head is not None and self.asks_application
        return not (asks or given.bearer or given.session or given.problem)

    def _find(self, visit: Visit) -> Outcome:
        """Who it is. May block."""
        asked_at: list[float] = []

        def authorize() -> Any:
            at, answer = self._answer(visit)
            asked_at.append(at)
            return answer

        asks = visit.head is not None and self.asks_application
        try:
            identity = self._policy.identify(visit.given, authorize if asks else None)
            seen = {key: self._change_of(key) for key in identity.records}
        except TooManyGuesses as error:
            return NotAdmitted(429, error.public, error.retry_after)
        except NotAuthenticated as error:
            return NotAdmitted(401, error.public)
        except StatecastError as error:  # the store or the identity provider is away
            return NotAdmitted(503, error.public, 1)
        except Exception as error:
            number = logs.log_error(log, "it could not be found out who a viewer is", error)
            return NotAdmitted(503, f"The server could not find out who you are (error {number}).")
        return Found(identity, seen, asked_at[0] if asked_at else None)

    def _change_of(self, key: RecordKey) -> int:
        record = self._records().access_record(key[0], key[1])  # type: ignore[arg-type]
        return 0 if record is None else record.change

    def _answer(self, visit: Visit) -> tuple[float, Any]:
        """The application's answer, which it gave a moment ago perhaps, and when it was asked."""
        ask, head, now = self._ask(), visit.head, self._clock()
        assert ask is not None
        assert head is not None
        key = known_by(head, visit.given.address)
        with self._lock:
            at, answer = self._answers.get(key, (float("-inf"), None))
            forgotten = self._forgotten
        if now - at < ASK_AGAIN:
            return at, answer
        answer = ask(head, visit.given.address)
        with self._lock:
            if forgotten != self._forgotten:  # rights changed meanwhile, maybe after the answer
                return now, answer
            self._answers[key] = now, answer
            self._answers.move_to_end(key)
            if len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)
        return now, answer


def known_by(head: RequestHead, address: str) -> tuple[Any, ...]:
    """By what an application can know a user: all that the request says, but for what changes with
    each connection."""
    own = (b"sec-websocket-key", b"content-length")
    fields = tuple((name, *head.headers[name]) for name in sorted(head.headers) if name not in own)
    query = tuple(sorted((key, value) for key, value in head.query.items() if key != "t"))
    return head.path, query, fields, address, head.local, head.by_proxy
