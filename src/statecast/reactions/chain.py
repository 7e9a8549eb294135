"""Finds reactions that call themselves: a change that a reaction makes says so in its cause.

The cause has the length of the chain, changes made by reactions one after the other, and when the
last call began. Two reactions that call each other are found too, in whatever processes they run.
So nothing is counted, and a burst of many devices is no chain.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from statecast.model import Cause
from statecast.stores.contract import API_SOURCE

MAX_LINKS = 100
LINK_MS = 1_000
"""From the begin of a call to the begin of the call that it causes. A slower one begins a chain."""
MAX_SENT = 10_000
"""Ids of messages remembered that reactions have sent."""
PREFIX = "reaction:"


class Link(NamedTuple):
    """One call in a chain."""

    number: int
    """0: the change that it is called for was made by no reaction."""
    began: int
    """In ms."""

    def cause_id(self) -> str:
        """The id in the cause of a change that this call makes."""
        return f"{PREFIX}{self.number}:{self.began}"

    def following(self, now: int) -> Link:
        """The link of a call that this one has caused."""
        quick = 0 <= now - self.began < LINK_MS
        return Link(self.number + 1 if quick else 0, now)


_current: ContextVar[Link | None] = ContextVar("statecast_reaction", default=None)


def current() -> Link | None:
    """The call in which this code runs."""
    return _current.get()


@contextmanager
def calling(link: Link) -> Iterator[None]:
    """Run a block as this call."""
    token = _current.set(link)
    try:
        yield
    finally:
        _current.reset(token)


class SentMessages:
    """The messages that reactions of this process have sent. Any thread."""

    def __init__(self) -> None:
        self._links: OrderedDict[str, Link] = OrderedDict()

    def note(self, id_: str) -> None:
        """Note that a message of this id was sent, if a reaction sends it."""
        link = _current.get()
        if link is not None:
            self._links[id_] = link
            if len(self._links) > MAX_SENT:
                self._links.popitem(last=False)

    def link_of(self, cause: Cause) -> Link | None:
        """The call that made a change; None: no reaction made it."""
        if cause.source != API_SOURCE:
            return self._links.get(cause.id)
        number, _, began = cause.id.removeprefix(PREFIX).partition(":")
        if not cause.id.startswith(PREFIX) or not (number.isdecimal() and began.isdecimal()):
            return None
        return Link(int(number), int(began))
