"""The page of a device says how many watch it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from statecast.flask import runtime_of
from tests.browser.site import Eyes, Site, site

pytestmark = pytest.mark.browser


def name_them(app: Flask) -> None:
    """An application that knows its visitors by a cookie."""
    live = runtime_of(app).viewers

    def connect(sid: str, auth: Any) -> None:
        (cookie,) = live.handshake(sid).head.values(b"cookie")
        live.name_viewer(sid, cookie.decode().removeprefix("name="))

    live.keep_handshakes()
    live.on("connect", connect)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, name_them) as made:
        made.send(mood="happy")
        yield made


def shows(eyes: Eyes, text: str, names: str) -> None:
    """Wait until the page says so."""
    eyes.page.wait_for_selector(f'[data-show=watching][title="{names}"]:text-is("{text}")')


def test_a_page_says_how_many_watch_its_device(browser: Any, here: Site) -> None:
    ada, bob = Eyes(browser, here.address), Eyes(browser, here.address)
    for eyes, name in ((ada, "Ada"), (bob, "Bob")):
        eyes.context.add_cookies([{"name": "name", "value": name, "url": here.address}])
    try:
        # Given a page that is alone
        ada.visit("/devices/pillow")
        shows(ada, "1 watching", "Ada")
        # When another one comes, then both say so, and nothing moves
        bob.visit("/")
        shows(ada, "2 watching", "Ada, Bob")
        shows(bob, "2 watching", "Ada, Bob")
        ada.check()
        # When it goes elsewhere, then it watches no more
        bob.page.goto("about:blank")
        shows(ada, "1 watching", "Ada")
    finally:
        ada.close()
        bob.close()
