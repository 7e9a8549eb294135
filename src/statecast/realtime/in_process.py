"""What carries the session of a client in the process of a test: no network lies between.

``statecast.testing`` and ``statecast.socketio`` have clients on it.
"""

from __future__ import annotations

from typing import Any, Protocol

from statecast import strict_json
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.http.head import RequestHead
from statecast.realtime import encoding
from statecast.realtime.protocol import engineio
from statecast.realtime.protocol import socketio as packets

PATH = "/socket.io/"


class InProcessClient(Protocol):
    """Receives what the server sends."""

    def take(self, packet: packets.SocketIOPacket) -> None:
        """Receive a packet."""

    def close(self) -> None:
        """The server ends the session."""


class InProcessTransport:
    """Packets are encoded by the server's code, and read as a real client reads them."""

    def __init__(self, client: InProcessClient) -> None:
        self.paused = False
        self.address = "127.0.0.1"
        self._client = client
        self._partial: packets.PartialPacket | None = None

    def send(self, packet: bytes) -> None:
        kind, text = packet[:1], packet.decode()[1:]
        if kind != str(engineio.MESSAGE).encode():  # a ping, for example
            return
        if text.startswith(str(packets.CONNECT_ERROR)):  # which no client sends
            self._client.take(_connect_error(text[1:]))
            return
        parsed = packets.parse(text)
        if isinstance(parsed, packets.PartialPacket):
            self._partial = parsed
        else:
            self._client.take(parsed)

    def send_binary(self, data: bytes) -> None:
        whole = self._partial.add(data) if self._partial is not None else None
        if whole is not None:
            self._partial = None
            self._client.take(whole)

    outlet = compression = None
    """Each message is taken at once, as it is."""

    def offer(self, message: OutgoingMessage) -> bool:
        self.send(encoding.packet(message))
        for attachment in message.attachments:
            self.send_binary(attachment)
        return True

    def deliver(self, message: OutgoingMessage) -> None:
        self.offer(message)

    def close(self, code: int, reason: str) -> None:
        self._client.close()

    def reschedule(self) -> None:
        """Nothing has a deadline here."""


def _connect_error(text: str) -> packets.SocketIOPacket:
    name, _, rest = text.partition(",") if text.startswith("/") else ("/", "", text)
    data = strict_json.decode(rest.encode()) if rest else None
    return packets.SocketIOPacket(packets.CONNECT_ERROR, name, None, data)


def request_head(query: str, headers: Any, flask_client: Any = None) -> RequestHead:
    """The head of the request with which a session begins; a Flask test client adds its cookies."""
    from werkzeug.test import EnvironBuilder

    if flask_client is not None:
        answer = flask_client.get(PATH, query_string=query, headers=headers)
        environ = answer.request.environ
    else:
        environ = EnvironBuilder(path=PATH, query_string=query, headers=headers).get_environ()
    fields = {
        variable[5:].replace("_", "-").lower().encode(): (str(value).encode("latin-1"),)
        for variable, value in environ.items()
        if variable.startswith("HTTP_")
    }
    return RequestHead("GET", PATH, query.encode("latin-1"), fields, secure=False, local=True)
