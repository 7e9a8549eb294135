"""Statecast as its users call it: a Flask app, ``live.emit`` and ``live.set``.

The limits on connections are wide here, because all viewers of a benchmark come from one address.
The argument is the URL of the store. With a second one, ``rights``, a viewer may read the pillow
and a device of its own, which its request names: as many sets of rights as there are such names.
With ``tls`` and the files of a certificate and its key it serves https.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from flask import Flask

from benchmarks.processes import answer, raise_file_limit
from statecast.flask import Statecast
from statecast.server.server import BackgroundServer, collect_rarely

OPENED = {
    "port": 0,
    "max_connections": 30_000,
    "connections_per_address": 30_000,
    "connect_rate_limit": 1e6,
    "ping_interval": 600,
}

# The page of the latency in a browser: the client, one bound field, and the time of its change.
# The field is a text that begins with a letter, because numbers are formatted for people.
PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Latency</title>
<p id="at" data-live="pillow.at"></p>
<script>
  const latencies = [], shown = document.getElementById("at");
  new MutationObserver(() => {
    const now = performance.timeOrigin + performance.now();
    const sent = Number(shown.textContent.slice(1)) / 1000;
    if (sent) latencies.push(now - sent);
  }).observe(shown, { childList: true, characterData: true, subtree: true });
</script>
<script type="module" src="/statecast/bind.js"></script>
"""


def application(store: str, **settings: Any) -> tuple[Flask, Statecast]:
    app = Flask(__name__)
    live = Statecast(app, store=store, **OPENED, **settings)
    app.add_url_rule("/latency", view_func=lambda: PAGE)
    return app, live


def read_own(request: Any) -> dict[str, str]:
    """What a viewer may read."""
    own = request.args["own"]
    return {"pillow": "read", f"own/{own}": "read", f"own/{own}/*": "read"}


def emit(
    live: Any,
    rounds: int,
    data: Any,
    pause: float = 0,
    timed: bool = False,
    **command: Any,
) -> None:
    """``live`` is a Statecast, or a SocketIO. In a thread there is nothing to yield.

    ``timed``: each event carries the time of its emit.
    """
    for _ in range(rounds):
        live.emit("states", {"sent": time.monotonic_ns() // 1000} if timed else data)
        if pause:
            time.sleep(pause)


def change(
    live: Statecast, changes: int, pause: float, device: str = "pillow", fields: int = 0
) -> None:
    """Commit one state after the other, at even intervals. ``fields`` that stay come first."""
    if fields or not changes:
        live.set(device, count=-1, **{f"reading_{number}": "x" * 90 for number in range(fields)})
    due = time.monotonic()
    for number in range(changes):
        live.set(device, count=number, mood="happy")
        due += pause
        time.sleep(max(0.0, due - time.monotonic()))


def main(store: str, *options: str) -> None:
    raise_file_limit()
    files = options[1:] if "tls" in options else ()
    app, live = application(store, **dict(zip(("tls_cert", "tls_key"), files)))
    if "rights" in options:
        live.authorize(read_own)
    server = BackgroundServer(app.extensions["statecast"], app)
    server.start()
    collect_rarely()  # as ``live.run`` does, which needs the main thread
    answer(port=int(server.address.rpartition(":")[2]))
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "emit":
            emit(live, **command)
        else:
            del command["do"]
            change(live, **command)
            answer(done=True)
    server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
