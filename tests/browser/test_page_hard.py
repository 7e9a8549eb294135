"""The page under strain: 500 devices, hostile values, the keyboard alone, no movement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.site import PILLOW, Eyes, Site, looking, site

pytestmark = pytest.mark.browser

NAMES = "all => all.map(one => one.dataset.device)"
HOSTILE = '<img src=x onerror="document.title=1">'


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


def send(made: Site, *messages: dict[str, Any]) -> None:
    made.runtime.send(json.dumps(messages).encode())


def arrived(made: Site, device: str, version: int = 1) -> None:
    for _ in range(1000):
        update = made.runtime.store.get(device)
        if update is not None and update.version >= version:
            return
        made.runtime.store.wait(0.02)
    raise AssertionError(f"{device} did not reach version {version}")


# 6. Many


def test_five_hundred_devices_keep_their_places_while_all_of_them_change(
    eyes: Eyes, here: Site
) -> None:
    # Given 500 devices in ten groups
    names = sorted(f"floor{place % 10}/desk-{place:03}" for place in range(500))
    for first in range(0, 500, 100):
        send(
            here,
            *(
                {"device": name, "state": {"on": True, "level": 0}}
                for name in names[first : first + 100]
            ),
        )
    arrived(here, names[-1])
    page = eyes.visit()
    # and all of their rows, which are made as the end of the list comes near
    eyes.until("(scrollTo(0, 1e9), document.querySelectorAll('.row').length === 500)")
    page.evaluate("scrollTo(0, 0)")
    page.evaluate("Object.assign(seen, {shift: 0, moved: []})")
    before = page.eval_on_selector_all("[data-device]", NAMES)
    count = page.evaluate("document.querySelectorAll('*').length")
    assert (
        eyes.text("#count") == "500 devices" and len(page.query_selector_all("[data-group]")) == 10
    )

    # When every one of them changes ten times
    for turn in range(1, 11):
        for first in range(0, 500, 100):
            send(
                here,
                *(
                    {"device": name, "state": {"level": turn}}
                    for name in names[first : first + 100]
                ),
            )
    arrived(here, names[-1], 11)

    # Then each shows its newest value, in its old place, and nothing was left behind
    eyes.until(
        "[...document.querySelectorAll('[data-field=level] dd')].every(one => "
        "one.textContent === '10\\u00a0%')"
    )
    assert page.eval_on_selector_all("[data-device]", NAMES) == before
    assert page.evaluate("document.querySelectorAll('*').length") == count
    eyes.check()

    # And a search finds, leaves the groups that have none, and stands in the address
    page.keyboard.press("Control+k")
    page.keyboard.type("desk-123")
    assert page.locator("[data-device]:visible").count() == 1
    assert page.locator("[data-group]:visible").count() == 1
    assert page.url.endswith("?q=desk-123")
    page.keyboard.press("Escape")
    assert page.locator("#devices [data-device]:not([hidden])").count() == 500


def test_nothing_found_says_so_and_clears(eyes: Eyes, here: Site) -> None:
    send(here, *({"device": f"lamp-{place}", "state": {"on": True}} for place in range(9)))
    arrived(here, "lamp-8")
    page = eyes.visit("/?q=xyz")

    assert eyes.text("#nothing") == "No device matches “xyz”. Clear"
    page.get_by_role("link", name="Clear").click()
    assert page.locator("[data-device]:visible").count() == 9 and not page.url.endswith("xyz")


# 7. Hostile


@pytest.mark.parametrize(
    "options",
    [
        {"viewport": {"width": 320, "height": 800}},
        {"device_scale_factor": 2, "viewport": {"width": 640, "height": 480}},
    ],
)
def test_nothing_runs_overflows_or_is_cut(
    browser: Any, here: Site, options: dict[str, Any]
) -> None:
    long, deep = "a" * 64 + "/" + "b" * 63, {"x": 1}
    for _ in range(27):
        deep = {"d": deep}
    hostile = {
        "label": "سحابة " + HOSTILE, "mood": HOSTILE, "big": 2**53 - 1, "tiny": 1e-9, "deep": deep,
        "constructor": 1,
        "__proto__": {"x": HOSTILE}, HOSTILE: HOSTILE, "text": "x" * 60_000,
        "color": "red;background:url(//x)",
    }  # fmt: skip
    here.send(long, **hostile)
    here.send("other", image="https://elsewhere.example/x.png", toString=5, on=True)
    arrived(here, long)
    arrived(here, "other")
    with looking(browser, here, **options) as eyes:
        for path in ("/", f"/devices/{long}"):
            page = eyes.visit(path)
            here.send(long, mood=HOSTILE + path, hasOwnProperty=path, big=2**53 - 1)
            here.send("other", valueOf=path)
            eyes.until(f"document.body.textContent.includes({json.dumps(HOSTILE + path)})")
            eyes.until(f"document.body.textContent.includes({json.dumps(path)})")

            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.locator("main img").count() == 0 and page.title() != "1"
            assert page.evaluate("({}).x === undefined")
            numbers = page.locator("#state [data-field=big] bdi, .fields [data-field=big] dd")
            for one in numbers.all():
                assert one.evaluate(
                    "one => one.scrollWidth <= one.clientWidth || "
                    "getComputedStyle(one).display === 'inline'"
                )
            eyes.check(still=False)


# 8. The keyboard alone


def test_the_keyboard_reaches_all_of_it(eyes: Eyes, here: Site) -> None:
    here.send(**PILLOW)
    for version, mood in enumerate(("calm", "sad", "happy"), 2):
        arrived(here, "pillow", version - 1)
        here.send(mood=mood)
    arrived(here, "pillow", 4)
    page = eyes.visit("/devices/pillow")
    eyes.until("document.querySelector('#lanes').role === 'slider'")

    # The first stop is the skip link; the timeline is one stop, with arrows inside
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#lanes").focus()
    page.keyboard.press("End")
    assert "version 4, mood happy" in (page.get_attribute("#lanes", "aria-valuetext") or "")
    page.keyboard.press("ArrowLeft")
    assert "version 3, mood sad" in (page.get_attribute("#lanes", "aria-valuetext") or "")
    page.keyboard.press("Home")
    assert "version 1, mood happy" in (page.get_attribute("#lanes", "aria-valuetext") or "")
    assert eyes.text("#readout").endswith("version 1mood happyhugged no")

    # What assistive technology is told
    tree = page.locator("body").aria_snapshot()
    assert 'img "Cloud pillow: happy, battery 82 percent"' in tree
    assert 'slider "Timeline"' in tree and "status" in tree and 'button "Hug pillow"' in tree

    page.locator("#commands button").focus()
    page.keyboard.press("Enter")
    here.answer(here.take())
    eyes.until("document.querySelector('#asked').textContent.trim().startsWith('Felt')")
    assert page.evaluate("document.activeElement.dataset.command") == "hug"
    eyes.until("document.querySelector('#say').textContent !== ''")


# 9. Dark, forced colours, print, no movement


def test_with_reduced_motion_nothing_moves(browser: Any, here: Site) -> None:
    here.send(**PILLOW)
    arrived(here, "pillow")
    with looking(browser, here, reduced_motion="reduce") as eyes:
        page = eyes.visit()
        eyes.until("document.querySelector('#lanes').childElementCount > 2")
        here.send(mood="sad")
        eyes.until("document.querySelector('.cloud[data-mood=sad]')")
        assert (
            page.evaluate(
                "document.getAnimations({subtree: true}).filter(one => one.playState === "
                "'running').length"
            )
            == 0
        )


def test_movement_ends_by_itself(eyes: Eyes, here: Site) -> None:
    here.send(**PILLOW)
    arrived(here, "pillow")
    page = eyes.visit()
    here.send(mood="sad")
    eyes.until("document.querySelector('.cloud[data-mood=sad]')")

    eyes.until("document.getAnimations().every(one => one.playState !== 'running')", timeout=10)
    eyes.until("!document.querySelector('.new, .flash')")
    assert page.locator(".new, .flash").count() == 0


CONTRAST = """() => {
  const channels = (color) => {
    const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
    return {rgb: [r, g, b], a};
  };
  const light = ({rgb}) => rgb
    .map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (one) => { for (; one; one = one.parentElement) {
    const color = channels(getComputedStyle(one).backgroundColor);
    if (color.a === 1) return color; }
    return {rgb: [255, 255, 255]}; };
  const poor = [];
  for (const one of document.querySelectorAll("main *, header *, footer *")) {
    const own = [...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    const skipped = one.closest("svg, [hidden], .skip, .sr, template");
    if (!own || skipped || !one.checkVisibility()) continue;
    const [a, b] = [light(channels(getComputedStyle(one).color)), light(ground(one))]
      .sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) poor.push([one.outerHTML.slice(0, 80), contrast]);
  }
  return poor;
}"""


@pytest.mark.parametrize("options", [{"color_scheme": "light"}, {"color_scheme": "dark"}])
def test_every_text_has_contrast(browser: Any, here: Site, options: dict[str, Any]) -> None:
    here.send(**PILLOW)
    here.send("lamp", on=True, silent_after=0.5)
    here.send("tank", level=62)
    for name in ("pillow", "lamp", "tank"):
        arrived(here, name)
    with looking(browser, here, **options) as eyes:
        for path in ("/", "/devices/pillow", "/devices/lamp", "/operator", "/devices/nobody"):
            page = eyes.visit(path)
            eyes.until("document.getAnimations().every(one => one.playState !== 'running')")
            assert page.evaluate(CONTRAST) == []


def test_marks_keep_their_shape_in_forced_colours_and_print_shows_no_controls(
    browser: Any, here: Site
) -> None:
    here.send(**PILLOW)
    arrived(here, "pillow")
    with looking(browser, here, forced_colors="active") as eyes:
        page = eyes.visit()
        mark = (
            "getComputedStyle(document.querySelector('[data-hop=page]'), "
            "'::before').backgroundColor"
        )
        assert page.evaluate(mark) == "rgb(17, 122, 69)"
        page.emulate_media(media="print", forced_colors="none")
        assert page.locator("#commands button, #status-bar, #notice").evaluate_all(
            "all => all.every(one => !one.checkVisibility())"
        )
        assert eyes.text(".print").startswith("State as of")
