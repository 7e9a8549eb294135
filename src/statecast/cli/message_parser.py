"""Parses arguments and standard input of ``send`` into messages. Uses no terminal and no store."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from statecast import names, strict_json
from statecast.decoders import encodings
from statecast.errors import Malformed
from statecast.sources.embedded_queue import MESSAGE_BYTES

CHUNK = 65_536
MAX_BATCH = 256
"""Messages that are sent in one write."""


def compose(device: str, state: Mapping[str, Any], options: Mapping[str, Any]) -> bytes:
    """The message for ``send DEVICE``. Raises Malformed."""
    message = {"device": names.check(device), **options}
    if not options.get("delete"):
        message["state"] = state
    return strict_json.check_and_encode(message)


def parse_state(words: Sequence[str]) -> dict[str, Any]:
    """The state of ``key=value ...``, or of one JSON object. Raises Malformed."""
    if len(words) == 1 and words[0].startswith("{"):
        state: dict[str, Any] = strict_json.decode(words[0])
        return state
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not name or not equals:
            raise Malformed(f"{names.quoted(word)} is not a field; write it like mood=happy.")
        if name in found:
            raise Malformed(f"The field {names.quoted(name)} is given twice.")
        found[name] = parse_value(text)
    return found


def parse_value(text: str) -> Any:
    """A JSON value, or the text itself if it is not JSON.

    Raises Malformed for JSON that browsers read differently, like NaN.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return strict_json.decode(text)


def batches(stream: BinaryIO) -> Iterator[list[tuple[int, bytes]]]:
    """Messages with the number of their first line, in batches of what has arrived.

    A message is one line, or several lines up to the end of its JSON value. A line that is neither
    JSON nor Base64 is a message of its own, to be refused later.
    """
    found: list[tuple[int, bytes]] = []
    splitter = MessageSplitter()
    rest = b""
    for chunk in utf8_chunks(stream):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            found += splitter.add(line)
            if len(found) >= MAX_BATCH:
                yield found
                found = []
        if found:
            yield found
            found = []
        if len(rest) > 2 * MESSAGE_BYTES:
            rest = rest[: 2 * MESSAGE_BYTES]  # too long to be accepted; keep no more of it
    found += splitter.add(rest)
    found += splitter.end()
    if found:
        yield found


def utf8_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """What has arrived, in UTF-8. PowerShell, for one, writes files in UTF-16.

    Raises Malformed.
    """
    read = getattr(stream, "read1", stream.read)
    start = b""
    while len(start) < 4 and (chunk := read(CHUNK)):  # the first four bytes say the encoding
        start += chunk
    charset = encodings.charset_of(start)
    if charset is None or charset == "utf-8":
        yield start.removeprefix(codecs.BOM_UTF8)
        yield from iter(lambda: read(CHUNK), b"")
        return
    decoder = codecs.getincrementaldecoder(charset)()
    try:
        yield decoder.decode(start).removeprefix("\ufeff").encode()
        while chunk := read(CHUNK):
            yield decoder.decode(chunk).encode()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise Malformed(
            f"The input is not text in {charset.upper()[:6]}, as which it begins; send UTF-8."
        ) from None


class MessageSplitter:
    """Joins lines into messages. Holds a message that may continue in the next line."""

    def __init__(self) -> None:
        self.number = 0
        """Of the current line, from 1."""
        self.first = 0
        """Number of the message's first line."""
        self.lines: list[bytes] = []
        self.size = 0

    def add(self, line: bytes) -> Iterator[tuple[int, bytes]]:
        """Add a line; return the messages that it completes."""
        self.number += 1
        if not self.lines:
            yield from self._begin(line)
            return
        self.lines.append(line)
        self.size += len(line) + 1
        text = b"\n".join(self.lines)
        if incomplete(text) and self.size <= MESSAGE_BYTES:
            return
        if not complete(text) and encodings.begun(line):
            self.lines.pop()  # the earlier message is cut off; this line begins another
            yield from self.end()
            yield from self._begin(line)
        else:
            yield from self.end()

    def _begin(self, line: bytes) -> Iterator[tuple[int, bytes]]:
        if not line.strip():
            return
        self.first, self.lines, self.size = self.number, [line], len(line)
        if not incomplete(line) or self.size > MESSAGE_BYTES:
            yield from self.end()

    def end(self) -> Iterator[tuple[int, bytes]]:
        """Return the message that was begun, complete or not."""
        if self.lines:
            yield self.first, b"\n".join(self.lines).strip()
        self.lines, self.size = [], 0


def complete(text: bytes) -> bool:
    """Whether this is a whole JSON value, as it is or in Base64."""
    try:
        json.loads(encodings.begun(text) or text)
    except (ValueError, RecursionError):
        return False
    return True


def incomplete(text: bytes) -> bool:
    """Whether this may be the start of a JSON value: the parser failed at the end of the text.

    Base64 is broken into lines of one length; a shorter line is the last.
    """
    decoded = encodings.begun(text)
    if not decoded:
        return False
    if not text.lstrip().startswith((b"{", b"[")):
        first, *others = text.split(b"\n")
        return not complete(text) and len((others or [first])[-1]) == len(first)
    try:
        json.loads(decoded)
    except json.JSONDecodeError as error:
        return error.pos >= len(decoded)
    except (ValueError, RecursionError):
        return False
    return False
