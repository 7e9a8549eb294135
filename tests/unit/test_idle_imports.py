"""What a server does not import while it has nothing to do with it: each module costs memory."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

SERVER = """
import sys, urllib.request
from statecast.flask import create_app, runtime_of
from statecast.server.server import BackgroundServer
from statecast.settings import Settings

app = create_app(Settings(store="sqlite:///" + sys.argv[1] + "/idle.db", port=0))
server = BackgroundServer(runtime_of(app), app)
server.start()
print(*sorted(sys.modules))
for path in ("/healthz", "/readyz", "/api/devices", "/statecast/page.js"):
    urllib.request.urlopen(server.address + path).read()
print(*sorted(sys.modules))
urllib.request.urlopen(server.address + "/").read()
print(*sorted(sys.modules))
server.stop()
"""
PAGES = {
    f"statecast.web.{name}"
    for name in ("device_views", "page_templates", "pictures", "view_models")
}
RARE = {
    *("ifaddr", "prometheus_client", "statecast.demo", "statecast.openapi.document"),
    *("statecast.program.qr_code", "statecast.reactions.runner"),
    *("statecast.server.loop_operations", "statecast.server.network_addresses"),
    *("statecast.server.supervisor", "statecast.server.tls_listener"),
    *("statecast.web.operator", "statecast.web.rest_operations"),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> list[set[str]]:
    """The modules of a server at its start, after requests of programs, and after a page."""
    folder = str(tmp_path_factory.mktemp("idle"))
    command = [sys.executable, "-c", SERVER, folder]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [set(line.split()) for line in lines]


def test_an_idle_server_has_no_module_of_what_is_rarely_used(loaded: list[set[str]]) -> None:
    assert all(not RARE & modules for modules in loaded)
    assert all(find_spec(name) for name in RARE), "a name of these is no module any more"


def test_what_draws_pages_comes_with_the_first_page(loaded: list[set[str]]) -> None:
    # given a server that starts, and that programs ask, then it draws nothing
    start, programs, page = loaded
    assert not PAGES & start and not PAGES & programs
    # when a page is asked for, then it can
    assert page >= PAGES
