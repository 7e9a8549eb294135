"""The sources of the settings, to receive from and to send to; used by server, apps and commands.

Flask and the server are not imported here, so that ``statecast send`` starts fast.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property

from statecast.commands.routes import CommandRoutes
from statecast.decoders import OPTIONS, encodings, open_decoder
from statecast.decoders.decoder import Decoder
from statecast.decoders.plain import MAX_BYTES
from statecast.errors import BadSetting, Malformed, TooLarge
from statecast.model import Delivery
from statecast.settings import Settings
from statecast.sources import open_source
from statecast.sources.contract import Sender, Source, SourceContext
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.sources.url import split_options
from statecast.stores.contract import Store

COMMANDS = "commands"
"""The option of a source's URL that names the command queue of its devices."""


def decoder(settings: Settings) -> Decoder:
    """The decoder of the queue that messages are sent to, without opening the queue.

    Every source of the settings can be sent to, so it is that of the first one.
    """
    for url in settings.source:
        return open_decoder(split_options(url, OPTIONS)[1], url)
    return Decoder()


def check(settings: Settings, body: bytes) -> bytes:
    """The message as JSON, whatever its encoding. Raises TooLarge or Malformed.

    A message that the consumer would put into quarantine is refused before it is sent, so that its
    sender gets the reason.
    """
    return examine(settings, body)[0]


def examine(settings: Settings, body: bytes) -> tuple[bytes, list[str]]:
    """The message as ``check`` returns it, and a sentence for each part that will be left out."""
    body = encodings.unwrap(body)
    if len(body) > MAX_BYTES:
        raise TooLarge(f"The message has {len(body)} bytes; a message has at most {MAX_BYTES}.")
    decoded = decoder(settings)(Delivery("", body, 0))
    for refusal in decoded.refusals:
        raise Malformed(
            refusal.reason if refusal.item is None else f"Item {refusal.item}: {refusal.reason}"
        )
    return body, [sentence for change in decoded.changes for sentence in change.left_out]


def without_commands(url: str) -> tuple[str, str]:
    """A source's URL without its option ``commands``, and that option; "" without one."""
    address, options = split_options(url, (COMMANDS,))
    return address, options.get(COMMANDS, "")


def address_of(url: str) -> str:
    """The URL of a queue without its options."""
    return url.partition("?")[0]


class Outbox:
    """The sources of the settings. Each is opened once, at its first use."""

    def __init__(
        self, settings: Settings, store: Callable[[], Store], clock: Callable[[], int]
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self._opened: dict[str, tuple[Source, Decoder]] = {}
        self._command_queues: dict[str, Sender] = {}

    def open(self, url: str) -> tuple[Source, Decoder]:
        """The source of a URL, and its decoder. Raises BadSetting, Malformed."""
        if url not in self._opened:
            address, decoding = split_options(without_commands(url)[0], OPTIONS)
            self._opened[url] = self._open(address), open_decoder(decoding, url)
        return self._opened[url]

    def _open(self, address: str) -> Source:
        known = (*OPTIONS, COMMANDS)
        context = SourceContext(self.store, self.settings, os.environ, self.clock, known)
        return open_source(address, context)

    @cached_property
    def command_routes(self) -> CommandRoutes:
        """Which device has which command queue. Raises BadSetting."""
        found = {url: without_commands(url)[1] for url in self.settings.source}
        by_source = {self.open(url)[0].name: queue for url, queue in found.items() if queue}
        routes = CommandRoutes(self.settings.command_queues, by_source)
        taken = {address_of(url): "is a source and a command queue" for url in found}
        for url in routes.queues:
            if address_of(url) in taken:
                raise BadSetting(
                    f"The queue {address_of(url)!r} {taken[address_of(url)]}; "
                    "give the commands a queue of their own."
                )
            taken[address_of(url)] = "is a command queue twice, with different options"
        return routes

    def open_command_queue(self, url: str) -> Sender:
        """The queue into which commands are put. Raises BadSetting."""
        if url not in self._command_queues:
            queue = self._open(url)
            if not isinstance(queue, Sender):
                raise BadSetting(f"The command queue {address_of(url)!r} takes no messages.")
            self._command_queues[url] = queue
        return self._command_queues[url]

    @cached_property
    def queue(self) -> Sender:
        """The queue to send to: the first source that accepts messages, else one in the store."""
        for url in self.settings.source:
            source, _ = self.open(url)
            if isinstance(source, Sender):
                return source
        return EmbeddedQueue(self.store(), visibility_timeout=self.settings.visibility_timeout)

    def decoder_for(self, name: str) -> tuple[Decoder, int]:
        """The decoder of a source and the resolution of its clock in ms, to replay messages.

        For a source that the settings do not name (a polled function, a former queue) these are the
        defaults.
        """
        for url in self.settings.source:
            source, decode = self.open(url)
            if source.name == name:
                return decode, source.resolution
        return Decoder(), 1
