"""Which message decided each value: a tree of stamps beside the state, in which late messages find
what is newer than they are.

Rule 1: the outcome is that of RFC 7396 over the messages in the order of their stamps, whatever the
order in which they arrive. So a removed field keeps its stamp, and an object keeps two: when it was
last set to something else (everything older inside is void), and when it was last set to an object.
Rule 2: nothing is changed in place. A message that is refused halfway leaves no trace, and a store
may keep the values it had.
Rule 3: what has no stamp is older than everything that has one. So stamps below the floor are not
kept, because no message below the floor is accepted.
Rule 4: a stored stamp that is later than our clock is doubtful, see ``is_older``. It is not
rewritten, because it can be right and the clock wrong. A message that wins against it puts its own
stamp in its place. So each value is decided by itself: what lies inside an object may have a later
stamp than the object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

from statecast import strict_json
from statecast.errors import Refused, TooLarge
from statecast.model import Change, Stamp, value_class

OLD = Stamp(0, 0, 0)
"""Older than every message."""
SEQUENCED = 2**53
"""The time in every stamp that is ordered by sequence."""
TIME_BITS = 48
"""Bits of the time below a sequence: it decides between two messages of the same sequence."""
DOUBT_MS = 2_000
"""A stored stamp that is later than the clock by more than this is doubtful. Less may be two
clocks that are kept right."""
MAX_STAMPS = 20_000
"""More than a full state can have fields. Beyond it the floor of the device is raised early: such
a device sets and removes always new fields."""


class Branch(NamedTuple):
    """The stamps of an object."""

    void: Stamp
    """When it was last set to something else, or removed: this decides every member without a
    stamp of its own."""
    made: Stamp
    """When it was last set to an object."""
    members: dict[str, Any]
    """Name -> Node, removed members included."""


Node: TypeAlias = Stamp | Branch
"""A Stamp says when a value that is no object was set, or the field removed."""


@value_class
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
    commands: Stamp = OLD
    """The stamp of the message that has set what the device takes."""

    @property
    def latest(self) -> Stamp:
        """The newest stamp in the tree."""
        return max(self.root.void, self.root.made) if isinstance(self.root, Branch) else self.root

    @classmethod
    def load(cls, data: bytes) -> Stamps:
        """Read what ``dump`` wrote.

        Raises ValueError, TypeError, KeyError or IndexError for damaged data.
        """
        floor, newest, deadline, root, numbers, *rest = strict_json.decode_numbers(data)
        table = [
            OLD,
            *(
                Stamp(newest - numbers[i], *numbers[i + 1 : i + 3])
                for i in range(0, len(numbers), 3)
            ),
        ]
        commands = table[rest[0]] if rest else OLD
        tree = _read(root, table)
        return cls(tree, newest, Stamp(*floor), table[deadline], _size_of(root), commands)

    def dump(self) -> bytes:
        """The stamps above the floor: a table of distinct ones, and the tree with their numbers.

        One message may have set many fields; they share an entry.
        """
        table: dict[Stamp, int] = {}
        deadline = _number(self.deadline, self.floor, table)
        commands = _number(self.commands, self.floor, table) if self.commands > OLD else 0
        root = _write(self.root, self.floor, table)
        newest = self.newest
        numbers: list[int] = []
        for at, sequence, order in table:
            numbers += (newest - at, sequence, order)
        rest = [commands] if commands else []
        whole = [tuple(self.floor), newest, deadline, root, numbers, *rest]
        try:
            return strict_json.encode_checked(whole)
        except TypeError:  # a stamp by sequence has more than 64 bits
            return _encoder.encode(whole).encode()

    def newest_trusted(self, now: int) -> Stamp:
        """The newest stamp in the tree that is not doubtful when the clock reads ``now``."""
        limit = now + DOUBT_MS
        latest = self.latest
        if latest.time >= SEQUENCED:
            return _sequenced_by(latest, limit, now)
        if latest.time <= limit:
            return latest
        return max((one for one in _stamps(self.root) if one.time <= limit), default=OLD)

    def is_too_old(self, stamp: Stamp, limit: int) -> bool:
        """Whether a message is below the floor. A doubtful floor drops nothing."""
        return stamp < self.floor and not self._in_doubt(limit)

    def _in_doubt(self, limit: int) -> bool:
        """Whether the floor is doubtful: it follows from the newest stamp."""
        return self.newest < SEQUENCED and max(self.newest, self.floor.time) > limit

    def sets_deadline(self, change: Change, stamp: Stamp, limit: int) -> bool:
        """Whether a change decides the deadline: it sets one or is a removal, and is the newest."""
        return (change.silent_after is not None or change.kind == "delete") and not is_older(
            stamp, self.deadline, limit
        )

    def sets_commands(self, change: Change, stamp: Stamp, limit: int) -> bool:
        """Whether a change decides what the device takes: as ``sets_deadline``."""
        return (change.commands is not None or change.kind == "delete") and not is_older(
            stamp, self.commands, limit
        )

    def advanced(
        self, root: Node, change: Change, stamp: Stamp, limit: int, late_message_ms: int
    ) -> Stamps:
        """The stamps after a change that made ``root`` of the tree."""
        in_doubt = stamp.time <= limit and self._in_doubt(limit)
        newest = stamp.time if in_doubt else max(self.newest, stamp.time)
        floor = Stamp(newest - late_message_ms, 0, 0)
        if not in_doubt:
            floor = max(self.floor, floor)
        size = self.size + _count(change.state)
        deadline = stamp if self.sets_deadline(change, stamp, limit) else self.deadline
        commands = stamp if self.sets_commands(change, stamp, limit) else self.commands
        after = Stamps(root, newest, floor, deadline, size, commands)
        return after if size <= MAX_STAMPS else _raise_floor(after)


def is_older(stamp: Stamp, stored: Stamp, limit: int) -> bool:
    """Whether a new message is older than the one that set a stored stamp.

    A stored stamp that is later than ``limit`` (the clock and ``DOUBT_MS``) is doubtful: our clock
    was ahead then, or is behind now. Against it the order of first arrival decides, unless the new
    message is doubtful as well. Between two messages of a vendor's sequence only the time that
    breaks a tie can be doubtful.
    """
    if stamp >= stored:
        return False
    if stored.time < SEQUENCED:
        doubtful = stamp.time <= limit < stored.time
    else:
        doubtful = stamp.sequence >> TIME_BITS == stored.sequence >> TIME_BITS and _time_below(
            stamp
        ) <= limit < _time_below(stored)
    return not doubtful or stamp.order < stored.order


def _time_below(stamp: Stamp) -> int:
    """The time below the sequence of a stamp that is ordered by sequence."""
    return stamp.sequence & ((1 << TIME_BITS) - 1)


def _sequenced_by(stamp: Stamp, limit: int, now: int) -> Stamp:
    """The stamp of a sequence with the clock's time below it, if its own is doubtful."""
    below = _time_below(stamp)
    return stamp if below <= limit else stamp._replace(sequence=stamp.sequence - below + now)


