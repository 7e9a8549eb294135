"""Stands between a device and its server, and loses what a test tells it to lose."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Change = Callable[[dict[str, Any]], dict[str, Any]]


class Gate:
    """Passes requests on. What it keeps or changes is read for each request."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.lose_answers = False
        """Answers to commands do not reach the server."""
        self.lose_responses = False
        """They reach it, and the device does not learn that."""
        self.change: Change = lambda command: command
        """What the device gets of each command."""
        self.lost: list[dict[str, Any]] = []
        """Answers that were lost, or whose responses were."""
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (GateHandler,), {"gate": self})
        )
        self._server.daemon_threads = False  # closing waits for them, so that none is left behind
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fetch(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server_port, timeout=60)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if method == "GET" and response.status == 200:
            found = json.loads(content)
            found["commands"] = [self.change(one) for one in found["commands"]]
            content = json.dumps(found).encode()
        return response.status, content


class GateHandler(BaseHTTPRequestHandler):
    """One request through a gate."""

    gate: Gate
    timeout = 30

    def do_GET(self) -> None:
        self.pass_on(b"")

    def do_POST(self) -> None:
        self.pass_on(self.rfile.read(int(self.headers["Content-Length"])))

    def pass_on(self, body: bytes) -> None:
        self.close_connection = True
        gate, message = self.gate, json.loads(body) if body else {}
        is_answer = "outcome" in message
        if is_answer and gate.lose_answers:
            gate.lost.append(message)
            return
        try:
            status, content = gate.fetch(self.command, self.path, body)
        except (OSError, http.client.HTTPException):
            return  # the server is away, and so the connection breaks
        if is_answer and gate.lose_responses:
            gate.lost.append(message)
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        """The output of a test is about the test."""
