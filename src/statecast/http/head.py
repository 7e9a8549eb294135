"""The head of a request as every endpoint reads it: parsed once, by the HTTP parser."""

from __future__ import annotations

import functools
import marshal
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

MAX_QUERY_FIELDS = 32
CACHED_QUERIES = 64
"""Queries remembered as parsed: all clients of one kind connect with the same one."""


LOCAL = "statecast.local"
"""In the extensions of an ASGI scope and in a WSGI environment: is the request of this machine?"""
BY_PROXY = "statecast.by_proxy"
"""In the same places: did a trusted proxy pass the request on?"""
HeaderFields = Mapping[bytes, Sequence[bytes]]
"""Values by name in lower case, in the order of the request, without surrounding spaces."""


class RequestHead(NamedTuple):
    """What the first lines of a request say."""

    method: str
    path: str
    query_string: bytes
    headers: HeaderFields
    secure: bool
    """The client speaks TLS, with us or with a trusted proxy."""
    local: bool = False
    """It is of this machine; see ``rights.py``."""
    by_proxy: bool = False
    """A trusted proxy passed it on."""

    @classmethod
    def of_target(
        cls,
        method: str,
        target: bytes,
        headers: HeaderFields,
        secure: bool,
        *,
        local: bool = False,
        by_proxy: bool = False,
    ) -> RequestHead:
        """``target`` is a path, with or without a query."""
        path, _, query = target.partition(b"?")
        return cls(method, path.decode("latin-1"), query, headers, secure, local, by_proxy)

    @classmethod
    def of_scope(cls, scope: MutableMapping[str, Any]) -> RequestHead:
        """The head in an ASGI scope, whose names are in lower case by specification."""
        extensions = scope.get("extensions", {})
        return cls(
            scope["method"],
            scope["path"],
            scope.get("query_string", b""),
            by_name(scope["headers"]),
            scope.get("scheme") == "https",
            bool(extensions.get(LOCAL)),
            bool(extensions.get(BY_PROXY)),
        )

    @property
    def query(self) -> Mapping[str, str]:
        """The query's fields; of a repeated name the last. Absurdly many fields count as none."""
        return parse_query(self.query_string)

    def packed(self) -> bytes:
        """The head in a few hundred bytes, to be kept in this process for long."""
        fields = {name: tuple(values) for name, values in self.headers.items()}
        return marshal.dumps((*self[:3], fields, *self[4:]))

    @classmethod
    def of_packed(cls, packed: bytes) -> RequestHead:
        """The head again. Only for what ``packed`` made in this process."""
        return cls(*marshal.loads(packed))  # noqa: S302 - our own bytes, never received

    def values(self, name: bytes) -> Sequence[bytes]:
        return self.headers.get(name, ())

    def lists(self, name: bytes, word: bytes) -> bool:
        """Whether a header that is a comma-separated list contains ``word``."""
        return lists(self.headers, name, word)


def lists(headers: HeaderFields, name: bytes, word: bytes) -> bool:
    for value in headers.get(name, ()):
        lower = value.lower()
        if lower == word or word in (part.strip() for part in lower.split(b",")):
            return True
    return False


def by_name(headers: Iterable[tuple[bytes, bytes]]) -> HeaderFields:
    fields: dict[bytes, Sequence[bytes]] = {}
    for name, value in headers:
        fields[name] = (*fields[name], value) if name in fields else (value,)
    return fields


@functools.lru_cache(CACHED_QUERIES)
def parse_query(query: bytes) -> Mapping[str, str]:
    try:
        fields = parse_qsl(
            query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError:
        fields = []
    return MappingProxyType(dict(fields))