def fold(
    root: Node, state: dict[str, Any] | None, change: Change, stamp: Stamp, limit: int
) -> tuple[Node, dict[str, Any] | None]:
    """The tree and the state after a change. Raises Refused.

    Stored stamps later than ``limit`` are doubtful.
    """
    if change.kind != "merge":  # a replacement is a removal and a merge with the same stamp
        root, state = _fold_path(root, state, None, stamp, limit, 0)
    if change.kind != "delete":
        patch = change.state if type(change.state) is dict else dict(change.state)
        root, state = _fold_path(root, state, patch, stamp, limit, 1)
    return root, state


def _fold_path(
    node: Node, value: Any, patch: Any, stamp: Stamp, limit: int, depth: int
) -> tuple[Node, Any]:
    """Fold one path of a message; a ``patch`` of None removes the value."""
    if type(node) is Branch:
        if type(patch) is dict:
            return _fold_members(node, value, patch, stamp, limit, depth)
        return _fold_value(node, value, patch, stamp, limit)
    if stamp < node and is_older(stamp, node, limit):  # type: ignore[operator, arg-type]
        return node, value
    if type(patch) is dict:
        made = Branch(node, stamp, {})  # type: ignore[arg-type]
        return _fold_members(made, {}, patch, stamp, limit, depth)
    return stamp, patch


