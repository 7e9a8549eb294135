"""Nine pages of one browser at once: all live, and a click in the last one is answered.

Over HTTP/1.1 a browser opens six connections to a server. Event streams that are held by six pages
would leave none for a seventh page, its files and its messages.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.browser.blocking import blocking
from tests.browser.site import PILLOW, Eyes, site

pytestmark = pytest.mark.browser

TABS = 9
LIVE = '[data-hop=page][data-mark="live"]'


def insecure(context: Any) -> None:
    """As over HTTP from another machine: a page has no locks. Hidden pages hold no stream there."""
    context.add_init_script("Object.defineProperty(navigator, 'locks', {value: undefined})")


@pytest.mark.parametrize("blocked", [True, False], ids=["websocket blocked", "websocket"])
def test_nine_pages_are_live_and_a_click_in_the_last_is_answered(
    browser: Any, tmp_path: Path, blocked: bool
) -> None:
    with ExitStack() as stack:
        here = stack.enter_context(site(tmp_path))
        address, proxy = stack.enter_context(blocking(here.address, "403" if blocked else "open"))
        here.send(**PILLOW)
        eyes = Eyes(browser, address)
        stack.callback(eyes.close)

        # given nine pages of one browser
        pages = [eyes.context.new_page() for _ in range(TABS)]
        for page in pages:
            page.goto(f"{address}/devices/pillow")
            page.wait_for_selector(LIVE, state="attached")
        assert bool(proxy.passed) is not blocked

        # when the last one asks something, and the device answers, then every page shows it
        last = pages[-1]
        last.get_by_role("button", name="Hug pillow").click()
        here.answer(here.take(), state={"hugged": True})
        for page in pages:
            page.wait_for_selector("#device .cloud[data-hugged]")
            assert page.locator(LIVE).count() == 1

        # when a page leaves and another comes, all go on
        pages.pop(0).close()
        pages.append(eyes.context.new_page())
        pages[-1].goto(f"{address}/devices/pillow")
        here.send(mood="sad", hugged=False)
        for page in pages:
            page.wait_for_selector("#device .cloud[data-mood=sad]")

        # when the server restarts, all come back
        here.stop()
        for page in pages:
            page.wait_for_selector("#device.old")
        here.start()
        here.send(mood="calm")
        for page in pages:
            page.wait_for_selector("#device:not(.old) .cloud[data-mood=calm]", timeout=60_000)


@pytest.mark.parametrize("prepare", [lambda context: None, insecure], ids=["locks", "no locks"])
def test_hidden_pages_leave_the_connections_to_visible_ones(
    browser: Any, tmp_path: Path, prepare: Callable[[Any], None]
) -> None:
    with ExitStack() as stack:
        here = stack.enter_context(site(tmp_path))
        address, _ = stack.enter_context(blocking(here.address, "403"))
        here.send(**PILLOW)
        eyes = Eyes(browser, address)
        stack.callback(eyes.close)
        prepare(eyes.context)

        # given eight pages that were hidden once they were live
        hide = """() => {
          Object.defineProperty(document, "hidden", {value: true, configurable: true});
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
        for _ in range(TABS - 1):
            page = eyes.context.new_page()
            page.goto(f"{address}/devices/pillow")
            page.wait_for_selector(LIVE, state="attached")
            page.evaluate(hide)

        # then a ninth one is live, and its command is answered
        last = eyes.context.new_page()
        last.goto(f"{address}/devices/pillow")
        last.wait_for_selector(LIVE, state="attached")
        last.get_by_role("button", name="Hug pillow").click()
        here.answer(here.take(), state={"hugged": True})
        last.wait_for_selector("#device .cloud[data-hugged]")
        # and the hidden ones follow
        page.wait_for_selector("#device .cloud[data-hugged]", state="attached")
