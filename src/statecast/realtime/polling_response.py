"""The response to a request of a session on long polling, which may be a gzip stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from statecast.http.asgi import Headers
from statecast.realtime.polling_queue import WaitingPacket
from statecast.realtime.protocol import engineio, gzip_stream

SEPARATOR = engineio.SEPARATOR.encode()


class PollingResponse(NamedTuple):
    """Its body, and how that is coded."""

    body: bytes
    gzip: bool = False

    @classmethod
    def of(cls, packets: Sequence[WaitingPacket], *, takes_gzip: bool) -> PollingResponse:
        """The packets in one payload; without any a packet that says nothing."""
        if takes_gzip and any(one.compressed is not None for one in packets):
            return cls(gzip_stream.whole(_parts(packets)), gzip=True)
        return cls(SEPARATOR.join(one.packet for one in packets) or engineio.NOOP_PACKET)

    @property
    def headers(self) -> Headers:
        return [gzip_stream.VARY, gzip_stream.FIELD] if self.gzip else [gzip_stream.VARY]


def _parts(packets: Sequence[WaitingPacket]) -> Iterator[tuple[bytes, bytes]]:
    """What the payload consists of, and the blocks of each, which are those of all sessions."""
    for number, waiting in enumerate(packets):
        if number:
            yield SEPARATOR, gzip_stream.stored(SEPARATOR)
        packet = waiting.packet
        yield packet, waiting.compressed or gzip_stream.stored(packet)
