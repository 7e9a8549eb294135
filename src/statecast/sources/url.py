"""The URL of a source: ``SCHEME:NAME?option=value&option=value``.

An unknown option is an error, like an unknown setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from statecast.errors import BadSetting

T = TypeVar("T")


class UrlOptions:
    """The options after the question mark. Call ``take`` for each known one, then ``finish``."""

    def __init__(self, source: str, query: str) -> None:
        self.source = source
        self._left = parse_options(source, query)
        self._known: list[str] = []

    def take(self, name: str, check: Callable[[str], T], default: T) -> T:
        """One option, checked like a setting.

        Raises BadSetting. Its sentence does not quote the value, which may be a secret.
        """
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
        """Raise BadSetting if an option was not taken; ``others`` are handled elsewhere."""
        for name in self._left:
            known = sorted({*self._known, *others})
            are = f"its options are: {', '.join(known)}" if known else "it has none"
            raise BadSetting(f"The source {self.source!r} has no option {name!r}; {are}.")


def parse_options(source: str, query: str) -> dict[str, str]:
    """The options of a query string. Raises BadSetting for an option that is given twice."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in found:
            raise BadSetting(f"The option {name!r} of the source {source!r} is given twice.")
        found[name] = value
    return found


def split_options(url: str, names: Iterable[str]) -> tuple[str, Mapping[str, str]]:
    """The URL without the options of these names, and those options.

    The options of the decoder stand in the same URL; the source does not know them.
    """
    head, mark, query = url.partition("?")
    options = parse_options(head, query)
    taken = {name: options.pop(name) for name in names if name in options}
    if not taken:
        return url, {}
    return (f"{head}{mark}{urlencode(options)}" if options else head), taken
