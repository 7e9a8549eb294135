"""A stock client of python-socketio that reconnects for sure.

The library's own loop is not started when the connection is cut again before the attempt that made
it has ended (``_handle_eio_disconnect`` sees a task that is about to end). The client then stays
away for good. So the loop is ours.

``connect`` sets ``connected`` last. If the connection ends before that, the client takes itself for
connected without a connection, and refuses every further ``connect``. So the loop resets it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import socketio


def client() -> socketio.Client:
    return socketio.Client(reconnection=False)


@contextmanager
def connected(
    client: socketio.Client, address: str, transports: list[str] | None, pause: float = 0.0
) -> Iterator[None]:
    """The client connects, and again ``pause`` seconds after each end, on a thread of its own."""
    stop = threading.Event()

    def stay() -> None:
        while not stop.wait(pause):
            client.connected = client.connected and client.eio.state == "connected"
            with suppress(socketio.exceptions.ConnectionError):
                client.connect(address, transports=transports, wait=False)
                client.eio.wait()  # client.wait() would sleep for a second at each end

    thread = threading.Thread(target=stay)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        client.shutdown()
        thread.join(10)
