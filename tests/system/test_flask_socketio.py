"""Flask-SocketIO's own tests, with one changed import."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tools import flask_socketio

ROOT = Path(__file__).resolve().parents[2]
TESTS = flask_socketio.tests(ROOT)
OTHERWISE = {
    # It asks for a Redis queue, and then for python-socketio's manager of it. Processes are
    # connected by their store here; the sentence of the refusal says so.
    "test_message_queue_options",
}
"""Those that cannot pass, each with its reason."""


@pytest.mark.skipif(TESTS is None and not os.environ.get("CI"), reason=flask_socketio.MISSING)
def test_flask_socketios_own_tests_pass(tmp_path: Path) -> None:
    # given its tests, in which only the import is another one
    assert TESTS is not None, flask_socketio.MISSING
    theirs = TESTS.read_text("utf-8")
    ours = theirs.replace("from flask_socketio import", "from statecast.socketio import")
    assert ours != theirs
    (tmp_path / "test_socketio.py").write_text(ours, "utf-8")

    # when they run, in a process of their own: they have global variables
    report = tmp_path / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
    ]
    ran = subprocess.run(
        [*command, "test_socketio.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )

    # then all pass but those that cannot
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = {str(one.get("name")) for one in cases if one.find("failure") is not None}
    assert len(cases) == 43
    assert failed == OTHERWISE, ran.stdout[-4_000:]
    # and nothing was written beside them
    assert {one.name for one in tmp_path.iterdir()} <= {
        *("test_socketio.py", "report.xml", "__pycache__"),
    }
