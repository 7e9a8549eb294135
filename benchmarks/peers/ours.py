"""Statecast: the server of ``statecast run`` with a Flask app, its bounds on connections opened for a benchmark.

All viewers come from one address here, which is what these bounds are against. The argument is the store's URL.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from flask import Flask

from benchmarks.processes import answer, raise_file_limit
from statecast import strict_json
from statecast.broadcast.broadcaster import Broadcaster
from statecast.flask import Statecast
from statecast.realtime.hub import Hub
from statecast.runtime import Runtime
from statecast.server.server import BackgroundServer

OPENED = {
    "port": 0,
    "max_connections": 20_000,
    "connections_per_address": 20_000,
    "connect_rate_limit": 1e6,
    "ping_interval": 600,
}

# What the browser's part of the latency is measured on: our script, one bound field, and the time at which it changed.
# The field is a text with a letter in front, because a number is shown as people read it.
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


def application(store: str) -> Flask:
    app = Flask(__name__)
    Statecast(app, store=store, **OPENED)
    app.add_url_rule("/latency", view_func=lambda: PAGE)
    return app


def remembered_hub(runtime: Runtime) -> list[Hub]:
    """Where the hub appears that the server will build: the events below are emitted on its loop."""
    made: list[Hub] = []
    build = runtime.hub

    def hub(broadcaster: Broadcaster) -> Hub:
        made.append(build(broadcaster))
        return made[-1]

    runtime.hub = hub  # type: ignore[method-assign]
    return made


async def emit(hub: Hub, rounds: int, data: Any) -> None:
    for _ in range(rounds):
        hub.emit("/", None, "states", strict_json.encode([data]))
        await asyncio.sleep(0)
    if hub.dropped_emits:
        answer(error=f"{hub.dropped_emits} deliveries were dropped: the viewers did not keep up")


def main(store: str) -> None:
    raise_file_limit()
    app = application(store)
    runtime = app.extensions["statecast"]
    hubs = remembered_hub(runtime)
    server = BackgroundServer(runtime, app)
    server.start()
    answer(port=int(server.address.rpartition(":")[2]))
    for line in sys.stdin:
        command = json.loads(line)
        (hub,) = hubs
        assert hub.loop is not None
        asyncio.run_coroutine_threadsafe(
            emit(hub, command["rounds"], command["data"]), hub.loop
        ).result()
    server.stop()


if __name__ == "__main__":
    main(sys.argv[1])
