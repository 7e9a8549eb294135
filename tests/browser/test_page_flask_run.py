"""Under ``flask run``: the pages at the address that Flask prints are live."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from azurite_server import free_port
from child_process import started
from tests.browser.site import Eyes

pytestmark = pytest.mark.browser

APP = """
import flask
from statecast import Statecast

app = flask.Flask(__name__)
live = Statecast(app)

@app.get("/")
def mine():
    return (
        "<!doctype html><title>Mine</title><script type=module src=/statecast/bind.js></script>"
        "<b data-live=pillow.mood></b>"
    )
"""


@pytest.fixture
def flask_address(tmp_path: Path) -> Iterator[str]:
    """The address of Flask's own server, once Statecast is live beside it."""
    (tmp_path / "app.py").write_text(APP)
    port = free_port()
    command = [sys.executable, "-m", "flask", "run", "-p", str(port)]
    settings = {"STATECAST_PORT": "0", "STATECAST_STORE": f"sqlite:///{tmp_path / 'store.db'}"}
    with started(
        command, cwd=tmp_path, env=os.environ | settings, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr
        assert any(line.startswith(" * Statecast is live at ") for line in process.stderr)
        yield f"http://127.0.0.1:{port}"


def send(address: str, **state: Any) -> None:
    body = json.dumps({"device": "pillow", "state": state}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/api/messages", body, headers)
    assert urllib.request.urlopen(request, timeout=20).status == 202


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_pages_at_flasks_own_address_are_live(browser: Any, flask_address: str, name: str) -> None:
    # given an app under `flask run`, and the address that Flask prints
    send(flask_address, mood="happy", hugged=False)
    eyes = Eyes(browser, flask_address.replace("127.0.0.1", name))
    try:
        # then a page of ours is live there, and a click on it is answered
        page = eyes.visit("/statecast/")
        page.get_by_role("button", name="Hug pillow").click()
        page.wait_for_selector("#device .cloud[data-hugged]")
        assert page.evaluate("window.seen.violations") == []

        # and a live field of the app's own page changes
        page = eyes.visit("/", live=False)
        page.wait_for_selector("b:text('happy')")
        send(flask_address, mood="sad")
        page.wait_for_selector("b:text('sad')")
        assert not eyes.errors
    finally:
        eyes.close()
