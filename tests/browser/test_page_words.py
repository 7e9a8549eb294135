"""The page when more than a cloud changes: new fields, missing pictures, a form, its errors."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest

from statecast import program
from tests.browser.site import PILLOW, Eyes, Site, looking, site

pytestmark = pytest.mark.browser

SQUARE = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><rect width='9' height='9'/></svg>"
)


@pytest.fixture
def come() -> Iterator[threading.Event]:
    """Set, the slow picture comes."""
    made = threading.Event()
    yield made
    made.set()


@pytest.fixture
def here(tmp_path: Path, come: threading.Event) -> Iterator[Site]:
    def slow() -> flask.Response:
        come.wait(30)
        return flask.Response(SQUARE, mimetype="image/svg+xml")

    with site(tmp_path, lambda app: app.add_url_rule("/slow.svg", "slow", slow)) as made:
        made.send(**PILLOW)
        arrived(made, "pillow")
        yield made


def arrived(made: Site, device: str) -> None:
    while made.runtime.store.get(device) is None:
        made.runtime.store.wait(0.02)


def test_a_field_that_comes_later_gets_a_lane(eyes: Eyes, here: Site) -> None:
    page = eyes.visit()
    eyes.until("document.querySelector('#lanes').childElementCount > 2")
    height = float(page.get_attribute("#lanes", "height") or 0)
    assert "weather" not in (page.text_content("#lanes") or "")

    here.send(weather="rain", noted_at="2026-01-01T00:00:00Z", label="Pillow")

    eyes.until("document.querySelector('#lanes').textContent.includes('weather')")
    assert float(page.get_attribute("#lanes", "height") or 0) == height + 54
    assert "noted_at" not in (page.text_content("#lanes") or "") and not eyes.errors


def test_a_picture_that_does_not_come_has_the_icon_stand_in(
    eyes: Eyes, here: Site, come: threading.Event
) -> None:
    # Given a camera whose picture is not there, and one whose picture takes its time
    here.send("camera", image="/nothing.png", on=True)
    arrived(here, "camera")
    page = eyes.visit()
    page.wait_for_selector("[data-device=camera] .icon", state="visible")
    assert page.locator("[data-device=camera] img").is_hidden()

    # When it changes to the slow one, its words do not wait
    here.send("camera", image="/slow.svg", on=False)
    page.wait_for_selector("[data-device=camera] img[src='/slow.svg'].missing", state="attached")
    assert eyes.text("[data-device=camera] [data-field=on]") == "on no"
    assert page.locator("[data-device=camera] .icon").is_visible()

    # Then the picture takes the icon's place when it comes
    come.set()
    page.wait_for_selector(
        "[data-device=camera] img[src='/slow.svg']:not(.missing)", state="visible"
    )
    assert page.locator("[data-device=camera] .icon").is_hidden()


def test_the_form_sends_a_change_and_shows_the_command(eyes: Eyes, here: Site) -> None:
    here.send("lamp", on=True)
    arrived(here, "lamp")
    page = eyes.visit("/devices/lamp")

    page.get_by_text("Send a change").click()
    page.get_by_label("Fields").fill('on=false note="two words"')
    assert (
        eyes.text("#send code")
        == f"{program.name()} send --server {here.address} lamp on=false 'note=\"two words\"'"
    )
    page.get_by_role("button", name="Send").click()

    page.wait_for_selector('[data-field="note"]')
    eyes.until("document.querySelector('#state [data-field=on] bdi').textContent === 'no'")
    assert eyes.text("#state [data-field=note] bdi") == "two words"
    # it was committed at once, past the queue
    cause = here.runtime.store.get("lamp").cause
    assert (cause.source, cause.by) == ("api", "user")
    assert eyes.text("#answer") == "Saved: version 2."

    # And what is refused says why, as an alert
    page.get_by_label("Fields").fill("=")
    page.get_by_role("button", name="Send").click()
    eyes.until("document.querySelector('#answer').textContent === 'Write fields like on=true.'")
    page.get_by_label("Fields").fill(json.dumps("x" * 300)[1:-1] + "=1")
    page.get_by_role("button", name="Send").click()
    page.wait_for_selector("#answer[role=alert]")
    assert eyes.text("#answer").startswith("Not sent: ")
    assert not eyes.errors


def test_an_error_of_the_page_makes_all_of_it_old_and_says_so(eyes: Eyes, here: Site) -> None:
    page = eyes.visit()
    page.wait_for_selector("#lanes *")

    page.evaluate("setTimeout(() => { throw new Error('as if') })")

    page.wait_for_selector("#device.old")
    page.wait_for_selector("#notice:not([hidden])")
    assert eyes.text("#notice") == "This page had an error. Reload"
    assert eyes.text("[data-hop=page]") == "This page stopped"
    page.get_by_role("button", name="Reload").click()
    page.wait_for_selector("#device:not(.old) [data-mark=live]")


def test_a_newer_version_is_offered_and_nothing_reloads_by_itself(eyes: Eyes, here: Site) -> None:
    page = eyes.visit()
    page.evaluate("window.same = true")

    page.evaluate("document.body.dataset.release = '0.0.0'")

    eyes.until("document.querySelector('#notice b').textContent === 'A newer version is ready.'")
    assert page.evaluate("window.same") is True
    page.get_by_role("button", name="Reload").click()
    eyes.until("!window.same")
    page.wait_for_selector('[data-hop=page][data-mark="live"]')
    assert page.locator("#notice").is_hidden()


def test_copy_works_and_paper_has_absolute_times(eyes: Eyes, here: Site) -> None:
    page = eyes.visit()
    page.wait_for_selector("#state time[title]", state="attached")
    eyes.until(
        "document.querySelector('#say') && document.querySelector('#lanes').childElementCount > 2"
    )

    page.get_by_text("Raw JSON").click()
    page.get_by_role("button", name="Copy").click()
    eyes.until("document.querySelector('[data-copy]').textContent === 'Copied'")
    eyes.until("document.querySelector('[data-copy]').textContent === 'Copy'")

    words = page.evaluate("""() => {
      dispatchEvent(new Event('beforeprint'));
      return [document.querySelector('.fresh').textContent,
        document.querySelector('.print').textContent];
    }""")
    assert "ago" not in words[0] and "just now" not in words[0] and "since" in words[0]
    assert words[1].startswith("State as of ") and words[1].endswith(f"from {here.address}/")
    eyes.until("/now|ago/.test(document.querySelector('.fresh').textContent)")
    assert not eyes.errors


def test_a_browser_that_remembers_nothing_has_the_page_all_the_same(eyes: Eyes, here: Site) -> None:
    eyes.page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage'])"
        "  Object.defineProperty(window, name, {get() { throw new DOMException('no', "
        "'SecurityError') }})"
    )
    page = eyes.visit()
    eyes.until("document.querySelector('#lanes').childElementCount > 2")
    page.locator("#announce").select_option("nothing")
    here.send(mood="sad")
    eyes.until("document.title.startsWith('sad')")
    assert page.locator("#notice").is_hidden() and not eyes.errors


def test_all_times_are_those_of_who_looks(browser: Any, here: Site) -> None:
    for hugs in range(2, 6):
        here.send(hugs=hugs, text="x" * 100)
    while here.runtime.store.get("pillow").version < 5:
        here.runtime.store.wait(0.02)
    with looking(browser, here, timezone_id="Asia/Tokyo") as eyes:
        page = eyes.visit()
        eyes.until("[...document.querySelectorAll('#history time')].every(one => one.title)")

        wrong = page.eval_on_selector_all(
            "#history time",
            "all => all.filter(one => !one.title.includes(one.textContent.split(' ').at(-1)))",
        )
        assert wrong == [] and page.locator("#history time").count() == 5
        hour = page.evaluate(
            "new Date(document.querySelector('#history time').dateTime).getUTCHours()"
        )
        assert int(eyes.text("#history time").split(" ")[-1][:2]) == (hour + 9) % 24


def test_a_value_that_turns_its_direction_turns_no_other(eyes: Eyes, here: Site) -> None:
    # given a text with the mark of Unicode that turns all that stands behind it
    here.send("note", text="\u202eabc", total=12)
    arrived(here, "note")
    # when a viewer reads the history
    page = eyes.visit("/devices/note")
    # then the digits of the other value stand from left to right
    left = page.evaluate(
        """() => {
          const value = [...document.querySelectorAll("#history .change *")]
            .find((one) => one.childElementCount === 0 && one.textContent === "12");
          return [0, 1].map((at) => {
            const digit = new Range();
            digit.setStart(value.firstChild, at);
            digit.setEnd(value.firstChild, at + 1);
            return digit.getBoundingClientRect().left;
          });
        }"""
    )
    assert left[0] < left[1]
