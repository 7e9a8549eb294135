"""Texts as PostgreSQL can keep them: it has no NUL in texts, and ids of messages may have one.

NUL becomes ``␀0``, and ``␀`` itself becomes ``␀␀``, in every text that is written; what is read is
turned back. So two ids stay two, and a reader gets what was sent.
"""

from __future__ import annotations

from typing import Any

from psycopg import adapters as defaults
from psycopg.adapt import AdaptersMap
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
from psycopg.types.string import StrBinaryDumper, StrDumper, TextBinaryLoader, TextLoader

MARK = "\u2400"
MARKED = MARK.encode()


def escaped(text: str) -> str:
    """The text as it is stored."""
    if "\0" in text or MARK in text:
        return text.replace(MARK, MARK * 2).replace("\0", f"{MARK}0")
    return text


def unescaped(text: str) -> str:
    """The text that was stored."""
    return MARK.join(part.replace(f"{MARK}0", "\0") for part in text.split(MARK * 2))


class EscapedStrDumper(StrDumper):
    """As text."""

    def dump(self, obj: str) -> Any:
        return super().dump(escaped(obj))


class EscapedStrBinaryDumper(StrBinaryDumper):
    """In binary form."""

    def dump(self, obj: str) -> Any:
        return super().dump(escaped(obj))


class EscapedTextLoader(TextLoader):
    """From text."""

    def load(self, data: Any) -> str | bytes:
        text = super().load(data)
        return unescaped(text) if isinstance(text, str) and MARK in text else text


class EscapedTextBinaryLoader(TextBinaryLoader):
    """From binary form."""

    def load(self, data: Any) -> str | bytes:
        text = super().load(data)
        return unescaped(text) if isinstance(text, str) and MARK in text else text


def adapters() -> AdaptersMap:
    """How values travel: texts escaped, every number as a bigint, so that a statement has one
    form whatever its numbers are."""
    found = AdaptersMap(defaults)
    for dumper in (EscapedStrBinaryDumper, EscapedStrDumper):
        found.register_dumper(str, dumper)
    for loader in (EscapedTextLoader, EscapedTextBinaryLoader):
        found.register_loader("text", loader)
    for number in (Int8Dumper, Int8BinaryDumper):
        found.register_dumper(int, number)
    return found


class EscapedContext:
    """What a new connection is given for that."""

    adapters = adapters()
    connection = None


CONTEXT = EscapedContext()
