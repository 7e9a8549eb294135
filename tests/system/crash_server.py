"""A server that the crash test kills and starts again many times, in a process of its own.

    python crash_server.py STORE PORT

Everything is imported once. Each ``start`` on standard input forks a server, a real process with a
real port; ``kill`` ends it with SIGKILL. Each line is answered when it is done. A server of
``start fragile`` kills itself now and then between a command's way into its queue and the note
about it in the store.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import sys

from statecast.flask import create_app
from statecast.server.server import serve
from statecast.settings import Settings

FRAGILE = 0.05
"""How often a fragile server ends after it has put commands into a queue."""


def end_after_put(point: str) -> None:
    if point == "put" and random.SystemRandom().random() < FRAGILE:
        os.kill(os.getpid(), signal.SIGKILL)


def serve_until_killed(store: str, port: int, fragile: bool) -> None:
    settings = Settings(
        store=store,
        port=port,
        visibility_timeout=0.3,
        batch_size=16,
        connect_rate_limit=1000.0,
        commands_kept=1_000_000,  # the test compares all there ever were
        command_queues={"queued/*": "embedded:hugs"},
    )
    app = create_app(settings)
    live = app.extensions["statecast"]
    if fragile:
        live.make_dispatcher = functools.partial(live.make_dispatcher, reach=end_after_put)
    serve(live, app, announce=lambda line: None)


def main(store: str, port: int) -> None:
    child = 0
    for line in sys.stdin:
        word = line.strip()
        if word in ("start", "start fragile"):
            child = os.fork()
            if not child:
                serve_until_killed(store, port, word == "start fragile")
                os._exit(1)
        elif word == "kill":
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            # A server that ended in another way has a defect.
            word = (
                "killed"
                if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
                else f"ended {status}"
            )
        print(word, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
