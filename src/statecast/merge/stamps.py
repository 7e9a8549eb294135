"""Which message decided each value: a tree of stamps beside the state, in which late messages find
what is newer than they are.

Rule 1: the outcome is that of RFC 7396 over the messages in the order of their stamps, whatever the
order in which they arrive. So a removed field keeps its stamp, and an object keeps two: when it was
last set to something else (everything older inside is void), and when it was last set to an object.
Rule 2: nothing is changed in place. A message that is refused halfway leaves no trace, and a store
may keep the values it had.
Rule 3: what has no stamp is older than everything that has one. So stamps below the floor are not
kept, because no message below the floor is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from statecast import strict_json
from statecast.errors import Refused, TooLarge
from statecast.model import Change, Stamp

OLD = Stamp(0, 0, 0)
"""Older than every message."""
MAX_STAMPS = 20_000
"""More than a full state can have fields. Beyond it the floor of the device is raised early: such
a device sets and removes always new fields."""


class Branch(NamedTuple):
    """The stamps of an object."""

    void: Stamp
    """When it was last set to something else, or removed. What is older inside does not count."""
    made: Stamp
    """When it was last set to an object; at least as new as everything inside."""
    members: dict[str, Any]
    """Name -> Node, removed members included. A missing name is older than every message."""


Node: TypeAlias = Stamp | Branch
"""A Stamp says when a value that is no object was set, or the field removed."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """All stamps of one device."""

    root: Node = OLD
    newest: int = 0
    """Time of the newest stamp in ms."""
    floor: Stamp = OLD
    """A message below it is dropped."""
    deadline: Stamp = OLD
    """The stamp of the message that has set ``silent_after``."""
    size: int = 0
    """An upper bound of the number of stamps in the tree."""

    @property
    def latest(self) -> Stamp:
        """The newest stamp in the tree."""
        return max(self.root.void, self.root.made) if isinstance(self.root, Branch) else self.root

    @classmethod
    def load(cls, data: bytes) -> Stamps:
        """Read what ``dump`` wrote.

        Raises ValueError, TypeError, KeyError or IndexError for damaged data.
        """
        floor, newest, deadline, root, numbers = _decoder.decode(data.decode())
        table = [
            OLD,
            *(
                Stamp(newest - numbers[i], *numbers[i + 1 : i + 3])
                for i in range(0, len(numbers), 3)
            ),
        ]
        return cls(_read(root, table), newest, Stamp(*floor), table[deadline], _size_of(root))

    def dump(self) -> bytes:
        """The stamps above the floor: a table of distinct ones, and the tree with their numbers.

        One message may have set many fields; they share an entry.
        """
        table: dict[Stamp, int] = {}
        deadline = _number(self.deadline, self.floor, table)
        root = _write(self.root, self.floor, table)
        numbers = [
            number
            for at, sequence, order in table
            for number in (self.newest - at, sequence, order)
        ]
        return _encoder.encode([self.floor, self.newest, deadline, root, numbers]).encode()

    def sets_deadline(self, change: Change, stamp: Stamp) -> bool:
        """Whether a change decides the deadline: it sets one or is a removal, and is the newest."""
        return (
            change.silent_after is not None or change.kind == "delete"
        ) and stamp >= self.deadline

    def advanced(self, root: Node, change: Change, stamp: Stamp, late_message_ms: int) -> Stamps:
        """The stamps after a change that made ``root`` of the tree."""
        newest = max(self.newest, stamp.time)
        floor = max(self.floor, Stamp(newest - late_message_ms, 0, 0))
        size = self.size + _count(change.state)
        deadline = stamp if self.sets_deadline(change, stamp) else self.deadline
        after = Stamps(root, newest, floor, deadline, size)
        return after if size <= MAX_STAMPS else _raise_floor(after)


def fold(
    root: Node, state: dict[str, Any] | None, change: Change, stamp: Stamp
) -> tuple[Node, dict[str, Any] | None]:
    """The tree and the state after a change. Raises Refused."""
    if change.kind != "merge":  # a replacement is a removal and a merge with the same stamp
        root, state = _fold_path(root, state, None, stamp, 0)
    if change.kind != "delete":
        root, state = _fold_path(root, state, dict(change.state), stamp, 1)
    return root, state


def _fold_path(node: Node, value: Any, patch: Any, stamp: Stamp, depth: int) -> tuple[Node, Any]:
    """Fold one path of a message; a ``patch`` of None removes the value."""
    branch = type(node) is Branch
    if stamp < (node.void if branch else node):  # type: ignore[union-attr, operator]
        return node, value
    if type(patch) is dict:
        if not branch:
            node, value = Branch(node, stamp, {}), {}  # type: ignore[arg-type]
        return _fold_members(node, value, patch, stamp, depth)  # type: ignore[arg-type]
    if branch and stamp < node.made:  # type: ignore[union-attr]
        return _without_older(node, value, stamp)  # type: ignore[arg-type]
    return stamp, patch


def _fold_members(
    branch: Branch, state: dict[str, Any], patch: Mapping[str, Any], stamp: Stamp, depth: int
) -> tuple[Branch, dict[str, Any]]:
    if depth > strict_json.MAX_DEPTH:
        raise Refused(f"The state would be nested more than {strict_json.MAX_DEPTH} levels deep.")
    members, state = branch.members.copy(), state.copy()
    for name, value in patch.items():
        before = state.get(name)
        node = members.get(name)
        if node is None:
            node = Branch(OLD, OLD, {}) if type(before) is dict else OLD
        members[name], value = _fold_path(node, before, value, stamp, depth + 1)
        if value is not None:
            state[name] = value
        elif before is not None:
            del state[name]
    if len(state) > strict_json.MAX_MEMBERS:
        raise TooLarge(
            f"An object in the state would have {len(state)} members; "
            f"{strict_json.MAX_MEMBERS} are allowed."
        )
    return Branch(branch.void, max(branch.made, stamp), members), state


def _without_older(
    branch: Branch, state: dict[str, Any], stamp: Stamp
) -> tuple[Branch, dict[str, Any]]:
    """An object without the parts that a late removal or replacement makes void."""
    members: dict[str, Node] = {}
    left: dict[str, Any] = {}
    for name, node in branch.members.items():
        if type(node) is Branch:
            if node.made > stamp:
                members[name], left[name] = _without_older(node, state[name], max(stamp, node.void))
        elif node > stamp:
            members[name] = node
            if name in state:
                left[name] = state[name]
    return Branch(stamp, branch.made, members), left


def _raise_floor(stamps: Stamps) -> Stamps:
    """Raise the floor so far that the newer half of the stamps remains."""
    newest = sorted(stamp for stamp in _leaves(stamps.root) if stamp >= stamps.floor)[
        -MAX_STAMPS // 2 :
    ]
    full = len(newest) == MAX_STAMPS // 2
    stamps = replace(stamps, floor=max(stamps.floor, newest[0]) if full else stamps.floor)
    return Stamps.load(stamps.dump())


def _leaves(node: Node) -> Iterator[Stamp]:
    if isinstance(node, Branch):
        for inner in node.members.values():
            yield from _leaves(inner)
    else:
        yield node


def _count(patch: Mapping[str, Any]) -> int:
    return len(patch) + sum(_count(value) for value in patch.values() if type(value) is dict)


def _number(stamp: Stamp, floor: Stamp, table: dict[Stamp, int]) -> int:
    """The number of a stamp in the table; 0 for one below the floor."""
    return 0 if stamp < floor else table.setdefault(stamp, len(table) + 1)


def _write(node: Node, floor: Stamp, table: dict[Stamp, int]) -> Any:
    if not isinstance(node, Branch):
        return _number(node, floor, table)
    members: dict[str, Any] = {}
    for name, inner in node.members.items():
        if type(inner) is Branch:
            if inner.made >= floor:
                members[name] = _write(inner, floor, table)
        elif inner >= floor:
            members[name] = table.setdefault(inner, len(table) + 1)
    return [_number(node.void, floor, table), _number(node.made, floor, table), members]


def _read(written: Any, table: list[Stamp]) -> Node:
    if type(written) is int:
        return table[written]
    void, made, members = written
    inner = {
        name: table[one] if type(one) is int else _read(one, table) for name, one in members.items()
    }
    return Branch(table[void], table[made], inner)


def _size_of(written: Any) -> int:
    if type(written) is int:
        return 1
    members = written[2]
    return len(members) + sum(_size_of(one) for one in members.values() if type(one) is not int)


_encoder = json.JSONEncoder(separators=(",", ":"))
_decoder = json.JSONDecoder()
