"""The page in a real browser: true without script, live with it, honest when something is away."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from statecast.commands.request import new_command
from statecast.model import Change
from tests.browser.site import PILLOW, Eyes, Site, looking, site

pytestmark = pytest.mark.browser


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        made.send(**PILLOW)
        yield made


def arrived(made: Site, version: int = 1, device: str = "pillow") -> None:
    """Wait until the store has it: the watcher is a thread of its own."""
    for _ in range(500):
        update = made.runtime.store.get(device)
        if update is not None and update.version >= version:
            return
        made.runtime.store.wait(0.02)
    raise AssertionError(f"{device} did not reach version {version}")


# 1. Without script


def test_without_script_the_page_is_true_and_claims_nothing(browser: Any, here: Site) -> None:
    arrived(here)
    with looking(browser, here, script=False) as eyes:
        page = eyes.visit(live=False)

        assert eyes.text("#state [data-field=mood] dd") == "happy"
        assert "as of" in eyes.text("#status-bar") and "UTC" in eyes.text("#status-bar")
        assert not page.locator("[data-mark=live]").count()
        assert eyes.text("noscript aside").startswith("This is the state of")
        assert page.locator("#commands button").is_hidden()


# 2. Live


def test_one_change_changes_all_of_the_page_in_one_frame(eyes: Eyes, here: Site) -> None:
    # Given a live page that notes, at the end of each frame, whatever it shows then; its history is
    # full
    for version in range(2, 10):
        here.send(hugs=version)
        arrived(here, version)
    page = eyes.visit()
    eyes.until("document.title.startsWith('happy')")
    page.evaluate("""() => {
      window.frames_ = new Set();
      const look = () => {
        const cloud = document.querySelector('.sky .cloud');
        frames_.add([cloud.dataset.mood,
          document.querySelector('#state [data-field=mood] bdi').textContent,
          document.querySelector('.sky').getAttribute('aria-label').split(',')[0]].join('|'));
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }""")

    # When the device says that it is sad
    here.send(mood="sad")
    eyes.until("document.title.startsWith('sad')")

    # Then no frame showed a half of it
    assert page.evaluate("[...frames_]") == [
        "happy|happy|Cloud pillow: happy",
        "sad|sad|Cloud pillow: sad",
    ]
    assert "was happy" in eyes.text("#state [data-field=mood]")
    assert page.locator("#icon").get_attribute("href").count("0a5bc4") == 1
    assert "mood happy → sad" in eyes.text("#history li")
    eyes.check()


def test_a_field_comes_and_goes(eyes: Eyes, here: Site) -> None:
    arrived(here)
    page = eyes.visit()

    here.send(position={"room": "attic"}, hugs=None)

    page.wait_for_selector('[data-field="position.room"]')
    page.wait_for_selector("[data-field=hugs].struck")
    eyes.until("!document.querySelector('[data-field=hugs]')")
    assert '"room": "attic"' in page.locator("#raw").text_content()
    eyes.check(still=False)


# 3. The server goes and comes back


def test_a_lost_server_drains_the_page_and_its_return_mends_it(eyes: Eyes, here: Site) -> None:
    arrived(here)
    page = eyes.visit_whole()
    page.evaluate("window.same = true")

    # When the server stops
    here.stop()

    # Then everything is old, in words too, and stays readable
    page.wait_for_selector("#notice:not([hidden])")
    page.wait_for_selector("#device.old")
    assert eyes.text("[data-hop=page]").startswith("This page offline for")
    assert (
        eyes.text("[data-hop=devices]") == "Devices unknown"
        and eyes.text("[data-hop=queue]") == "Queue unknown"
    )
    assert (
        eyes.text(".fresh b") == "Last known"
        and eyes.text("#state [data-field=mood] bdi") == "happy"
    )
    assert eyes.text("#notice").startswith("No connection to the server for")
    eyes.until("document.title.startsWith('⚠ No connection since')")
    assert "b4232c" in page.locator("#icon").get_attribute("href")
    assert not page.locator("[data-mark=live]").count()
    eyes.until("document.querySelector('#say').textContent === 'No connection to the server.'")

    # When it is back with another mood
    here.start()
    here.send(mood="calm")

    # Then the same page, never reloaded, is fresh
    page.wait_for_selector("#device:not(.old)")
    eyes.until("document.querySelector('.cloud[data-mood=calm]')")
    page.wait_for_selector("#notice", state="hidden")
    # (with the words of the device before it or behind it: both are read)
    eyes.until("document.querySelector('#say').textContent.includes('Up to date again.')")
    assert page.evaluate("window.same") is True
    eyes.check(still=False)


def test_a_server_that_goes_while_the_page_loads_is_told(eyes: Eyes, here: Site) -> None:
    # Given a page whose later parts do not arrive
    arrived(here)
    eyes.page.route("**/timeline.js*", lambda route: route.abort())
    page = eyes.visit(live=False)  # it is live for a moment at most

    # Then it does not look live
    page.wait_for_selector("#notice:not([hidden])")
    assert eyes.text("#notice") == "This page had an error. Reload"
    page.wait_for_selector("#device.old")

    # And while the server is away, which could not answer a reload, it says so
    here.stop()
    page.get_by_role("button", name="Try now").wait_for()
    assert eyes.text("#notice").startswith("No connection to the server for")


def test_try_now_does(eyes: Eyes, here: Site) -> None:
    arrived(here)
    page = eyes.visit_whole()
    page.evaluate("Math.random = () => 1000")  # it does not come back by itself
    here.stop()
    page.wait_for_selector("#notice:not([hidden])")
    here.start()

    page.get_by_role("button", name="Try now").click()

    page.wait_for_selector("#notice", state="hidden")


# 4. One cut at a time


def test_a_queue_that_is_away_makes_its_devices_old_and_nothing_else(
    eyes: Eyes, here: Site
) -> None:
    arrived(here)
    page = eyes.visit()

    here.cut_queue()

    page.wait_for_selector("[data-hop=queue][data-mark=away]")
    page.wait_for_selector("#device.old .fresh [data-mark=away]")
    assert eyes.text("[data-hop=devices]") == "Devices 1 unknown"
    assert eyes.text("[data-hop=page]") == "This page live"
    assert eyes.text("#notice").startswith("The queue cannot be read for")
    eyes.until("document.title === '⚠ Queue away'")

    here.mend_queue()
    page.wait_for_selector("#device:not(.old)")
    page.wait_for_selector("#notice", state="hidden")
    eyes.check(still=False)  # the path grew to its left


def test_a_silent_device_alone_is_old(eyes: Eyes, here: Site) -> None:
    here.send("lamp", on=True, silent_after=1)
    arrived(here, device="lamp")
    arrived(here)
    page = eyes.visit()

    page.wait_for_selector("[data-device=lamp].old .fresh [data-mark=late]")

    assert eyes.text("[data-hop=devices]") == "Devices 1 of 2 silent"
    assert eyes.text("[data-device=pillow] .fresh b") == "Live"
    # On a busy machine the newest message took a moment longer.
    assert re.fullmatch(r"Queue (up to date|0\.[1-9] s behind)", eyes.text("[data-hop=queue]"))
    assert eyes.text("[data-hop=page]") == "This page live"
    assert page.locator("#notice").is_hidden()
    eyes.until("document.title === '⚠ 1 silent · 2 devices'")


# 5. Commands

ASKED = "document.querySelector('#asked').textContent.replace(/\\s+/g, ' ').trim()"
NEVER_EARLY = """
window.early = [];
addEventListener("DOMContentLoaded", () => {
  const asked = document.querySelector("#asked");
  new MutationObserver(() => early.push(asked.textContent.replace(/\\s+/g, " ").trim()))
    .observe(asked, {subtree: true, childList: true, characterData: true});
});
"""


def check_still(eyes: Eyes) -> None:
    """Nothing moved but what lies below the history, which has a row more."""
    eyes.check(still=False)
    below = ('<details id="rawbox"', '<p id="more-history"')
    moved = eyes.page.evaluate("seen.moved")
    assert all(html.startswith(below) or not down for html, _, down in moved), moved


def test_a_hug_waits_in_both_browsers_until_the_pillow_felt_it(
    browser: Any, eyes: Eyes, here: Site
) -> None:
    # Given a pillow that is looked at in two browsers
    arrived(here)
    with looking(browser, here) as other:
        for one in (eyes, other):
            one.page.add_init_script(NEVER_EARLY)
        page, elsewhere = eyes.visit_whole(), other.visit_whole()

        # When one of them asks for a hug, it waits in both, and neither shows a fact
        page.get_by_role("button", name="Hug pillow").click()
        for one in (eyes, other):
            one.until(f"/^Waiting for pillow…/.test({ASKED})")
            one.until("document.querySelector('#history li').innerText.includes('waiting')")
        command = here.take()
        for one in (eyes, other):
            one.until(f"/^Delivered, waiting for pillow…/.test({ASKED})")
            assert not one.page.locator(".cloud[data-hugged]").count()
            assert not any("Felt" in said for said in one.page.evaluate("early"))

        # When the pillow answers, it is felt in both
        here.answer(command, state={"hugged": True})
        page.wait_for_selector(".sky .cloud[data-hugged]")
        elsewhere.wait_for_selector(".sky .cloud[data-hugged]")
        eyes.until(f"/^Felt, [\\d.]+ m?s after your click$/.test({ASKED})")
        other.until(f"/^Felt, (just now|\\d+ sec ago)$/.test({ASKED})")
        for one in (eyes, other):
            one.until(
                "/hug → felt [\\d.]+ m?s later/.test("
                "document.querySelectorAll('#history li')[1].innerText)"
            )
        assert here.runtime.store.get("pillow").cause.by == "device"
        # (with the words of the pillow before it or behind it: both are read)
        eyes.until("document.querySelector('#say').textContent.includes('Felt, ')")
        for one in (eyes, other):
            check_still(one)


ENDS: dict[str, tuple[bool, dict[str, Any] | None, str]] = {
    "never taken": (False, None, "Not delivered, gave up after 1.0 s"),
    "taken, no answer": (True, None, "no answer: it may have happened"),
    "refused": (
        True,
        {"outcome": "refused", "reason": "The battery is empty."},
        "Pillow refused: The battery is empty.",
    ),
    "refused without a word": (True, {"outcome": "refused"}, "Pillow refused."),
    "done": (True, {"outcome": "done"}, "Felt, just now, by Ada"),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end_of_a_command_is_said_in_every_browser(eyes: Eyes, here: Site, end: str) -> None:
    # Given a page, and a hug that somebody else asked for
    taken, said, sentence = ENDS[end]
    arrived(here)
    page = eyes.visit_whole()
    seconds = 60.0 if said else 1.0
    asked = here.runtime.begin_command(new_command("pillow", "hug", expires=seconds, by="Ada"))
    if taken:
        assert here.take().id == asked.id
    eyes.until(f"{ASKED}.includes('aiting for pillow…')")
    first = page.evaluate("document.querySelector('#history li').innerText")
    assert "hug by Ada" in first

    # When it comes to its end, then the line says it, and the history too
    if said:
        here.answer(asked, **said)
    eyes.until(f"{ASKED}.endsWith({json.dumps(sentence)})")
    is_alert = page.locator("#asked [role=alert]").count() > 0
    assert is_alert is (said is not None and said["outcome"] == "refused")
    assert page.locator("#history li").count() == 2
    check_still(eyes)

    # And so does the page after a reload, before it is live
    page.reload(wait_until="commit")
    page.wait_for_selector("#asked b")
    assert sentence.partition(",")[0].rstrip(".") in eyes.text("#asked")
    eyes.until(f"{ASKED}.includes({json.dumps(sentence.partition(', just')[0])})")

    # And a late answer corrects what was not known, once
    if end == "taken, no answer":
        here.answer(asked)
        eyes.until(f"{ASKED}.startsWith('Felt, ') && {ASKED}.endsWith(', by Ada')")
        here.answer(asked, "refused")
        here.send(mood="sad")
        eyes.until("document.querySelector('[data-field=mood] bdi').textContent === 'sad'")
        assert "Felt" in eyes.text("#asked")


def test_two_clicks_in_one_outage_are_two_commands(eyes: Eyes, here: Site) -> None:
    # Given a page whose server went away
    arrived(here)
    page = eyes.visit_whole()
    here.stop()
    page.wait_for_selector("#device.old")

    # When a person clicks twice, then nothing is claimed
    button = page.get_by_role("button", name="Hug pillow")
    button.click()
    button.click()
    eyes.until(f"/^Sending….*cannot be reached/.test({ASKED})")

    # And once the server is back, the pillow gets two, each once
    here.start()
    page.wait_for_selector("#device:not(.old)")
    commands = [here.take(), here.take()]
    for command in commands:
        here.answer(command)
    eyes.until(f"/^Felt, .* after your click$/.test({ASKED})")
    assert len(here.runtime.store.commands("pillow")) == 2
    eyes.check(still=False)


def test_a_post_whose_answer_was_lost_is_one_command(eyes: Eyes, here: Site) -> None:
    # Given a network that loses the answers to the first two requests
    arrived(here)
    page = eyes.visit_whole()
    lost: list[Any] = []

    def lose(route: Any) -> None:
        if route.request.method != "POST" or len(lost) == 2:
            route.continue_()
            return
        lost.append(route.fetch())
        route.abort()

    page.route("**/api/devices/pillow/commands*", lose)

    # When a person clicks once
    page.get_by_role("button", name="Hug pillow").click()
    here.answer(here.take())

    # Then there is one command, and the page knows that it is its own
    eyes.until(f"/^Felt, .* after your click$/.test({ASKED})")
    assert len(lost) == 2 and len(here.runtime.store.commands("pillow")) == 1


def test_a_device_page_follows_by_patches_once_it_has_its_state(eyes: Eyes, here: Site) -> None:
    # Given a live page, whose HTML shows a state that it does not hold
    arrived(here)
    frames: list[str] = []

    def note_frame(frame: str | bytes) -> None:
        frames.append(str(frame))

    eyes.page.on("websocket", lambda socket: socket.on("framereceived", note_frame))
    eyes.visit()
    note = "long " * 100

    # When the state changes, and then one number again and again
    here.send(note=note, battery=99)
    for battery in range(98, 60, -1):
        shown = "document.querySelector('#state [data-field=battery]').innerText"
        eyes.until(f"{shown}.includes({battery + 1})")
        if any('"from":' in frame for frame in frames):
            break
        here.send(battery=battery)

    # Then the page got it whole once, the number without the rest after that, and shows all of it
    received = [frame for frame in frames if '"battery":' in frame]
    assert note in received[0] and '"from":' not in received[0]
    assert note not in received[-1] and len(received[-1]) < 350
    assert eyes.text("#state [data-field=note] dd").startswith("long long")
    assert eyes.text("#state [data-field=mood] dd") == "happy"
    eyes.check(still=False)


def test_what_the_server_refuses_is_said(eyes: Eyes, here: Site) -> None:
    arrived(here)
    page = eyes.visit_whole()
    page.route(
        "**/api/devices/pillow/commands",
        lambda route: route.fulfill(
            status=403, content_type="application/problem+json", body='{"detail": "Not for you."}'
        ),
    )
    page.get_by_role("button", name="Hug pillow").click()
    eyes.until(f"{ASKED} === 'Not sent: Not for you.'")
    assert page.locator("#asked [role=alert]").count() == 1
    assert not here.runtime.store.commands("pillow")


def test_a_page_that_says_live_takes_a_click_at_once(eyes: Eyes, here: Site) -> None:
    # Given a live page whose later modules are still on their way
    arrived(here)
    held: list[Any] = []
    eyes.page.route("**/picture.js", lambda route: held.append(route))
    page = eyes.visit()

    # When the button is pressed, the hug reaches the pillow
    page.get_by_role("button", name="Hug pillow").click()
    here.answer(here.take(), state={"hugged": True})
    eyes.until(f"{ASKED}.startsWith('Felt, ')")

    # And it is shown once the modules are there
    for route in held:
        route.continue_()
    page.wait_for_selector(".sky .cloud[data-hugged]")


def test_a_page_that_missed_an_end_asks_for_it(eyes: Eyes, here: Site) -> None:
    # Given a page that shows an open command, and loses all that is said of commands
    arrived(here)
    asked = here.runtime.begin_command(new_command("pillow", "hug", expires=1.0))
    eyes.page.add_init_script("""
      const on = WebSocket.prototype.__lookupSetter__("onmessage");
      Object.defineProperty(WebSocket.prototype, "onmessage", {set(listener) {
        on.call(this, (event) => String(event.data).includes('"commands"') || listener(event));
      }});""")
    eyes.visit_whole()
    here.runtime.store.wait(0)

    # Then it asks what became of it, some seconds after its deadline
    eyes.until(f"{ASKED} === 'Not delivered, gave up after 1.0 s'", timeout=30)
    assert here.runtime.store.command(asked.id).status == "expired"


def test_the_history_shows_commands_between_the_changes(eyes: Eyes, here: Site) -> None:
    # Given a pillow whose past has more commands and changes than one part of the history
    for number in range(60):
        asked = here.runtime.begin_command(new_command("pillow", "hug")) if number else None
        here.send(hugs=number)
        arrived(here, number + 2)
        if asked:
            here.answer(here.take())
    while here.runtime.store.commands("pillow", limit=1)[0].is_open:
        here.runtime.store.wait(0.05)
    page = eyes.visit_whole()
    kinds = "[...document.querySelectorAll('#history li > span:first-of-type')]"
    assert page.evaluate(f"{kinds}.length") == 8

    # When all is shown
    more = page.locator("#more-history button")
    for shown in (58, 108, 120):
        more.click()
        eyes.until(f"{kinds}.length === {shown}")

    # Then each command stands between the changes before and after it, and nothing twice
    wanted = [word for number in range(61, 2, -1) for word in (f"v{number}", "asked")]
    wanted += ["v2", "v1"]
    assert page.evaluate(f"{kinds}.map((one) => one.textContent)") == wanted
    assert more.is_hidden()


# The front page


def test_the_first_device_turns_the_empty_page_live(browser: Any, tmp_path: Path) -> None:
    with site(tmp_path) as made, looking(browser, made) as eyes:
        page = eyes.visit()
        assert "No device has sent anything yet" in eyes.text("main")

        made.send(mood="happy")

        page.wait_for_selector("#device[data-device=pillow]")
        eyes.until("document.querySelector('#say').textContent === 'First device: pillow.'")


def test_a_second_device_is_told_and_the_list_keeps_its_order(eyes: Eyes, here: Site) -> None:
    arrived(here)
    page = eyes.visit()
    here.send("lamp", on=True)
    page.wait_for_selector("#others:not([hidden])")
    assert eyes.text("#others") == "New: lamp. Show all"

    page.get_by_role("link", name="Show all").click()
    page.wait_for_selector("[data-device=lamp] [data-mark=live]")
    here.send("mirror", open=True)
    page.wait_for_selector("[data-device=mirror].came")
    assert page.eval_on_selector_all(
        "[data-device]", "all => all.map(one => one.dataset.device)"
    ) == [
        "lamp",
        "mirror",
        "pillow",
    ]
    page.wait_for_selector("[data-device=mirror] .sky > *")  # its kind of picture is fetched first
    assert eyes.text("[data-device=mirror] .sky") == "open"
    assert eyes.text("#count") == "3 devices"


def test_a_removed_device_says_so_and_goes(eyes: Eyes, here: Site) -> None:
    here.send("lamp", on=True)
    arrived(here, device="lamp")
    arrived(here)
    page = eyes.visit()

    here.runtime.store.edit(Change("lamp", "delete", {}, by="user"))

    page.wait_for_selector("[data-device=lamp] [data-mark=gone]")
    page.wait_for_selector("[data-device=lamp]", state="detached")
    assert eyes.text("#count") == "1 device"
    eyes.check(still=False)


def test_pictures_that_the_page_did_not_have_are_fetched(eyes: Eyes, here: Site) -> None:
    arrived(here)
    page = eyes.visit()
    page.wait_for_selector("#lanes *")

    here.send(mood=None, level=40)

    page.wait_for_selector('.sky[data-picture="gauge"] use[stroke-dasharray="40 100"]')
    assert page.locator(".sky").get_attribute("aria-label") == "Gauge pillow: level 40 percent"
    here.send(
        image="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    )
    page.wait_for_selector('.sky img[src^="data:image/gif"]')
    here.send(image="https://elsewhere.example/x.png")
    page.wait_for_selector('.sky[data-picture="gauge"]')
    eyes.check(still=False)


def test_the_whole_history_can_be_read(eyes: Eyes, here: Site) -> None:
    for version in range(2, 71):
        here.send(hugs=version * 100)
    arrived(here, 70)
    page = eyes.visit()
    page.wait_for_selector("#lanes *")

    page.get_by_role("button", name="Show all").click()
    page.wait_for_selector("#history li:nth-child(58)")
    page.get_by_role("button", name="Show more").click()
    page.wait_for_selector("#history li:nth-child(70)")

    versions = "all => all.map(one => +one.dataset.version)"
    assert page.eval_on_selector_all("#history li", versions) == list(range(70, 0, -1))
    assert page.locator("#more-history button").is_hidden()
    assert "hugs 6,900 → 7,000" in eyes.text("#history li")


def test_a_page_of_ones_own_is_live_by_attributes(browser: Any, tmp_path: Path) -> None:
    # Given a user's page with three bound elements and one line of script
    html = """<!doctype html><title>Mine</title>
      <script type=module src="/statecast/bind.js"></script>
      <b data-live="pillow.mood">?</b><i data-live="pillow.mood" data-to=data-mood></i>
      <u data-live="floor2/desk.7" data-field="on">?</u>
      <s data-live="pillow.mood" data-to=onclick></s>"""
    with site(tmp_path, lambda app: app.add_url_rule("/mine", "mine", lambda: html)) as made:
        made.send(mood="happy")
        made.send("floor2/desk.7", on=True)
        with looking(browser, made) as eyes:
            page = eyes.visit("/mine", live=False)

            page.wait_for_selector("b[data-fresh=live]")
            eyes.until("document.querySelector('b').textContent === 'happy'")
            eyes.until("document.querySelector('u').textContent === 'yes'")
            assert page.locator("i").get_attribute("data-mood") == "happy"
            assert page.locator("s").get_attribute("onclick") is None

            made.send(mood="sad")
            eyes.until("document.querySelector('b').textContent === 'sad'")
            made.stop()
            page.wait_for_selector("b[data-fresh=lost]")
            assert eyes.text("b") == "sad"


# 10. Weight, and pictures to look at


# What the browser counts as the bodies of all answers, as they came over the network.
COUNT_BYTES = """
  window.bytes = () => ["navigation", "resource"]
    .flatMap((kind) => performance.getEntriesByType(kind))
    .reduce((sum, one) => sum + one.encodedBodySize, 0);
  new MutationObserver(() => {
    const live = document.querySelector('[data-hop=page][data-mark="live"]');
    if (live) window.bytesUntilLive ??= bytes();
  }).observe(document, {subtree: true, childList: true, attributes: true});
"""


@pytest.mark.parametrize("path", ["/", "/devices/pillow"])
def test_bytes(eyes: Eyes, here: Site, path: str) -> None:
    """45 KB until live, 70 KB in all, as sent: HTML, styles and scripts, packed where they are."""
    # Given a pillow with a past
    for version in range(2, 10):
        here.send(mood=("sad", "happy")[version % 2], battery=version)
        arrived(here, version)
    eyes.page.add_init_script(COUNT_BYTES)

    # When its page goes live and has drawn its timeline
    page = eyes.visit(path)
    eyes.until("document.querySelector('#lanes').childElementCount > 2")
    page.wait_for_load_state("networkidle")

    # Then all that came until live, and in all, is within the page's budget
    until_live, in_all = page.evaluate("[bytesUntilLive, bytes()]")
    print(f"{path}: {until_live:,} bytes until live, {in_all:,} in all")
    assert 0 < until_live < 45_000
    assert until_live < in_all < 70_000
    eyes.check()


HOUR = [
    (58, {"mood": "sleepy", "hugged": False, "hugs": 11, "battery": 100, "color": "#ff8fb0"}),
    (57, {"position": {"room": "living room", "x": 3.2, "y": 1.05}}),
    (43, {"mood": "calm", "battery": 97}),
    (36, {"mood": "happy", "battery": 94}),
    (30, {"hugged": True, "hugs": 12}),
    (28, {"hugged": False, "battery": 92}),
    (22, {"mood": "sad", "battery": 90}),
    (16, {"mood": "calm", "battery": 87}),
    (8, {"mood": "happy", "battery": 84}),
    (5, {"hugged": True, "hugs": 13}),
    (4, {"hugged": False}),
    (0, {"battery": 82, "hugs": 14}),
]


def test_screenshots(browser: Any, tmp_path: Path) -> None:
    """Kept when TEST_STATECAST_SCREENSHOTS names a folder: ``screenshot.png`` is README's."""
    folder = Path(os.environ.get("TEST_STATECAST_SCREENSHOTS") or tmp_path)
    with site(tmp_path) as here:
        for version, (here.minutes_ago, state) in enumerate(HOUR, 1):
            here.send(**state)
            arrived(here, version)
        here.come_to_the_present()
        with looking(browser, here, color_scheme="dark") as eyes:
            page = eyes.visit()
            page.get_by_role("button", name="Hug pillow").click()
            here.answer(here.take(), state={"hugged": True, "hugs": 15})
            page.wait_for_selector(".sky .cloud[data-hugged]")
            eyes.until(f"{ASKED}.startsWith('Felt, ')")
            eyes.until("document.getAnimations().every(one => one.playState !== 'running')")
            eyes.until("!document.querySelector('.new')")
            page.hover("#lanes", position={"x": 570, "y": 20})
            page.screenshot(path=folder / "screenshot.png")
        with looking(browser, here, viewport={"width": 412, "height": 880}) as eyes:
            page = eyes.visit()
            page.screenshot(path=folder / "phone.png")
            here.stop()
            page.wait_for_selector("#notice:not([hidden])")
            page.screenshot(path=folder / "lost.png")
    assert (folder / "screenshot.png").stat().st_size > 10_000
