"""Serves a reader of events whose network goes away, and prints the counts of viewers.

It needs a network of its own: ``unshare --net --map-root-user python vanishing_reader.py``.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Flask

from statecast import Statecast
from statecast.flask import runtime_of
from statecast.server.server import BackgroundServer

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
"""From linux/sockios.h and linux/if.h."""


def set_loopback(up: bool) -> None:
    """Without it packets are lost in silence: no FIN, no RST, no acknowledgement."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))[1]
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags))


def wait_for(holds: Callable[[], bool]) -> None:
    while not holds():  # the test has a time limit
        time.sleep(0.02)


def main() -> None:
    set_loopback(up=True)
    app = Flask(__name__)
    live = Statecast(
        app,
        store="memory:",
        port=0,
        ping_interval=0.5,
        ping_timeout=0.5,
        write_timeout=0.5,
        shutdown_timeout=0.1,
    )
    live.set("pillow", mood="calm")
    server = BackgroundServer(runtime_of(app), app.wsgi_app)
    server.start()
    address = urlsplit(server.address)
    with socket.create_connection((address.hostname, address.port)) as reader:
        reader.sendall(b"GET /events?device=pillow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert reader.recv(1)
        wait_for(lambda: live.viewers("pillow").count == 1)
        print("comes", flush=True)
        set_loopback(up=False)
        wait_for(lambda: live.viewers("pillow").count == 0)
        print("is gone", flush=True)
    server.stop()


main()
