"""From words and input to messages: what ``send`` sends. No terminal, no store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from statecast import names, strict_json
from statecast.errors import Malformed
from statecast.sources.embedded_queue import MESSAGE_BYTES

CHUNK = 65_536
PAGE = 256
"""Messages that go into the queue in one write, if that many are there."""


def compose(device: str, state: Mapping[str, Any], options: Mapping[str, Any]) -> bytes:
    """The message of ``send DEVICE``. Raises Malformed."""
    message = {"device": names.check(device), **options}
    if not options.get("delete"):
        message["state"] = state
    return strict_json.encode(strict_json.check(message))


def fields(words: Sequence[str]) -> dict[str, Any]:
    """The state that ``key=value ...`` or one JSON object says. Raises Malformed."""
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
        found[name] = value(text)
    return found


def value(text: str) -> Any:
    """JSON if it is JSON, else text. Raises Malformed for JSON that browsers would read in another way, like NaN."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return strict_json.decode(text)


def pages(stream: BinaryIO) -> Iterator[list[tuple[int, bytes]]]:
    """Messages as they arrive, with the number of the line where each begins; what is there together comes together.

    One message is one line, or several lines up to the end of its JSON value. A line that is not JSON stands alone.
    """
    found: list[tuple[int, bytes]] = []
    begun = Begun()
    rest = b""
    read = getattr(stream, "read1", stream.read)
    while chunk := read(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            found += begun.add(line)
            if len(found) >= PAGE:
                yield found
                found = []
        if found:
            yield found
            found = []
        if len(rest) > 2 * MESSAGE_BYTES:
            rest = rest[: 2 * MESSAGE_BYTES]  # it is refused for its size; do not gather all of it
    found += begun.add(rest)
    found += begun.end()
    if found:
        yield found


class Begun:
    """A message that may go on in the next line."""

    def __init__(self) -> None:
        self.number = 0
        self.first = 0
        self.lines: list[bytes] = []
        self.size = 0

    def add(self, line: bytes) -> Iterator[tuple[int, bytes]]:
        """Take a line; the messages that are complete now."""
        self.number += 1
        if not self.lines:
            yield from self._begin(line)
            return
        self.lines.append(line)
        self.size += len(line) + 1
        text = b"\n".join(self.lines)
        if incomplete(text) and self.size <= MESSAGE_BYTES:
            return
        if not complete(text) and line[:1] in (b"{", b"["):
            self.lines.pop()  # the one before broke off, this one is a message of its own
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
        if self.lines:
            yield self.first, b"\n".join(self.lines).strip()
        self.lines, self.size = [], 0


def complete(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def incomplete(text: bytes) -> bool:
    """Whether this may be the beginning of a JSON value: its reader stopped only because the text did."""
    decoded = text.decode("utf-8", "replace").rstrip()
    if not decoded.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(decoded)
    except json.JSONDecodeError as error:
        return error.pos >= len(decoded)
    except (ValueError, RecursionError):
        return False
    return False
