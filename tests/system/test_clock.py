"""``examples/clock`` and the design's own snippet, as a user would run them.

Real processes, a real browser.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import ADDRESS, ENVIRONMENT, ServerProcess

from statecast.stores import open_store

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples" / "clock"
REMEMBER = """
    window.heard = []
    new MutationObserver(() => heard.push(document.querySelector('#test').textContent))
        .observe(document.querySelector('#test'), {childList: true})
"""
TICKS = 6
SNIPPET = """
app = Flask(__name__)
live = Statecast(app)

@live.poll("clock", every=1.0)            # the background thread of the first version
def clock():
    return {"time": time.strftime("%X")}

live.set("pillow", mood="happy")          # from any thread or route

if __name__ == "__main__":
    live.run(app)                         # what socketio.run(app) was
"""


class Script(ServerProcess):
    """A program of a user's own that ends in ``live.run(app)``."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder = folder
        variables = {"STATECAST_PORT": "0", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, program], cwd=folder, env=ENVIRONMENT | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.output = []
        self.address = self._address()


def ask(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)


def visit(browser: Any, address: str) -> Any:
    page = browser.new_context().new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    assert asked and all(url.startswith(f"{address}/") for url in asked), asked
    assert page.text_content("#test") == "Hello" or ":" in page.text_content("#test")
    page.evaluate(REMEMBER)
    return page


def hear(page: Any, count: int) -> list[str]:
    """The next texts of the paragraph."""
    before = page.evaluate("heard.length")
    page.wait_for_function(f"heard.length >= {before + count}", timeout=30_000)
    return list(page.evaluate(f"heard.slice({before}, {before + count})"))


@pytest.fixture
def clocks(tmp_path: Path) -> Iterator[list[Script]]:
    """Two processes of the example, in one folder: on one store."""
    started = [Script(tmp_path, EXAMPLE / "app.py")]
    try:
        started.append(Script(tmp_path, EXAMPLE / "app.py"))
        yield started
    finally:
        for one in started:
            one.kill()


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Script]:
    """The example, for tests that do not stop it."""
    started = Script(tmp_path_factory.mktemp("clock"), EXAMPLE / "app.py")
    try:
        yield started
    finally:
        started.kill()


@pytest.mark.browser
@pytest.mark.parametrize("missing", ["jquery.min.js", "socket.io.min.js", "*"])
def test_a_page_without_its_scripts_says_what_is_missing(
    browser: Any, node: Any, clock: Script, missing: str
) -> None:
    page = browser.new_context().new_page()
    page.route(f"**/static/vendor/{missing}", lambda route: route.fulfill(status=404))
    page.goto(clock.address)
    assert page.text_content("#test") == (
        "Two scripts are missing in static/vendor; `make examples` in the clone puts them there."
    )


@pytest.mark.browser
def test_the_paragraph_changes_every_second_and_two_processes_do_not_double_it(
    browser: Any, node: Any, clocks: list[Script]
) -> None:
    # given a browser at each of two processes
    first, second = (visit(browser, one.address) for one in clocks)

    # then the paragraph changes, and each second comes once (a call may be late, and its second
    # come again)
    for page in (first, second):
        heard = hear(page, TICKS)
        assert all(re.fullmatch(r"\d\d:\d\d:\d\d", text) for text in heard)
        assert len(set(heard)) >= TICKS - 1, heard

    # and one process asks for the time, the other stands by
    store = open_store(f"sqlite:///{clocks[0].folder / 'statecast.db'}", begin_epoch=False)
    asking = [
        process for process, report in store.reports().items() if "clock" in report["sources"]
    ]
    store.close()
    assert len(asking) == 1

    # and the stock client with its default options began with polling and went on with WebSocket
    assert first.evaluate(
        "socket.io.opts.transports === undefined || socket.io.opts.transports[0] === 'polling'"
    )
    first.wait_for_function("socket.io.engine.transport.name === 'websocket'")

    # when either process ends, then the other goes on
    assert clocks[0].terminate() == 143
    assert hear(second, 2)


@pytest.mark.browser
@pytest.mark.parametrize("form", ["original", "state"])
def test_the_other_forms_of_the_clock_tick_too(
    browser: Any, node: Any, tmp_path: Path, form: str
) -> None:
    clock = ServerProcess(tmp_path, f"{form}:app", "--port", "0", PYTHONPATH=str(EXAMPLE))
    try:
        heard = hear(visit(browser, clock.address), 2)
        assert all(re.fullmatch(r"\d\d:\d\d:\d\d", text) for text in heard)
    finally:
        clock.kill()


@pytest.mark.browser
def test_the_clock_is_a_device_with_a_page_of_its_own(
    browser: Any, node: Any, tmp_path: Path
) -> None:
    clock = ServerProcess(
        tmp_path, f"{EXAMPLE.name}.app:app", "--port", "0", PYTHONPATH=str(EXAMPLE.parent)
    )
    try:
        # given the example under `statecast run`, and a browser that has seen it tick
        hear(visit(browser, clock.address), 1)

        # then REST knows the time, and so does the page below /statecast
        state = ask(f"{clock.address}/api/devices/clock")["state"]
        assert re.fullmatch(r"\d\d:\d\d:\d\d", state["time"])
        page = browser.new_page()
        page.goto(f"{clock.address}/statecast/")
        assert "clock" in page.title()
        page.wait_for_function("document.body.innerText.includes('clock')")
        assert clock.terminate() == 143
    finally:
        clock.kill()


def test_the_snippet_of_the_design_runs_as_it_stands(tmp_path: Path) -> None:
    # given the ten lines, and the imports they mean
    program = tmp_path / "pillow.py"
    program.write_text(
        f"import time\n\nfrom flask import Flask\n\nfrom statecast import Statecast\n{SNIPPET}"
    )
    running = Script(tmp_path, program)
    try:
        # then the state that was set is there, and the polled one comes
        assert ask(f"{running.address}/api/devices/pillow")["state"] == {"mood": "happy"}
        store = open_store(f"sqlite:///{tmp_path / 'statecast.db'}", begin_epoch=False)
        while store.get("clock") is None:
            store.wait(5)
        store.close()
        assert set(ask(f"{running.address}/api/devices/clock")["state"]) == {"time"}
        assert running.terminate() == 143
    finally:
        running.kill()


def test_an_app_that_may_not_be_reached_says_so_in_a_sentence(tmp_path: Path) -> None:
    variables = {"STATECAST_HOST": "0.0.0.0", "STATECAST_PORT": "0"}
    program = EXAMPLE / "app.py"
    ended = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env=ENVIRONMENT | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Statecast: ") and "public" in ended.stderr
    assert "Traceback" not in ended.stderr and not ADDRESS.search(ended.stdout)
