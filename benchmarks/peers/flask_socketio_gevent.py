"""Flask-SocketIO with gevent and gevent-websocket, as ``socketio.run(app)`` uses them."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

import flask  # noqa: E402
import flask_socketio  # noqa: E402
import gevent  # noqa: E402
from gevent import fileobject, pywsgi  # noqa: E402
from geventwebsocket.handler import WebSocketHandler  # noqa: E402

from benchmarks.processes import answer, raise_file_limit  # noqa: E402


def main() -> None:
    raise_file_limit()
    app = flask.Flask(__name__)
    socketio = flask_socketio.SocketIO(app, async_mode="gevent", ping_interval=600)
    server = pywsgi.WSGIServer(("127.0.0.1", 0), app, handler_class=WebSocketHandler, log=None)
    server.start()
    answer(port=server.server_port)
    for line in fileobject.FileObject(sys.stdin.fileno(), "rb", close=False):
        command = json.loads(line)
        for _ in range(command["rounds"]):
            socketio.emit("states", command["data"])
            if command.get("pause") or command.get("yields", True):
                gevent.sleep(command.get("pause", 0))
    os._exit(0)  # greenlets still wait for their clients


if __name__ == "__main__":
    main()
