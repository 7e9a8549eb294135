"""A value: which actions on which devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from statecast import names
from statecast.access.actions import Action
from statecast.access.patterns import Patterns, any_covers, reduced
from statecast.errors import Malformed


@dataclass(frozen=True, slots=True)
class Grants:
    """What somebody may do. Grants that allow the same are equal."""

    by_action: tuple[tuple[Action, Patterns], ...] = ()
    """In the order of ``Action``; an action that is not in it is not allowed."""

    @classmethod
    def of(cls, table: Mapping[Any, Any]) -> Grants:
        """From pattern -> actions: ``{"pillow": "read command", "floor2/*": ["read"]}``.

        Raises Malformed with a sentence.
        """
        if not isinstance(table, Mapping):
            raise Malformed(f"Rights are a table of device pattern and actions, not {table!r}.")
        found: dict[Action, list[str]] = {}
        for pattern, actions in table.items():
            for action in actions_of(actions):
                if action is Action.OPERATE and pattern != "*":
                    raise Malformed(
                        f"The action operate concerns no device; give it for *, not {pattern!r}."
                    )
                found.setdefault(action, []).append(names.check_pattern(pattern))
        return cls.from_patterns(found)

    @classmethod
    def from_patterns(cls, patterns: Mapping[Action, Iterable[str]]) -> Grants:
        """From action -> patterns that were checked before."""
        return cls(
            tuple((action, reduced(patterns[action])) for action in Action if patterns.get(action))
        )

    def patterns(self, action: Action) -> Patterns:
        """The devices on which an action is allowed."""
        return next((patterns for one, patterns in self.by_action if one is action), ())

    def allows(self, action: Action, device: str | None = None) -> bool:
        """Whether an action is allowed on a device; without one: on any device at all."""
        patterns = self.patterns(action)
        return bool(patterns) if device is None else any_covers(patterns, device)

    def as_table(self) -> dict[str, str]:
        """As pattern -> actions, the inverse of ``of``."""
        table: dict[str, list[str]] = {}
        for action, patterns in self.by_action:
            for pattern in patterns:
                table.setdefault(pattern, []).append(action.value)
        return {pattern: " ".join(table[pattern]) for pattern in sorted(table)}

    def __or__(self, other: Grants) -> Grants:
        if not other.by_action or self == other:
            return self
        if not self.by_action:
            return other
        return Grants.from_patterns(
            {one: (*self.patterns(one), *other.patterns(one)) for one in Action}
        )

    def __bool__(self) -> bool:
        return bool(self.by_action)


def actions_of(given: Any) -> list[Action]:
    """Actions as a text with spaces or a list. Raises Malformed."""
    words = given.split() if isinstance(given, str) else given
    if not isinstance(words, (list, tuple)) or not words:
        raise Malformed(f'The actions are words like "read command"; they are {given!r}.')
    known = {action.value: action for action in Action}
    for word in words:
        if not isinstance(word, str) or word not in known:
            raise Malformed(f"There is no action {word!r}; there are {', '.join(known)}.")
    return [known[word] for word in words]


NOTHING = Grants()
EVERYTHING = Grants.from_patterns(dict.fromkeys(Action, ("*",)))
