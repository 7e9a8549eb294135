"""The page behind a real nginx, with the configuration that the documents show.

At another port, with TLS, below a path, with WebSocket blocked, with buffering: it is live, it has
its style, its links lead to pages, and a message that it sends is applied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, url_for
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

import nginx_server
from certificates import write_certificate
from statecast import Statecast
from statecast.flask import runtime_of
from statecast.server.server import BackgroundServer
from tests.browser.site import Eyes, site

pytestmark = pytest.mark.browser

BLOCKED = "\n    location ~ /socket\\.io/$ { return 403; }"
TRUSTED = {"trusted_proxy": "127.0.0.1"}
UNNAMED = {"allow_public": True, "others_may": "command,send,operate"}
"""Behind a proxy that no setting names, all clients count as other machines."""


@dataclass
class Proxy:
    """How nginx stands before the server."""

    location: str = ""
    """A block of the how-to, by its path; else that of the site file."""
    edit: Callable[[str], str] = str
    more: str = ""
    path: str = "/"
    websocket: bool = True
    tls: bool = False
    settings: dict[str, Any] = field(default_factory=lambda: dict(TRUSTED))


def passed_on(block: str) -> str:
    """The block for a path with ``base_path``, as the how-to describes it."""
    block = block.replace("http://statecast/;", "http://statecast;")
    return re.sub(r".*X-Forwarded-Prefix.*\n", "", block)


def buffering(block: str) -> str:
    return block.replace("proxy_buffering off;", "proxy_buffering on;")


PROXIES = {
    "the site file": Proxy(),
    "the block of the page": Proxy(location="/"),
    "a proxy that no setting names": Proxy(settings=dict(UNNAMED)),
    "tls": Proxy(tls=True),
    "below a path": Proxy(location="/app/", path="/app/"),
    "below a path that is passed on": Proxy(
        location="/app/", edit=passed_on, path="/app/", settings={"base_path": "/app", **TRUSTED}
    ),
    "below a path with our own name": Proxy(
        location="/app/",
        edit=lambda block: block.replace("/app", "/statecast"),
        path="/statecast/",
    ),
    "websocket blocked": Proxy(more=BLOCKED, websocket=False),
    "websocket blocked, buffering": Proxy(
        location="/", edit=buffering, more=BLOCKED, websocket=False
    ),
    "websocket blocked, below a path": Proxy(
        location="/app/", edit=buffering, more=BLOCKED, path="/app/", websocket=False
    ),
}


@contextmanager
def proxied(
    program: str, folder: Path, backend: str, proxy: Proxy, certificate: tuple[Path, Path] | None
) -> Iterator[str]:
    blocks = nginx_server.documented_blocks()
    location = proxy.edit(blocks[proxy.location]) if proxy.location else ""
    folder.mkdir()
    with nginx_server.running(
        program, folder, backend, location, more=proxy.more, certificate=certificate
    ) as address:
        yield address


def check_page(eyes: Eyes, root: str, send: Callable[..., None], below: str = "") -> None:
    """All that the pages at ``below`` do, while everything has to stay below ``root``."""
    # It is live, and looks like itself
    page = eyes.visit(f"{root}{below}")
    assert page.evaluate("getComputedStyle(document.querySelector('#sprite')).width") == "0px"
    page.wait_for_selector("[data-device=pillow] .cloud[data-mood=happy]")

    # A link leads to the page of a device, which is live too
    page.click("a[href$='devices/pillow']")
    page.wait_for_selector("#device .cloud[data-mood=happy]")
    page.wait_for_selector('[data-hop=page][data-mark="live"]', state="attached")
    assert page.url.removeprefix(eyes.address) == f"{root}{below}devices/pillow"

    # A change from outside shows, and so does a command of the page; it has its history
    send(mood="sad")
    page.wait_for_selector("#device .cloud[data-mood=sad]")
    page.get_by_role("button", name="Hug pillow").click()
    page.wait_for_selector("#asked b:text('Waiting')")
    assert page.evaluate(
        "import(document.querySelector('script[src]').src.replace('device-page', 'history-api'))"
        ".then(({fetchVersions}) => fetchVersions('pillow', 5))"
    )

    # The other links do not leave the path; those of the foot and of the bar among them
    links = page.eval_on_selector_all("a[href]", "all => all.map(({pathname}) => pathname)")
    assert links and all(link.startswith(root) for link in links), links
    page.goto(f"{eyes.address}{root}{below}operator")
    page.wait_for_selector('[data-hop=page][data-mark="live"]', state="attached")


@pytest.mark.parametrize("name", PROXIES)
def test_a_page_behind_the_documented_nginx_does_all_that_it_does_without(
    browser: Any, tmp_path: Path, nginx: str, name: str
) -> None:
    # given a server with two devices, and nginx before it
    proxy = PROXIES[name]
    with site(tmp_path, **proxy.settings) as here:
        here.send(mood="happy", battery=82, hugged=False)
        here.send("lamp", on=True)
        pair = write_certificate(tmp_path) if proxy.tls else None
        with proxied(nginx, tmp_path / "nginx", here.address, proxy, pair) as address:
            eyes = Eyes(browser, address, ignore_https_errors=True)
            sockets: list[str] = []
            eyes.page.on("websocket", lambda socket: sockets.append(socket.url))
            try:
                # then everything works
                check_page(eyes, proxy.path, here.send)
                scheme = "wss" if proxy.tls else "ws"
                there = eyes.address.replace("https" if proxy.tls else "http", scheme, 1)
                assert {url.partition("?")[0] for url in sockets} == {
                    f"{there}{proxy.path}socket.io/"
                }
                if proxy.websocket:
                    assert not [url for url in eyes.asked if "/events?" in url]
                eyes.check(still=False)
            finally:
                eyes.close()


# An app of the user

OWN_PAGE = """<!doctype html><title>Mine</title>
<script type="module" src="{script}"></script><b data-live="pillow.mood"></b>"""


def own_app(folder: Path, **settings: Any) -> Flask:
    """A Flask app with a page of its own that has a live field."""
    app = Flask("mine")
    Statecast(app, store=f"sqlite:///{folder / 'store.db'}", port=0, **settings)

    @app.get("/mine")
    def mine() -> str:
        script = url_for("statecast_pages.static", filename="bind.js")
        return OWN_PAGE.format(script=script)

    return app


def mounted(app: Flask) -> None:
    """Below a path of another app: what `DispatcherMiddleware` is for."""
    others = DispatcherMiddleware(NotFound(), {"/app": app.wsgi_app})
    app.wsgi_app = others  # type: ignore[method-assign]


def proxy_fixed(app: Flask) -> None:
    app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]


def fixed_and_mounted(app: Flask) -> None:
    mounted(app)
    proxy_fixed(app)


@dataclass
class Guest:
    """How an app of the user comes below a path."""

    prepare: Callable[[Flask], None]
    root: str
    """Where the app is, for a browser."""
    settings: dict[str, Any] = field(default_factory=dict)
    nginx: bool = True
    """Whether an nginx strips ``/app`` and names it."""


GUESTS = {
    "ProxyFix": Guest(proxy_fixed, "/app/", settings=UNNAMED),
    "ProxyFix and trusted_proxy": Guest(proxy_fixed, "/app/", settings=TRUSTED),
    "trusted_proxy": Guest(lambda app: None, "/app/", settings=TRUSTED),
    "DispatcherMiddleware": Guest(mounted, "/app/", nginx=False),
    "DispatcherMiddleware behind a path": Guest(mounted, "/app/app/", settings=TRUSTED),
    "ProxyFix and DispatcherMiddleware": Guest(fixed_and_mounted, "/app/app/", settings=UNNAMED),
}


@pytest.mark.parametrize("name", GUESTS)
def test_an_app_of_the_user_may_be_below_a_path(
    browser: Any, tmp_path: Path, nginx: str, name: str
) -> None:
    # given a Flask app below a path, with our pages and one of its own
    guest = GUESTS[name]
    app = own_app(tmp_path, **guest.settings)
    guest.prepare(app)
    runtime = runtime_of(app)
    server = BackgroundServer(runtime, app)
    server.start()

    def send(device: str = "pillow", **state: Any) -> None:
        takes = {"commands": ["hug"]} if device == "pillow" else {}
        runtime.send(json.dumps({"device": device, "state": state} | takes).encode())

    with ExitStack() as stack:
        stack.callback(server.stop)
        send(mood="happy", battery=82, hugged=False)
        send("lamp", on=True)
        address = server.address
        if guest.nginx:
            proxy = Proxy(location="/app/")
            address = stack.enter_context(proxied(nginx, tmp_path / "nginx", address, proxy, None))
        eyes = Eyes(browser, address)
        stack.callback(eyes.close)

        # then our pages work, and the live field of its own page too
        check_page(eyes, guest.root, send, "statecast/")
        eyes.check(still=False)
        page = eyes.visit(f"{guest.root}mine", live=False)
        page.wait_for_selector("b[data-fresh]:text('sad')")
        send(mood="calm")
        page.wait_for_selector("b:text('calm')")
