"""The pages in Firefox: they are live, they look like themselves, and nothing is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import firefox as driver
from tests.browser.blocking import blocking
from tests.browser.site import PILLOW, site

pytestmark = pytest.mark.browser

LIVE = """document.querySelector('[data-hop=page]').dataset.mark === "live" """


def shows(mood: str) -> str:
    return f"document.querySelector('.cloud[data-mood={mood}]') !== null"


def test_a_change_is_seen_live_in_firefox(firefox: str, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    with site(tmp_path) as here, driver.running(firefox, profile) as window:
        window.resize(1280, 960)
        # given the list of two devices
        here.send(**PILLOW)
        here.send("lamp", on=True)
        while len(here.runtime.store.devices()) < 2:
            here.runtime.store.wait(0.1)
        window.open(f"{here.address}/")
        window.until(LIVE)
        window.until(f"document.querySelector('[data-device=pillow]') && {shows('happy')}")

        # when a state changes, then the page shows it, as it is and not as its outline
        here.send(mood="sad")
        window.until(shows("sad"))
        window.screenshot(tmp_path / "list.png")
        style = "getComputedStyle(document.querySelector('.card')).borderRadius"
        assert window.evaluate(style) == "16px"

        # when it is hugged on its own page, then the answer comes back
        window.open(f"{here.address}/devices/pillow")
        window.until(LIVE)
        window.evaluate("void document.querySelector('#commands button').click()")
        here.answer(here.take(), state={"hugged": True})
        window.until("document.querySelector('#device .cloud[data-hugged]') !== null")
        window.screenshot(tmp_path / "device.png")

        # when the server goes and returns, then the page says so, and is live again
        here.stop()
        window.until("document.querySelector('#device.old') !== null")
        here.start()
        here.send(mood="calm")
        window.until(f"document.querySelector('#device:not(.old)') && {shows('calm')}")

        # and the operator's page is live too
        window.open(f"{here.address}/operator")
        window.until(LIVE)
        window.until("document.querySelector('tr[data-health=queue] [data-mark=live]') !== null")
        window.screenshot(tmp_path / "operator.png")
        assert [one for one in window.errors if "Content-Security-Policy" in one] == []


def test_firefox_is_live_where_websocket_is_blocked(firefox: str, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    with (
        site(tmp_path) as here,
        blocking(here.address, "403") as (address, proxy),
        driver.running(firefox, profile) as window,
    ):
        here.send(**PILLOW)
        window.open(f"{address}/")
        window.until(LIVE)
        here.send(mood="sad")
        window.until(shows("sad"))
        assert proxy.blocked >= 2 and not proxy.passed
