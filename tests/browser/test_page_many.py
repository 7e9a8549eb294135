"""`/` with many devices: the HTML has the first 200 rows, and the script all the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from statecast.model import Change, Delivery, Message
from tests.browser.site import Eyes, Site, looking, site

pytestmark = pytest.mark.browser

GROUPS, PER_GROUP = 20, 100
TOTAL = GROUPS * PER_GROUP


def name_of(number: int) -> str:
    return f"floor{number // PER_GROUP:02}/sensor-{number % PER_GROUP:02}"


def fill(here: Site) -> None:
    """2 000 devices in 20 groups; those of the last group are the newest."""
    now = here.runtime.clock()
    messages = [
        Message(
            Delivery(f"id{number}", b"", now),
            (Change(name_of(number), "merge", {"temperature_c": number / 10, "on": True},
                    silent_after=3600),),
        )
        for number in range(TOTAL)
    ]  # fmt: skip
    for first in range(0, TOTAL, 500):
        here.runtime.store.commit("queue", 1, messages[first : first + 500])


def rows(eyes: Eyes) -> list[str]:
    """The names of the rows that are shown, from top to bottom."""
    found: list[str] = eyes.page.eval_on_selector_all(
        ".row:not([hidden])", "all => all.map(({dataset}) => dataset.device)"
    )
    return found


def test_all_of_many_devices_are_found_and_nothing_jumps(browser: Any, tmp_path: Path) -> None:
    with site(tmp_path) as here:
        fill(here)
        with looking(browser, here) as eyes:
            # given the list of 2 000 devices, live
            page = eyes.visit("/")
            eyes.until("document.querySelector('#pages').innerText === '1 to 200 of 2,000'")
            assert eyes.text("#count") == "2,000 devices"
            assert rows(eyes) == [name_of(number) for number in range(200)]
            assert eyes.text("section h2 [data-show=count]") == "100"
            assert page.locator("#pages a").count() == 0

            # when one scrolls to the end of what is there, then more rows come, and nothing moves
            page.mouse.move(600, 500)
            while len(rows(eyes)) < 800:
                before = page.evaluate("scrollY")
                page.mouse.wheel(0, 1_000)
                eyes.until(f"scrollY > {before}")
                page.evaluate("new Promise((done) => requestAnimationFrame(done))")
            shown = rows(eyes)
            assert shown == [name_of(number) for number in range(len(shown))]
            eyes.check()

            # when one searches, then all devices are searched, also by a value
            page.fill("#search", "sensor-42")
            eyes.until("/^20 of 2,000/.test(document.querySelector('#count').innerText)")
            assert rows(eyes) == [name_of(group * PER_GROUP + 42) for group in range(GROUPS)]
            page.fill("#search", "199.9")
            eyes.until("/^1 of 2,000/.test(document.querySelector('#count').innerText)")
            assert rows(eyes) == [name_of(TOTAL - 1)]
            page.fill("#search", "")
            eyes.until("document.querySelectorAll('.row:not([hidden])').length >= 800")

            # when devices that have no row yet change, come and go, then the list knows it
            here.send(name_of(TOTAL - 1), temperature_c=-7.5)
            here.send("floor00/sensor-0a", temperature_c=1)
            here.runtime.store.edit(Change(name_of(TOTAL - 2), "delete", {}, by="user"))
            eyes.until(
                "document.querySelector('[data-device=\"floor00/sensor-0a\"]')"
                " && document.querySelector('#count').innerText === '2,000 devices'"
            )
            page.fill("#search", "-7.5")
            eyes.until("document.querySelectorAll('.row:not([hidden])').length === 1")
            assert rows(eyes) == [name_of(TOTAL - 1)]
            assert not eyes.errors


def test_without_a_script_many_devices_are_on_pages(browser: Any, tmp_path: Path) -> None:
    with site(tmp_path) as here:
        fill(here)
        with looking(browser, here, script=False) as eyes:
            # given the first page of ten
            page = eyes.visit("/", live=False)
            assert len(rows(eyes)) == 200 and eyes.text("#pages") == "1 to 200 of 2,000 Next 200"

            # when the next is followed, then it continues, and leads back
            page.get_by_role("link", name="Next 200").click()
            assert rows(eyes)[0] == name_of(200)
            assert "201 to 400 of 2,000" in eyes.text("#pages")
            page.get_by_role("link", name="Previous 200").click()
            assert rows(eyes)[0] == name_of(0)

            # and a search goes over all of them, on pages too
            page.goto(f"{here.address}/?q=sensor-1&show=")
            assert len(rows(eyes)) == 200
            assert eyes.text("#count") == "200 of 2,000 devices"
            assert page.locator("#pages").count() == 0


def test_the_end_of_the_last_page_is_the_end(browser: Any, tmp_path: Path) -> None:
    with site(tmp_path) as here:
        fill(here)
        with looking(browser, here) as eyes:
            page = eyes.visit("/")
            page.mouse.move(600, 500)
            for _ in range(12):
                page.mouse.wheel(0, 60_000)
                page.evaluate("new Promise((done) => requestAnimationFrame(done))")
            eyes.until("(scrollTo(0, 1e9), document.querySelectorAll('.row').length === 2000)")
            eyes.until("document.querySelector('#pages').hidden")
            assert rows(eyes) == [name_of(number) for number in range(TOTAL)]
