"""Seven servers with one Flask app: the address that each prints is live in Chromium.

Ours and Flask's serve viewers themselves. gunicorn, waitress and uWSGI only answer pages, beside a
``statecast run`` on the same store, with the commands of the how-to. All are started once.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import nginx_server
from azurite_server import free_port
from child_process import started
from statecast.stores import open_store
from statecast.stores.contract import Store
from tests.browser.site import Eyes
from waiting import wait_for

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "how-to" / "other-servers.md"
APP = """
import os
import flask
from statecast import Statecast
from werkzeug.middleware.proxy_fix import ProxyFix

client = os.environ["STOCK_CLIENT"]
app = flask.Flask(__name__, static_folder=client, static_url_path="/static")
app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)
live = Statecast(app)
# The store is open before a server with --preload starts its workers.
live.set("begun", by=os.environ["NAME"])
live.send({"device": "begun", "state": {"sent": True}})
live.emit("begun")

@live.poll("polled", every=0.05)
def polled():
    return {"by": os.environ["NAME"], "pid": os.getpid()}

@app.get("/")
def mine():
    return flask.render_template_string('''<!doctype html><title>Mine</title>
<script type=module src="{{ url_for("statecast_pages.static", filename="bind.js") }}"></script>
<script src="{{ url_for("static", filename="socket.io.min.js") }}"></script>
<b data-live=pillow.mood></b><i>nothing</i>
<script>
const socket = io("/", {path: location.pathname + "socket.io/"})
socket.on("said", (word) => { document.querySelector("i").textContent = word })
</script>''')

@app.get("/<way>/<word>")
def tell(way, word):
    if way == "set":
        live.set("pillow", mood=word, hugged=False)
    elif way == "send":
        live.send({"device": "pillow", "state": {"mood": word}})
    elif way == "emit":
        live.emit("said", word)
    elif (child := os.fork()) == 0:
        live.set("pillow", mood=word)
        live.emit("said", word)
        os._exit(0)
    else:
        os.waitpid(child, 0)
    return {}
"""


@dataclass
class Kind:
    """A server and how its output names the address."""

    command: str
    printed: str
    beside: bool = True
    """Whether it answers pages beside a ``statecast run``."""


@dataclass
class Running:
    address: str
    process: subprocess.Popen[str]
    output: list[str] = field(default_factory=list)

    def ask(self, path: str) -> None:
        urllib.request.urlopen(self.address + path, timeout=20).close()


def documented(program: str, word: str = "") -> str:
    """The command of the how-to that starts a program."""
    lines = re.findall(rf"^{program} --.*$", PAGE.read_text(), re.MULTILINE)
    [command] = [line for line in lines if (word in line if word else "--preload" not in line)]
    return str(command)


LISTENING = r"Listening at: (http://[\d.:]+)"
KINDS = {
    "statecast run": Kind("statecast run myapp:app --port 8001", r"live at (\S+)", beside=False),
    "flask run": Kind("flask --app myapp run --port 8001", r"Running on (\S+)", beside=False),
    "flask run --debug": Kind(
        "flask --app myapp run --port 8001 --debug", r"Running on (\S+)", beside=False
    ),
    "gunicorn sync": Kind(documented("gunicorn"), LISTENING),
    "gunicorn gthread --preload": Kind(documented("gunicorn", "--preload"), LISTENING),
    "waitress": Kind(documented("waitress-serve"), r"Serving on (\S+)"),
    "uwsgi": Kind(documented("uwsgi"), r"uwsgi socket 0 bound to TCP address (\S+)"),
}


@contextmanager
def running(kind: Kind, name: str, folder: Path, port: int, **settings: str) -> Iterator[Running]:
    """The server, once it has printed its address."""
    program, *options = shlex.split(kind.command.replace("8001", str(port)))
    command = [str(Path(sys.executable).with_name(program)), *options]
    environment = {
        "NAME": name,
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "STATECAST_STORE": f"sqlite:///{folder / 'store.db'}",
        "STATECAST_DEVICE_COMMANDS": "pillow=hug",
    }
    with started(
        command, cwd=folder, env=os.environ | environment | settings,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout
        try:
            made = Running("", process)
            for line in process.stdout:
                made.output.append(line)
                if found := re.search(kind.printed, line):
                    made.address = found[1] if "://" in found[1] else f"http://{found[1]}"
                    break
            assert made.address, "".join(made.output)
            yield made
        finally:
            os.killpg(process.pid, 9)  # its workers too


@dataclass
class Servers:
    folder: Path
    stock_client: str
    by_name: dict[str, Running]
    ours: Running
    """The ``statecast run`` beside those that only answer pages."""

    def store(self) -> Store:
        return open_store(f"sqlite:///{self.folder / 'store.db'}", begin_epoch=False)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, node: Any) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("beside")
    (folder / "myapp.py").write_text(APP)
    client = str(node.modules / "socket.io-client" / "dist")
    ports = {name: free_port() for name in KINDS}
    beside = {name: kind for name, kind in KINDS.items() if kind.beside}
    origins = ",".join(f"http://127.0.0.1:{ports[name]}" for name in beside)
    with ExitStack() as stack:

        def start(name: str, where: Path, **settings: str) -> Running:
            settings["STOCK_CLIENT"] = client
            kind = KINDS[name]
            return stack.enter_context(running(kind, name, where, ports[name], **settings))

        # Behind an nginx that no setting names, all clients count as other machines.
        public = {"STATECAST_ALLOW_PUBLIC": "1"}
        ours = start("statecast run", folder, STATECAST_ALLOW_ORIGINS=origins, **public)
        found = {"statecast run": ours}
        found |= {name: start(name, folder, STATECAST_LIVE_URL=ours.address) for name in beside}
        for name in KINDS.keys() - found.keys():
            own = tmp_path_factory.mktemp("own")
            (own / "myapp.py").write_text(APP)
            found[name] = start(name, own)
        yield Servers(folder, client, found, ours)


def check_own_page(eyes: Eyes, server: Running, root: str = "/") -> None:
    """A page of the app: a live field, and a stock client. The app's worker changes both."""
    page = eyes.visit(root, live=False)
    server.ask("/set/happy")
    page.wait_for_selector("b:text('happy')")
    server.ask("/send/calm")
    page.wait_for_selector("b:text('calm')")
    eyes.until("socket.connected")
    server.ask("/emit/hello")
    page.wait_for_selector("i:text('hello')")
    server.ask("/fork/sleepy")
    page.wait_for_selector("b:text('sleepy')")
    page.wait_for_selector("i:text('sleepy')")