def _fold_members(
    branch: Branch,
    state: dict[str, Any],
    patch: Mapping[str, Any],
    stamp: Stamp,
    limit: int,
    depth: int,
) -> tuple[Branch, dict[str, Any]]:
    """Merge a patch into an object."""
    if depth > strict_json.MAX_DEPTH:
        raise Refused(f"The state would be nested more than {strict_json.MAX_DEPTH} levels deep.")
    void, made, members = branch
    is_void = stamp < void and is_older(stamp, void, limit)
    members, state = members.copy(), state.copy()
    for name, value in patch.items():
        before = state.get(name)
        node = members.get(name)
        if node is None:
            if is_void:
                continue
            node = Branch(void, void, {}) if type(before) is dict else void
        members[name], value = _fold_path(node, before, value, stamp, limit, depth + 1)
        if value is not None:
            state[name] = value
        elif before is not None:
            del state[name]
    if len(state) > strict_json.MAX_MEMBERS:
        raise TooLarge(
            f"An object in the state would have {len(state)} members; "
            f"{strict_json.MAX_MEMBERS} are allowed."
        )
    if not (stamp < made and is_older(stamp, made, limit)):
        made = stamp
    return Branch(void, made, members), state


def _fold_value(
    branch: Branch, state: dict[str, Any], patch: Any, stamp: Stamp, limit: int
) -> tuple[Node, Any]:
    """Set an object to something else, or remove it; what is newer inside remains."""
    members: dict[str, Node] = {}
    left: dict[str, Any] = {}
    is_void = is_older(stamp, branch.void, limit)
    void = branch.void if is_void else stamp
    for name, node in branch.members.items():
        inner, value = _fold_path(node, state.get(name), None, stamp, limit, 0)
        if is_void or inner is not stamp:  # what the void decides needs no stamp of its own
            members[name] = inner
        if value is not None:
            left[name] = value
    if is_void or is_older(stamp, branch.made, limit):
        return Branch(void, branch.made, members), left
    if members:  # the object was made under a wrong clock; what is inside shows that it is there
        return Branch(void, max(map(_newest, members.values())), members), left
    return stamp, patch


def _newest(node: Node) -> Stamp:
    return node.made if isinstance(node, Branch) else node


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


def _stamps(node: Node) -> Iterator[Stamp]:
    """All stamps of a tree."""
    if isinstance(node, Branch):
        yield from (node.void, node.made)
        for inner in node.members.values():
            yield from _stamps(inner)
    else:
        yield node


def _count(patch: Mapping[str, Any]) -> int:
    count = len(patch)
    for value in patch.values():
        if type(value) is dict:
            count += _count(value)
    return count


def _number(stamp: Stamp, floor: Stamp, table: dict[Stamp, int]) -> int:
    """The number of a stamp in the table; 0 for one below the floor."""
    return 0 if stamp < floor else table.setdefault(stamp, len(table) + 1)


def _write(node: Node, floor: Stamp, table: dict[Stamp, int]) -> Any:
    """A tree as JSON. What is not above the floor has the number 0, or is left out."""
    if not isinstance(node, Branch):
        return _number(node, floor, table)
    members: dict[str, Any] = {}
    last, number = None, 0
    for name, inner in node.members.items():
        if inner is last:  # one message has mostly set several fields
            members[name] = number
        elif type(inner) is Branch:
            written = _write(inner, floor, table)
            if written != [0, 0, {}]:
                members[name] = written
        elif inner >= floor:
            last, number = inner, table.setdefault(inner, len(table) + 1)
            members[name] = number
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
