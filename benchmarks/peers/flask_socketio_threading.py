"""Flask-SocketIO with threads and werkzeug's server, as ``socketio.run(app)`` uses them."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

import flask
import flask_socketio
from werkzeug.serving import WSGIRequestHandler, make_server

from benchmarks.processes import answer, raise_file_limit


class Quiet(WSGIRequestHandler):
    """Logs no request: nor do the others."""

    def log_request(self, *arguments: object) -> None: ...


def main() -> None:
    raise_file_limit()
    app = flask.Flask(__name__)
    socketio = flask_socketio.SocketIO(app, async_mode="threading", ping_interval=600)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answer(port=server.server_port)
    for line in sys.stdin:
        command = json.loads(line)
        for _ in range(command["rounds"]):
            socketio.emit("states", command["data"])
            if command.get("pause"):
                time.sleep(command["pause"])
    os._exit(0)  # threads still wait for their clients


if __name__ == "__main__":
    main()