def check_our_page(eyes: Eyes, server: Running, root: str = "/") -> None:
    """A page of ours: it is live, shows what the app's worker sets, and its button asks."""
    server.ask("/set/sad")
    page = eyes.visit(f"{root}statecast/devices/pillow")
    page.wait_for_selector("#device .cloud[data-mood=sad]")
    server.ask("/set/happy")
    page.wait_for_selector("#device .cloud[data-mood=happy]")
    page.get_by_role("button", name="Hug pillow").click()
    page.wait_for_selector("#asked b:text('Waiting')")
    assert "does not change by itself" not in page.inner_text("body")
    assert page.evaluate("window.seen.violations") == []


@pytest.mark.parametrize("name", KINDS)
def test_the_address_that_a_server_prints_is_live(
    browser: Any, servers: Servers, name: str
) -> None:
    server = servers.by_name[name]
    eyes = Eyes(browser, server.address)
    try:
        check_our_page(eyes, server)
        assert not eyes.errors
        check_own_page(eyes, server)
        # a stock client without an address has a WebSocket where the page's server has viewers
        transport = "polling" if KINDS[name].beside else "websocket"
        eyes.until(f"socket.io.engine.transport.name === '{transport}'")
    finally:
        eyes.close()


def test_polled_functions_run_once_and_in_the_process_that_serves(servers: Servers) -> None:
    store = servers.store()
    try:
        wait_for(lambda: store.get("polled"), "the polled function was never called")
        state = store.get("polled")
        assert state and state.state
        by = json.loads(state.state)
        assert by == {"by": "statecast run", "pid": servers.ours.process.pid}
        assert state.version == 1, "several processes called it"
    finally:
        store.close()


def test_a_page_of_another_site_can_read_the_address_and_still_not_connect(
    browser: Any, servers: Servers
) -> None:
    # given a page of a third origin, which knows the addresses
    target, app = servers.ours.address, servers.by_name["waitress"].address
    eyes = Eyes(browser, servers.by_name["flask run"].address)
    try:
        page = eyes.visit("/", live=False)
        # when it connects in every way
        outcomes = page.evaluate(
            """async ([target, app]) => {
              const socket = new Promise((done) => {
                const one = new WebSocket(target.replace("http", "ws") +
                  "/socket.io/?EIO=4&transport=websocket");
                one.onopen = () => done("open");
                one.onerror = () => done("refused");
              });
              const read = (address, options) => fetch(address, options).then(
                (answer) => answer.text(), () => "refused");
              const query = "/socket.io/?EIO=4&transport=polling";
              const script = import(app + "/statecast/live-address.js").then(
                () => "read", () => "refused");
              return [await socket, await read(target + query), await read(app + query),
                await read(target + "/events?device=*"), await script];
            }""",
            [target, app],
        )
        # then nothing is let in, not by the redirect of the app either
        assert outcomes == ["refused"] * 5
    finally:
        eyes.close()


# Behind one nginx


def blocks(path: str) -> str:
    """The two ``location`` blocks of the how-to for the app at a path."""
    found = re.findall(r"^```nginx\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    [block] = [one for one in found if f"location {path} {{" in one]
    return str(block)


@pytest.mark.parametrize(("name", "path"), [("gunicorn sync", "/"), ("waitress", "/app/")])
def test_app_and_viewers_may_share_one_address(
    browser: Any, servers: Servers, nginx: str, tmp_path: Path, name: str, path: str
) -> None:
    # given the app's server, told that viewers are at its own address, and nginx before both
    port = free_port()
    with ExitStack() as stack:
        kind = KINDS[name]
        # waitress drops X-Forwarded-For, so it is not known that the client is of this machine
        settings = {"STATECAST_LIVE_URL": ".", "STATECAST_OTHERS_MAY": "command,send"}
        settings["STATECAST_ALLOW_PUBLIC"] = "yes"
        settings["STOCK_CLIENT"] = servers.stock_client
        server = stack.enter_context(running(kind, name, servers.folder, port, **settings))
        text = blocks(path).replace("8001", str(port))
        address = stack.enter_context(
            nginx_server.running(nginx, tmp_path, servers.ours.address, text)
        )
        eyes = Eyes(browser, address)
        stack.callback(eyes.close)

        # then all is live there, and nothing asks another address
        check_our_page(eyes, server, path)
        eyes.check(still=False)
        check_own_page(eyes, server, path)
        eyes.until("socket.io.engine.transport.name === 'websocket'")
