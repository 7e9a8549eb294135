"""The operator's page in a browser: live without a reload, and usable without a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.site import PILLOW, looking, site

pytestmark = pytest.mark.browser

BAD = (b'{"device":"pillow","state":5}', b'{"device":"pillow","state":6}', b'{"mood":"sad"}')


def set_aside(here: Any, *bodies: bytes) -> None:
    """Put messages into the queue that the consumer cannot apply, and wait until it said so."""
    before = here.runtime.store.quarantine_count()
    for body in bodies:
        here.runtime.queue.send(body)
    while here.runtime.store.quarantine_count() < before + len(bodies):
        here.runtime.store.wait(0.1)


def test_what_changes_is_shown_without_a_reload(browser: Any, tmp_path: Path) -> None:
    with site(tmp_path) as here, looking(browser, here) as eyes:
        # given the operator's page of a server without trouble
        here.send(**PILLOW)
        page = eyes.visit("/operator")
        page.wait_for_selector("tr[data-health=queue] [data-mark=live]")
        assert "Empty: every message" in eyes.text("#quarantine")
        page.evaluate("window.isSame = true")

        # when messages are set aside, and a viewer comes
        set_aside(here, *BAD)
        page.wait_for_selector("#quarantine article:nth-of-type(2)")
        with looking(browser, here) as second:
            second.visit("/")
            eyes.until(
                "/Viewers 2/.test(document.querySelector('#tiles').innerText.replace(/\\s+/g, ' '))"
            )

        # then the page shows it, and is the page that was opened
        assert page.evaluate("window.isSame")
        assert "3 messages" in eyes.text("#quarantine .head")

        # when the queue is away, its mark turns
        here.cut_queue()
        page.wait_for_selector("tr[data-health=queue] [data-mark=away]")

        # when the server goes, everything is marked as old, and no source as connected
        here.stop()
        page.wait_for_selector("#operator.old")
        page.wait_for_selector("tr[data-health=queue] [data-mark=unknown]")
        here.start()
        page.wait_for_selector("#operator:not(.old)")
        page.wait_for_selector("tr[data-health=queue] [data-mark=live]")
        eyes.check(still=False)


@pytest.mark.parametrize("script", [True, False])
def test_messages_are_replayed_and_dropped_by_forms(
    browser: Any, tmp_path: Path, script: bool
) -> None:
    with site(tmp_path) as here, looking(browser, here, script=script) as eyes:
        # given three messages in quarantine, with and without a script
        here.send(**PILLOW)
        set_aside(here, *BAD)
        page = eyes.visit("/operator", live=script)

        # when all of one reason are replayed, then they are refused again, which the page says
        page.get_by_role("button", name="Replay all 2").click()
        page.wait_for_selector("#outcome:text('Refused again, now with the newest reason: 2.')")
        assert here.runtime.store.quarantine_count() == 3

        # when a message is to be dropped, then only after a second question
        drops = page.locator("#quarantine li .confirm")
        drops.first.locator("summary").click()
        assert here.runtime.store.quarantine_count() == 3
        drops.first.get_by_role("button", name="Yes, drop").click()
        page.wait_for_selector("#outcome:text('Dropped: 1.')")
        assert here.runtime.store.quarantine_count() == 2
        assert not eyes.errors


def test_a_part_in_which_somebody_decides_is_not_replaced(browser: Any, tmp_path: Path) -> None:
    with site(tmp_path) as here, looking(browser, here) as eyes:
        # given the question whether a message is to be dropped
        here.send(**PILLOW)
        set_aside(here, BAD[0])
        page = eyes.visit("/operator")
        page.locator("#quarantine .confirm summary").first.click()
        button = page.get_by_role("button", name="Yes, drop")
        button.focus()

        # when more messages come, then the numbers change and the question stays
        set_aside(here, BAD[2])
        eyes.until(
            "/Quarantine 2/.test(document.querySelector('#tiles').innerText.replace(/\\s+/g, ' '))"
        )
        assert button.is_visible()
        assert page.evaluate("document.activeElement.textContent") == "Yes, drop"
        button.click()
        page.wait_for_selector("#outcome:text('Dropped: 1.')")


@pytest.mark.parametrize("width", [1280, 768, 390, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(
    browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    window = {"viewport": {"width": width, "height": 844}, "color_scheme": scheme}
    with site(tmp_path) as here, looking(browser, here, **window) as eyes:
        here.send(**PILLOW)
        set_aside(here, *BAD, b'{"device":"' + b"x" * 3_000 + b'","state":{}}')
        page = eyes.visit("/operator")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        eyes.check(still=False)
