"""The head of a request as every endpoint reads it: parsed once, by the HTTP parser."""

from __future__ import annotations

import functools
from collections.abc import Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

MAX_QUERY_FIELDS = 32
CACHED_QUERIES = 64
"""Queries remembered as parsed: all clients of one kind connect with the same one."""


class RequestHead(NamedTuple):
    """What the first lines of a request say."""

    method: str
    path: str
    query_string: bytes
    headers: Sequence[tuple[bytes, bytes]]
    """Name in lower case, value without surrounding spaces; a name may appear several times."""
    secure: bool
    """The client speaks TLS, with us or with a trusted proxy."""

    @classmethod
    def of_target(
        cls, method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]], secure: bool
    ) -> RequestHead:
        """``target`` is a path, with or without a query."""
        path, _, query = target.partition(b"?")
        return cls(method, path.decode("latin-1"), query, headers, secure)

    @classmethod
    def of_scope(cls, scope: MutableMapping[str, Any]) -> RequestHead:
        """The head in an ASGI scope, whose names are in lower case by specification."""
        return cls(
            scope["method"],
            scope["path"],
            scope.get("query_string", b""),
            scope["headers"],
            scope.get("scheme") == "https",
        )

    @property
    def query(self) -> Mapping[str, str]:
        """The query's fields; of a repeated name the last. Absurdly many fields count as none."""
        return parse_query(self.query_string)

    def values(self, name: bytes) -> list[str]:
        return [value.decode("latin-1") for other, value in self.headers if other == name]

    def lists(self, name: bytes, word: str) -> bool:
        """Whether a header that is a comma-separated list contains ``word``."""
        return any(
            part.strip().lower() == word for value in self.values(name) for part in value.split(",")
        )


@functools.lru_cache(CACHED_QUERIES)
def parse_query(query: bytes) -> Mapping[str, str]:
    try:
        fields = parse_qsl(
            query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError:
        fields = []
    return MappingProxyType(dict(fields))
