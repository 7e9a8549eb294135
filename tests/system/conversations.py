"""What is said to the examples that are written for Flask-SocketIO, and what they answered there.

``python -m tests.system.conversations PYTHON`` records the transcripts again from Flask-SocketIO:
PYTHON is an interpreter of an environment that has it, with its extras::

    python -m venv /tmp/theirs
    /tmp/theirs/bin/pip install flask-socketio==5.7.0 simple-websocket flask-login
    python -m tests.system.conversations /tmp/theirs/bin/python

With two processes, what is said in one reaches the other a moment later, in the order of saying it.
So when someone enters a room into which something was just said, a step between says something
that all hear, and no one connects after something was said to all.

Each step names who does what. The transcript has, indented below the step, what each client heard.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.azurite_server import free_port
from tests.waiting import wait_for
from tools import javascript

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).parent / "conversation.js"
TRANSCRIPTS = Path(__file__).parent / "transcripts"
OURS = re.compile(r"^from statecast\.socketio import", re.MULTILINE)
THEIRS = "from flask_socketio import"
VERSION = "5.7.0"

Step = list[Any]

APPS = {
    "rooms": ROOT / "examples" / "flask-socketio" / "rooms.py",
    "namespaces": ROOT / "examples" / "flask-socketio" / "namespaces.py",
    "login": ROOT / "examples" / "flask-socketio" / "login.py",
    "chat": ROOT / "examples" / "chat" / "app.py",
}

CONVERSATIONS: dict[str, list[Step]] = {
    "rooms": [
        ["eve", "connect", "/", {"auth": {"token": "wrong"}}],
        ["ada", "connect"],
        ["bob", "connect", "/", {"auth": {"token": "right"}}],
        ["ada", "tell", "my_event", {"data": "one"}],
        ["ada", "tell", "my_event", {"data": "two"}],
        ["bob", "tell", "my_event", {"data": "a count of his own"}],
        ["ada", "ask", "my_broadcast_event", {"data": "to all"}],
        ["bob", "ask", "my_others_event", {"data": "to the others"}],
        ["ada", "ask", "join", {"room": "attic"}],
        ["bob", "ask", "join", {"room": "attic"}],
        ["ada", "ask", "join", {"room": "cellar"}],
        ["bob", "ask", "my_room_event", {"room": "attic", "data": "in the attic"}],
        ["bob", "ask", "my_room_event", {"room": "cellar", "data": "in the cellar"}],
        ["bob", "ask", "my_room_event", {"room": "garden", "data": "it is empty"}],
        ["ada", "ask", "leave", {"room": "attic"}],
        ["bob", "ask", "my_room_event", {"room": "attic", "data": "alone"}],
        ["bob", "ask", "my_others_event", {"data": "that was said in the attic"}],
        ["ada", "ask", "join", {"room": "attic"}],
        ["ada", "ask", "close_room", {"room": "attic"}],
        ["ada", "ask", "my_room_event", {"room": "attic", "data": "the room is gone"}],
        ["bob", "ask", "my_ping"],
        ["ada", "ask", "my_bytes", {"hex": "00ff10"}, "and a text"],
        ["ada", "tell", "my_question", "really?"],
        ["ada", "tell", "my_task", 3],
        ["bob", "ask", "no_such_event", 1, {"two": [2, None, 2.5]}],
        ["bob", "tell", "disconnect_request"],
        ["ada", "ask", "my_broadcast_event", {"data": "who is left?"}],
        ["ada", "ask", "my_ping"],
    ],
    "namespaces": [
        ["ada", "connect", "/test"],
        ["bob", "connect", "/test"],
        ["eve", "connect", "/other"],
        ["cid", "connect", "/other", {"auth": {"name": "Cid"}}],
        ["ada", "tell", "my_event", {"data": "one"}],
        ["ada", "tell", "my_event", {"data": "two"}],
        ["bob", "tell", "my_event", {"data": "one of bob"}],
        ["ada", "ask", "my_broadcast_event", {"data": "to all of /test"}],
        ["ada", "ask", "join", {"room": "attic"}],
        ["bob", "ask", "join", {"room": "attic"}],
        ["ada", "ask", "my_room_event", {"room": "attic", "data": "not to me"}],
        ["bob", "ask", "leave", {"room": "attic"}],
        ["bob", "ask", "join", {"room": "attic"}],
        ["bob", "ask", "close_room", {"room": "attic"}],
        ["ada", "ask", "my_room_event", {"room": "attic", "data": "the room is gone"}],
        ["ada", "tell", "my_message", "a text"],
        ["cid", "ask", "divide", 7, 2],
        ["cid", "ask", "divide", 7, 0],
        ["cid", "disconnect"],
        ["bob", "tell", "disconnect_request"],
        ["ada", "ask", "my_ping"],
    ],
    "login": [
        ["ada", "GET", "/session"],
        ["ada", "POST", "/login", {"name": "ada"}],
        ["ada", "GET", "/session"],
        ["ada", "connect", "/", {"query": {"color": "blue"}}],
        ["eve", "connect"],
        ["ada", "tell", "get-session"],
        ["eve", "tell", "get-session"],
        ["ada", "ask", "set-session", {"session": "from an event"}],
        ["ada", "tell", "get-session"],
        ["ada", "GET", "/session"],
        ["ada", "ask", "headers"],
        ["ada", "POST", "/logout"],
        ["ada", "tell", "get-session"],
        ["ada", "disconnect"],
        ["ada", "connect"],
        ["ada", "ask", "headers"],
        ["eve", "ask", "set-session", {"user": "eve"}],
        ["eve", "tell", "get-session"],
        ["eve", "ask", "secret", "psst"],
        ["eve", "ask", "set-session", {}],
        ["eve", "tell", "secret", "who am I?"],
    ],
    "chat": [
        ["anna", "POST", "/login", {"name": "anna"}],
        ["anna", "connect"],
        ["anna.game", "connect", "/game"],
        ["other", "connect"],
        ["other", "ask", "join", "attic"],
        ["other", "tell", "message", "I am in the attic."],
        ["anna", "ask", "join", "attic"],
        ["anna", "tell", "say", "attic", "hello"],
        ["other", "ask", "leave", "attic"],
        ["anna", "tell", "say", "attic", "alone"],
        ["other", "tell", "message", "good night"],
        ["other", "tell", "count", 3],
        ["anna.game", "ask", "move", 26],
        ["anna.game", "ask", "move", 13],
        ["other", "ask", "join", "cellar"],
        ["other", "tell", "message", "I am in the cellar."],
        ["anna", "ask", "join", "cellar"],
    ],
}


def on_flask_socketio(app: Path) -> str:
    """The app with the one line changed that imports the library."""
    source = app.read_text("utf-8")
    changed, number = OURS.subn(THEIRS, source)
    assert number == 1, f"{app} imports statecast.socketio in {number} lines"
    return changed


def hold(address: str, transports: str, steps: list[Step], expected: Any = None) -> str:
    """Hold a conversation; its transcript."""
    ran = subprocess.run(
        [javascript.find(ROOT), SCRIPT, address, transports],
        input=json.dumps({"steps": steps, "expected": expected}),
        env={**os.environ, "NODE_PATH": str(javascript.modules(ROOT))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return transcript(steps, json.loads(ran.stdout))


def transcript(steps: list[Step], heard: list[dict[str, list[str]]]) -> str:
    lines = []
    for (name, action, *data), step in zip(steps, heard):
        lines.append(" ".join([name, action, *map(json.dumps, data)]))
        for who, what in sorted(step.items()):
            lines += [f"    {who} < {one}" for one in what]
    return "\n".join(lines) + "\n"


def recorded(name: str) -> str:
    """The transcript of Flask-SocketIO."""
    return (TRANSCRIPTS / f"{name}.txt").read_text("utf-8")


def counts(text: str) -> list[dict[str, int]]:
    """How many things each client heard in each step."""
    found: list[dict[str, int]] = []
    for line in text.splitlines():
        if not line.startswith("    "):
            found.append({})
        else:
            who = line.split(" < ")[0].strip()
            found[-1][who] = found[-1].get(who, 0) + 1
    return found


# Recording

RUN = """
import importlib.metadata, sys
sys.path.insert(0, sys.argv[1])
assert importlib.metadata.version("flask-socketio") == sys.argv[3]
import app
app.socketio.run(app.app, port=int(sys.argv[2]), allow_unsafe_werkzeug=True)
"""


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def record(python: str, name: str) -> None:
    """Write the transcript of one app on Flask-SocketIO; both transports must say the same."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(on_flask_socketio(APPS[name]), "utf-8")
        port = free_port()
        command = [python, "-c", RUN, folder, str(port), VERSION]
        server = subprocess.Popen(command, cwd=folder)
        try:
            wait_for(lambda: answers(port), "The app with Flask-SocketIO did not start.")
            steps = CONVERSATIONS[name]
            found = [
                hold(f"http://127.0.0.1:{port}", kind, steps) for kind in ("default", "websocket")
            ]
        finally:
            server.terminate()
            server.wait()
    if len(set(found)) > 1:
        raise SystemExit(f"Flask-SocketIO itself says {name} in different ways:\n{found}")
    (TRANSCRIPTS / f"{name}.txt").write_text(found[0], "utf-8")
    print(f"recorded {name}")


if __name__ == "__main__":
    for conversation in sys.argv[2:] or CONVERSATIONS:
        record(sys.argv[1], conversation)
