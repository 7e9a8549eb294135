"""Statecast as users of Flask-SocketIO call it: ``socketio.emit`` of ``statecast.socketio``.

The argument is the URL of the store.
"""

from __future__ import annotations

import json
import sys

from flask import Flask

from benchmarks.peers.ours import OPENED, emit
from benchmarks.processes import answer, raise_file_limit
from statecast.server.server import BackgroundServer
from statecast.socketio import SocketIO


def main(store: str) -> None:
    raise_file_limit()
    app = Flask(__name__)
    socketio = SocketIO(app, store=store, **OPENED)
    server = BackgroundServer(app.extensions["statecast"], app)
    server.start()
    answer(port=int(server.address.rpartition(":")[2]))
    for line in sys.stdin:
        emit(socketio, **json.loads(line))
    server.stop()


if __name__ == "__main__":
    main(sys.argv[1])
