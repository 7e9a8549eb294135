"""The page behind a proxy that blocks WebSocket: live by server-sent events, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.blocking import blocking
from tests.browser.site import PILLOW, Eyes, site

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("how", ["403", "400", "swallow"])
def test_a_page_whose_websocket_is_blocked_is_live_all_the_same(
    browser: Any, tmp_path: Path, how: str
) -> None:
    with site(tmp_path) as here, blocking(here.address, how) as (address, proxy):
        here.send(**PILLOW)
        eyes = Eyes(browser, address)
        try:
            # Given a page that does not come through by WebSocket: it is live, and shows changes
            page = eyes.visit()
            page.wait_for_selector(".cloud[data-mood=happy]")
            assert proxy.blocked >= 2 and not proxy.passed
            here.send(mood="sad")
            page.wait_for_selector(".cloud[data-mood=sad]")

            # When the server goes, the page says so; when it is back, the page has what it missed
            here.stop()
            page.wait_for_selector("#device.old")
            here.start()
            here.send(mood="calm")
            page.wait_for_selector(".cloud[data-mood=calm]", timeout=60_000)
            page.wait_for_selector("#device:not(.old)")
            assert not proxy.passed

            # When WebSocket is allowed and the network changes, the page goes over to it
            proxy.how = "open"
            page.evaluate("dispatchEvent(new Event('online'))")
            for _ in range(1000):
                if proxy.passed and here.server is not None:
                    break
                page.wait_for_timeout(20)
            assert proxy.passed == 1
            here.send(mood="happy")
            page.wait_for_selector(".cloud[data-mood=happy]")
            eyes.check(still=False)
        finally:
            eyes.close()
