"""The URL of a source: ``SCHEME:NAME?option=value&option=value``. Unknown options are errors, like unknown settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from statecast.errors import BadSetting

T = TypeVar("T")


class Options:
    """What stands after the question mark. Take each option there is, then ``finish``."""

    def __init__(self, source: str, query: str) -> None:
        self.source = source
        self._left = parsed(source, query)
        self._known: list[str] = []

    def take(self, name: str, check: Callable[[str], T], default: T) -> T:
        """One option, checked as a setting is. Raises BadSetting, without the value: it may be a secret."""
        self._known.append(name)
        value = self._left.pop(name, None)
        if value is None:
            return default
        try:
            return check(value)
        except ValueError as error:
            raise BadSetting(
                f"The option {name!r} of the source {self.source!r} {error}."
            ) from None

    def finish(self, others: Iterable[str] = ()) -> None:
        """Raises BadSetting if something was given that nobody took; ``others`` are the options taken elsewhere."""
        for name in self._left:
            known = sorted({*self._known, *others})
            are = f"its options are: {', '.join(known)}" if known else "it has none"
            raise BadSetting(f"The source {self.source!r} has no option {name!r}; {are}.")


def parsed(source: str, query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in found:
            raise BadSetting(f"The option {name!r} of the source {source!r} is given twice.")
        found[name] = value
    return found


def split(url: str, names: Iterable[str]) -> tuple[str, Mapping[str, str]]:
    """The URL without the options of these names, and those: what decodes the messages is no matter of the source."""
    head, mark, query = url.partition("?")
    options = parsed(head, query)
    taken = {name: options.pop(name) for name in names if name in options}
    if not taken:
        return url, {}
    return (f"{head}{mark}{urlencode(options)}" if options else head), taken
