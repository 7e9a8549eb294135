"""The connected readers whose rights can change, and what becomes of them when they do.

Rule 1: a reader is judged again before the states of the snapshot in which its rights changed.
Rule 2: it is judged from memory, and only if a record changed on which its identity rests, if its
time is over, or if the application is to be asked again: the others cost nothing.
Rule 3: who may do nothing any more is disconnected, with a sentence.
Rule 4: the application is asked about a few readers at a time, because thousands may be due at
once. Who waits for that longer than an answer holds may do nothing any more.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from statecast.access.actions import Action
from statecast.access.credentials import Credentials
from statecast.access.directory import AccessDirectory
from statecast.access.identity import ANONYMOUS, LOCAL, Identity, RecordKey
from statecast.access.policy import AccessPolicy
from statecast.access.reader import READS_EVERYTHING, READS_NOTHING, Reader
from statecast.access.records import AccessRecord
from statecast.broadcast.outgoing_message import Recipient
from statecast.http.head import RequestHead
from statecast.realtime.authenticator import (
    ASK_AGAIN,
    NO_ANSWER,
    Authenticator,
    Found,
    NotAdmitted,
    Outcome,
    Visit,
)

ENDED = "Your sign-in has ended, or your key or link is no longer valid; sign in again."
TAKEN_AWAY = "You may see nothing here any more; sign in as somebody who may, or ask an operator."


NO_VISIT = Visit(Credentials())
ASKED_AT_ONCE = 64
"""Readers about whom the application is asked again at the same time."""


class ConnectedReader(Recipient, Protocol):
    """A viewer, or the reader of an event stream."""

    reader: Reader

    def end(self, sentence: str) -> None:
        """It may do nothing any more: disconnect it with a sentence."""


class Admission(NamedTuple):
    """Somebody who is let in; see ``Readers.add``."""

    reader: Reader
    visit: Visit
    asked_at: float | None


Decision = Callable[[Admission | NotAdmitted], None]


class ReaderEntry:
    """What is kept of a reader whose rights can change."""

    __slots__ = ("ask_at", "identity", "question", "visit")

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.visit: Visit | None = None
        """If the application is to be asked again."""
        self.ask_at = 0.0
        """When (monotonic)."""
        self.question = 0
        """The number of the last one. The answer to one before may be out of date."""


class Readers:
    """Of one process, on its loop."""

    def __init__(
        self,
        policy: AccessPolicy,
        authenticator: Authenticator,
        directory: AccessDirectory,
        regrant: Callable[[Iterable[Recipient]], None],
        *,
        credentials_of: Callable[[RequestHead, str], Credentials],
        clock: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        """``regrant`` applies the new rights of readers. ``clock`` gives the time in ms."""
        self.authenticator = authenticator
        self._credentials_of = credentials_of
        self._policy = policy
        self._directory = directory
        self._regrant = regrant
        self._clock = clock
        self._monotonic = monotonic
        self._entries: dict[ConnectedReader, ReaderEntry] = {}
        self._by_record: dict[RecordKey, set[ConnectedReader]] = {}
        self._expiries: list[tuple[int, int, ConnectedReader]] = []
        """A heap: when, a number that no other has, who. Those of the past are skipped."""
        self._to_ask: deque[tuple[float, ConnectedReader]] = deque()
        """Whom the application is to be asked about, in the order of the times."""
        self._line: dict[ConnectedReader, float] = {}
        """Those of them who are due, since when (monotonic)."""
        self._asked = 0
        """About how many the application is being asked."""
        self._asking = False
        self._numbers = itertools.count()
        self._anonymous = Reader(ANONYMOUS, policy.grants(ANONYMOUS))
        self.on_rights_changed: Callable[[], None] = lambda: None
        """Called when the application says that what it allows has changed."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.authenticator.start(loop)

    def close(self) -> None:
        self.authenticator.close()

    @property
    def has_rules(self) -> bool:
        """Whether somebody who may read here may read less than everything."""
        return self.authenticator.asks_application or self._policy.is_set_up(self._directory.holds)

    # Who comes

    def visit(self, head: RequestHead, address: str) -> Visit:
        """What a request brings to say who it is of."""
        asks = self.authenticator.asks_application
        return Visit(self._credentials_of(head, address), head if asks else None)

    def with_auth(self, visit: Visit, auth: Any) -> Visit:
        """The same with the token of a connect packet, if that brings one of ours."""
        given = self._policy.with_auth(visit.given, auth)
        return visit if given is visit.given else visit._replace(given=given)

    def admit(self, visit: Visit, done: Decision) -> None:
        """Call ``done`` with who it is and may do, or why it is not let in: at once, or later."""
        self.authenticator.identify(visit, lambda outcome: done(self._decide(visit, outcome)))

    async def let_in(self, one: ConnectedReader, visit: Visit) -> NotAdmitted | None:
        """Let somebody in, or say why not."""
        answer: asyncio.Future[NotAdmitted | None] = asyncio.get_running_loop().create_future()

        def decide(decision: Admission | NotAdmitted) -> None:
            if answer.done():  # it has left
                return
            if isinstance(decision, Admission):  # in this turn: its rights may change in the next
                self.add(one, decision)
            answer.set_result(decision if isinstance(decision, NotAdmitted) else None)

        self.admit(visit, decide)
        return await answer

    def _decide(self, visit: Visit, outcome: Outcome) -> Admission | NotAdmitted:
        if isinstance(outcome, NotAdmitted):
            return outcome
        identity = self._current(outcome)
        if identity is None:
            return NotAdmitted(401, ENDED)
        reader = self._reader_of(identity)
        if not reader.grants:
            status = 401 if identity.kind == "anonymous" else 403
            return NotAdmitted(status, self._policy.refusal(identity, Action.READ))
        return Admission(reader, visit, outcome.asked_at)

    def _current(self, found: Found) -> Identity | None:
        """Who it is by the newest of what the thread saw and what is known here.

        If what is known here is older, the reader is judged when the newer comes.
        """
        known = self._directory.change_of
        if all(known(key) >= change for key, change in found.seen.items()):
            return self._policy.judge(found.identity, self._directory)
        return found.identity

    def _reader_of(self, identity: Identity) -> Reader:
        if identity == LOCAL:
            return READS_EVERYTHING
        if identity == ANONYMOUS:
            return self._anonymous
        return Reader(identity, self._policy.grants(identity))

    def add(self, one: ConnectedReader, admission: Admission) -> None:
        """Let somebody in who was admitted in this turn of the loop, or renew its rights."""
        before = one.reader
        self.remove(one)
        one.reader = admission.reader
        self._note(one, admission.reader.identity, admission.visit, admission.asked_at)
        if before != one.reader:
            self._regrant((one,))

    def remove(self, one: ConnectedReader) -> None:
        """It has left."""
        entry = self._entries.pop(one, None)
        for key in entry.identity.records if entry is not None else ():
            self._by_record[key].discard(one)
            if not self._by_record[key]:
                del self._by_record[key]

    def _note(
        self, one: ConnectedReader, identity: Identity, visit: Visit, asked_at: float | None
    ) -> None:
        if not identity.records and identity.expires_at is None and asked_at is None:
            return  # nothing can change
        entry = self._entries[one] = ReaderEntry(identity)
        for key in identity.records:
            self._by_record.setdefault(key, set()).add(one)
        if identity.expires_at is not None:
            heapq.heappush(self._expiries, (identity.expires_at, next(self._numbers), one))
        if asked_at is not None:
            entry.visit, entry.ask_at = visit, asked_at + ASK_AGAIN
            self._to_ask.append((entry.ask_at, one))

    # What becomes of them

    def on_access(self, records: Sequence[AccessRecord], reset: bool) -> None:
        """Records have changed, or time has passed."""
        concerned: dict[ConnectedReader, None] = {}
        for key in self._directory.update(records, reset=reset) if records or reset else ():
            concerned.update(dict.fromkeys(self._by_record.get(key, ())))
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            at, _, one = heapq.heappop(self._expiries)
            entry = self._entries.get(one)
            if entry is not None and entry.identity.expires_at == at:
                concerned[one] = None
        if concerned:
            self._judge(concerned)
        self._ask_again()

    def rights_changed(self, user: str | None) -> None:
        """The rights of a user have changed outside of the store; None: of any user."""
        self.authenticator.forget_answers()
        for one, entry in list(self._entries.items()):
            if entry.visit is not None and user in (None, "", entry.identity.name):
                self._line.setdefault(one, self._monotonic())
        self._ask_next()
        self.on_rights_changed()

    def _judge(self, readers: Iterable[ConnectedReader]) -> None:
        """Find out from memory who these are now, and apply what has changed."""
        changed = []
        for one in readers:
            entry = self._entries[one]
            identity = self._policy.judge(entry.identity, self._directory)
            if identity is None:
                self._end(one, ENDED)
            elif identity != entry.identity and self._replace(one, identity):
                changed.append(one)
        self._regrant(changed)

    def _replace(self, one: ConnectedReader, identity: Identity) -> bool:
        """Somebody is another one now, or may do something else; False: nothing any more."""
        self.remove(one)
        one.reader = self._reader_of(identity)
        if not one.reader.grants:
            self._end(one, TAKEN_AWAY)
            return False
        self._note(one, identity, NO_VISIT, None)
        return True

    def _end(self, one: ConnectedReader, sentence: str) -> None:
        self.remove(one)
        one.reader = READS_NOTHING
        one.end(sentence)

    # What only the application knows

    def _ask_again(self) -> None:
        now = self._monotonic()
        while self._to_ask and self._to_ask[0][0] <= now:
            at, one = self._to_ask.popleft()
            entry = self._entries.get(one)
            if entry is not None and entry.visit is not None and entry.ask_at == at:
                self._line.setdefault(one, now)
        self._ask_next()

    def _ask_next(self) -> None:
        """Ask about those in line, as many as may be asked about at once."""
        if self._asking:
            return  # an answer came at once; the loop below goes on
        self._asking = True
        try:
            while self._line and self._asked < ASKED_AT_ONCE:
                one = next(iter(self._line))
                since, entry = self._line.pop(one), self._entries.get(one)
                if entry is None or entry.visit is None:
                    continue
                if self._monotonic() - since > ASK_AGAIN:
                    self._end(one, NO_ANSWER)
                else:
                    self._ask(one, entry)
        finally:
            self._asking = False

    def _ask(self, one: ConnectedReader, entry: ReaderEntry) -> None:
        visit = entry.visit
        assert visit is not None
        self._asked += 1
        entry.question += 1
        question = entry.question

        def done(decision: Admission | NotAdmitted) -> None:
            self._asked -= 1
            # It has not left, was not renewed, and no right has changed since the question.
            if self._entries.get(one) is entry and entry.question == question:
                self._renew(one, decision)
            self._ask_next()

        self.admit(visit, done)

    def _renew(self, one: ConnectedReader, decision: Admission | NotAdmitted) -> None:
        if isinstance(decision, NotAdmitted):
            self._end(one, TAKEN_AWAY if decision.status == 403 else decision.sentence)
        else:
            self.add(one, decision)
