"""Serves a reader of events whose network goes away, and prints the counts of viewers.

It needs a network of its own: ``unshare --net --map-root-user python vanishing_reader.py``.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask

sys.path.append(str(Path(__file__).resolve().parent.parent))

from loopback import set_loopback
from statecast import Statecast
from statecast.flask import runtime_of
from statecast.server.server import BackgroundServer


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
