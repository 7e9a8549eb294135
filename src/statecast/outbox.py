"""The sources that the settings name, and what is sent to them: one way for the server, an app and the commands.

Nothing that serves is imported here: ``statecast send`` starts as fast as it can.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property

from statecast.decoders import OPTIONS, open_decoder
from statecast.decoders.decoder import Decoder
from statecast.decoders.plain import MAX_BYTES
from statecast.errors import Malformed, TooLarge
from statecast.model import Delivery
from statecast.settings import Settings
from statecast.sources import open_source
from statecast.sources.contract import Sender, Source, SourceContext
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.sources.url import split_options
from statecast.stores.contract import Store


def decoder(settings: Settings) -> Decoder:
    """What will read what is sent; known before a queue is opened. So far every source takes messages."""
    for url in settings.source:
        return open_decoder(split_options(url, OPTIONS)[1], url)
    return Decoder()


def check(settings: Settings, body: bytes) -> bytes:
    """The message itself. Raises TooLarge or Malformed.

    What the watcher would put into quarantine is refused here, where its sender can still be told.
    """
    if len(body) > MAX_BYTES:
        raise TooLarge(f"The message has {len(body)} bytes; a message has at most {MAX_BYTES}.")
    for refusal in decoder(settings)(Delivery("", body, 0)).refusals:
        raise Malformed(
            refusal.reason if refusal.item is None else f"Item {refusal.item}: {refusal.reason}"
        )
    return body


class Outbox:
    """What the settings name as ``source``; each is opened at first use, once."""

    def __init__(
        self, settings: Settings, store: Callable[[], Store], clock: Callable[[], int]
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self._opened: dict[str, tuple[Source, Decoder]] = {}

    def open(self, url: str) -> tuple[Source, Decoder]:
        """The source of a URL and what reads its messages. Raises BadSetting, Malformed."""
        if url not in self._opened:
            address, decoding = split_options(url, OPTIONS)
            context = SourceContext(self.store, self.settings, os.environ, self.clock, OPTIONS)
            self._opened[url] = open_source(address, context), open_decoder(decoding, url)
        return self._opened[url]

    @cached_property
    def queue(self) -> Sender:
        """What ``send`` writes to: the first source that takes messages, else a queue inside the store."""
        for url in self.settings.source:
            source, _ = self.open(url)
            if isinstance(source, Sender):
                return source
        return EmbeddedQueue(self.store(), visibility_timeout=self.settings.visibility_timeout)

    def reading(self, name: str) -> tuple[Decoder, int]:
        """What reads the messages of the source called ``name``, and its clock's resolution in ms: for a replay.

        Of a source that the settings do not name (a function in an app, a queue left behind) nothing special is known.
        """
        for url in self.settings.source:
            source, decode = self.open(url)
            if source.name == name:
                return decode, source.resolution
        return Decoder(), 1
