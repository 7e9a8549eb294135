"""What the first readers of the page found, as rules: numbers, pictures, colours, places, words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from statecast.errors import DiskFull
from statecast.model import Change
from statecast.testing import change, message
from tests.browser.site import Eyes, Site, looking, site

pytestmark = pytest.mark.browser


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


def send(made: Site, device: str, *states: dict[str, Any]) -> None:
    """One version after the other: messages of one batch would be one change each, too."""
    for state in states:
        update = made.runtime.store.get(device)
        before = update.version if update is not None else 0
        made.send(device, **state)
        for _ in range(500):
            update = made.runtime.store.get(device)
            if update is not None and update.version > before:
                break
            made.runtime.store.wait(0.02)
        else:
            raise AssertionError(f"{device} has no version after {before}")


# 1. Numbers are exact where they are read off

READINGS = ({"energy_kwh": 12345.678}, {"energy_kwh": 12346.9}, {"energy_kwh": 12348.1})


def test_a_meter_is_read_off_exactly_everywhere(eyes: Eyes, here: Site) -> None:
    # Given a meter with three readings, and its page, as the server wrote it
    send(here, "meter", *READINGS)
    page = eyes.visit("/devices/meter")
    eyes.until("document.querySelector('#lanes').childElementCount > 2")
    steps = [
        "energy 12,346.9 kWh → 12,348.1 kWh",
        "energy 12,345.678 kWh → 12,346.9 kWh",
        "energy 12,345.678 kWh",
    ]
    assert [" ".join(one.split()) for one in page.locator(".change").all_inner_texts()] == steps

    # When a further reading comes in live
    send(here, "meter", {"energy_kwh": 12348.2})

    # Then the history, the state, the timeline and its read-out have all digits
    eyes.until("document.querySelector('#history li').textContent.includes('v4')")
    assert eyes.text("#history .change") == "energy 12,348.1 kWh → 12,348.2 kWh"
    assert eyes.text("#state bdi") == "12,348.2 kWh"
    assert (
        page.text_content("#lanes .range") == "12,345.678 \N{EN DASH} 12,348.2\N{NO-BREAK SPACE}kWh"
    )
    page.locator("#lanes").focus()
    page.keyboard.press("Home")
    assert "energy 12,345.678 kWh" in eyes.text("#readout")
    assert eyes.text(".figure p") == "12,348.2 kWh"
    eyes.check(still=False)

    # And of the ranges only the chosen one is pressed
    for chosen in ("24 h", "7 d", "1 h"):
        page.get_by_role("button", name=chosen).click()
        assert page.locator("#ranges [aria-pressed=true]").all_inner_texts() == [chosen]

    # And so has a card of the list, before the script and after it
    page.goto(here.address + "/?all")
    assert eyes.text("[data-field=energy_kwh]") == "energy 12,348.2 kWh"
    page.wait_for_selector("[data-device=meter] [data-mark=live]")
    send(here, "meter", {"energy_kwh": 12348.25})
    eyes.until("document.querySelector('.fields dd').textContent.startsWith('12,348.25')")


def test_a_figure_that_is_rounded_has_the_exact_value_in_its_title(eyes: Eyes, here: Site) -> None:
    send(here, "probe", {"temperature_c": 21.399999618530273}, {"temperature_c": 21.5})
    page = eyes.visit("/devices/probe")
    assert page.locator(".figure b").get_attribute("title") is None

    send(here, "probe", {"temperature_c": 21.399999618530273})

    eyes.until("document.querySelector('.figure b').textContent === '21.4'")
    assert page.locator(".figure b").get_attribute("title") == "21.399999618530273\u00a0°C"
    assert eyes.text("#state bdi") == "21.399999618530273 °C"


def test_values_that_are_equally_named_are_told_apart(eyes: Eyes, here: Site) -> None:
    # Given lists of one length, and long texts that differ far behind
    long = "x" * 300
    send(here, "thing", {"list": [1, 2, 3, 4], "text": long + "a"})
    page = eyes.visit("/devices/thing")
    eyes.until("document.querySelector('#lanes').childElementCount > 2")

    send(here, "thing", {"list": [1, 2, 3, 5]})
    eyes.until("document.querySelector('#history li').textContent.includes('v2')")
    send(here, "thing", {"text": long + "b"})

    # Then history shows the difference, live and in the next first HTML
    for _ in range(2):
        eyes.until("document.querySelector('#history li').textContent.includes('v3')")
        texts = page.locator(".change").all_inner_texts()
        assert texts[1] == "list [1, 2, 3, 4] → [1, 2, 3, 5]"
        old, new = texts[0].removeprefix("text ").split(" → ")
        assert old.endswith("xa") and new.endswith("xb") and len(old) < 130
        page.reload()


def test_a_line_of_history_says_how_many_fields_it_leaves_out(eyes: Eyes, here: Site) -> None:
    nine = {f"field_{number}": number for number in range(9)}
    send(here, "thing", nine)
    page = eyes.visit("/devices/thing")
    eyes.until("document.querySelector('#lanes').childElementCount > 2")
    assert eyes.text(".change").endswith("field_5 5 and 3 more")
    assert page.locator(".change > :last-child").get_attribute("title") == (
        "field_6, field_7, field_8"
    )

    send(here, "thing", {name: value + 10 for name, value in nine.items()})

    eyes.until("document.querySelector('#history li').textContent.includes('v2')")
    assert eyes.text(".change").endswith("field_5 5 → 15 and 3 more")


def test_versions_that_came_within_a_moment_all_stand_in_the_history(
    eyes: Eyes, here: Site
) -> None:
    # Given a page, and versions of one commit: the server tells only the last of them
    send(here, "thing", {"a": 1, "b": 1})
    page = eyes.visit("/devices/thing")
    eyes.until("document.querySelector('#lanes').childElementCount > 2")
    changes = [change("thing", state) for state in ({"a": 2}, {"b": 2}, {"a": 3})]
    now = here.clock()
    messages = [message(f"m{place}", one, sent_at=now) for place, one in enumerate(changes)]
    here.runtime.store.commit("other", 1, messages)

    # Then the page fetches the others, and each has a line of its own
    eyes.until("document.querySelectorAll('#history li').length === 4")
    assert [" ".join(one.split()) for one in page.locator(".change").all_inner_texts()] == [
        *("a 2 → 3", "b 1 → 2", "a 1 → 2"),
        "a 1 b 1",
    ]
    assert not eyes.errors


def test_times_and_images_are_words_for_people(eyes: Eyes, here: Site) -> None:
    image = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    send(here, "thing", {"hugged_at": "2026-01-31T14:02:11Z", "image": image, "on": True})
    page = eyes.visit("/devices/thing")
    eyes.until("!document.querySelector('[data-field=hugged_at] bdi').textContent.endsWith('UTC')")
    assert eyes.text("[data-field=hugged_at] bdi") == "31 Jan 2026, 14:02:11"
    assert eyes.text("[data-field=image] bdi") == "image, 42 bytes"

    send(here, "thing", {"hugged_at": "2026-01-31T14:02:12.5Z"})

    eyes.until("document.querySelector('[data-field=hugged_at] bdi').textContent.includes('12.5')")
    assert eyes.text("[data-field=hugged_at] bdi") == "31 Jan 2026, 14:02:12.500"
    assert page.locator("[data-field=hugged_at] bdi").get_attribute("title") == (
        "2026-01-31T14:02:12.5Z"
    )
    assert "R0lGOD" not in eyes.text("#history")


# 2. The picture agrees with the text

LAMP, DOOR = "[data-device='hall/light']", "[data-device=front-door]"
TOP = "getComputedStyle(document.querySelector(\"%s .sky\")).getPropertyValue('--top')"


def test_a_lamp_that_is_off_is_dark_and_an_open_door_is_open(eyes: Eyes, here: Site) -> None:
    # Given a lamp that is on, and a closed door, as the server drew them
    send(here, "hall/light", {"on": True, "brightness": 70})
    send(here, "front-door", {"open": False, "locked": True})
    page = eyes.visit("/?all")
    assert eyes.text(f"{LAMP} .sky") == "on · 70 %"
    assert page.locator(f"{LAMP} use").get_attribute("href") == "#i-light-yes"
    assert page.locator(f"{DOOR} use").get_attribute("href") == "#i-door-no"
    lit = page.evaluate(TOP % LAMP)

    # When the lamp goes off and the door opens
    send(here, "hall/light", {"on": False})
    send(here, "front-door", {"open": True})

    # Then the pictures say so, in the live page and in the next first HTML
    for _ in range(2):
        page.wait_for_selector(f"{LAMP} use[href='#i-light-no']", state="attached")
        page.wait_for_selector(f"{DOOR} use[href='#i-door-yes']", state="attached")
        assert eyes.text(f"{LAMP} .sky") == "off" and eyes.text(f"{DOOR} .sky") == "open"
        assert page.evaluate(TOP % LAMP) != lit
        page.reload()


def test_the_title_says_what_the_picture_says(eyes: Eyes, here: Site) -> None:
    send(here, "hall/light", {"on": False})
    page = eyes.visit("/devices/hall/light")
    eyes.until("document.querySelector('#lanes').childElementCount > 2")
    assert page.title() == "off · hall/light — Statecast"

    send(here, "hall/light", {"on": True})

    eyes.until("document.title === 'on · hall/light — Statecast'")


def test_the_name_of_a_device_chooses_its_picture_alike_on_both_sides(
    eyes: Eyes, here: Site
) -> None:
    send(here, "greenhouse/temperature", {"temperature_c": 21, "humidity": 58})
    send(here, "box-7", {"uptime_s": 86400})
    page = eyes.visit("/?all")
    pictures = "all => all.map(one => one.dataset.picture)"
    assert page.eval_on_selector_all("main .sky", pictures) == ["box", "number"]

    send(here, "greenhouse/temperature", {"temperature_c": 21.4})
    send(here, "box-7", {"uptime_s": 86401})
    send(here, "cellar/humidity", {"temperature_c": 12, "humidity": 80})

    page.wait_for_selector("[data-device='cellar/humidity'] .gauge")
    eyes.until("document.querySelector('.figure b').textContent === '21.4'")
    assert page.eval_on_selector_all("main .sky", pictures) == ["box", "gauge", "number"]


def test_it_is_dashed_where_neither_answer_is_known(eyes: Eyes, here: Site) -> None:
    send(here, "door", {"open": True})
    page = eyes.visit("/devices/door")
    assert page.locator(".sky").get_attribute("aria-label") == "Icon door: open"

    send(here, "door", {"open": "ajar"})

    eyes.until("document.querySelector('.icon b').textContent === 'ajar'")
    assert page.locator(".icon").get_attribute("data-is") is None
    dashes = "getComputedStyle(document.querySelector('.icon svg')).strokeDasharray"
    assert page.evaluate(dashes) != "none"
    assert page.locator(".sky").get_attribute("aria-label") == "Icon door: ajar"


def test_the_gallery_is_a_page_to_look_at(eyes: Eyes, here: Site) -> None:
    page = eyes.visit("/pictures")
    assert eyes.text("h1") == "Pictures"
    assert page.locator(".card").count() > 30
    sizes = page.eval_on_selector_all(
        ".card .sky", "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert set(sizes) == {152}
    eyes.check()


def test_a_device_with_an_image_keeps_its_button_and_says_what_is_wrong(
    eyes: Eyes, here: Site
) -> None:
    # Given a pillow whose image is another site's
    send(here, "pillow", {"mood": "happy", "image": "https://elsewhere.example/x.png"})
    page = eyes.visit("/devices/pillow")
    assert "that site would learn who looks" in eyes.text("[data-note=foreign]")
    assert page.locator(".sky .cloud").is_visible()

    # When it takes one of this server, which is not there
    send(here, "pillow", {"image": "/nothing.png"})

    # Then its page says that, and keeps the button
    page.wait_for_selector("[data-note=missing]", state="visible")
    assert page.locator("[data-note=foreign]").is_hidden()
    page.reload()
    page.wait_for_selector("[data-note=missing]", state="visible")
    assert page.get_by_role("button", name="Hug pillow").is_visible()

    # And with one that can be shown there is nothing to say
    square = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E".replace(" ", "%20")
    send(here, "pillow", {"image": square})
    page.wait_for_selector("[data-note=missing]", state="hidden")
    assert page.get_by_role("button", name="Hug pillow").is_visible()


# 3. A word keeps its colour

BANDS = """all => Object.fromEntries(all.map((band) =>
  [band.querySelector("text")?.textContent, getComputedStyle(band.firstChild).fill]))"""
SKY_OF = "getComputedStyle(document.documentElement).getPropertyValue('--sky-%s')"


def test_words_have_the_same_colours_at_every_load_and_moods_those_of_their_sky(
    browser: Any, here: Site
) -> None:
    # Given an hour of moods and of other words, all long enough to be named
    moods = ("sad", "calm", "angry", "happy", "sleepy", "calm")
    words = ("idle", "busy", "charging", "error", "waiting", "idle")
    for here.minutes_ago, mood, word in zip((59, 50, 40, 30, 20, 10), moods, words):
        send(here, "pillow", {"mood": mood, "status": word})
    here.come_to_the_present()
    seen = []
    for scheme in ("light", "dark"):
        with looking(browser, here, color_scheme=scheme) as eyes:
            page = eyes.visit("/devices/pillow")
            eyes.until("document.querySelectorAll('#lanes svg text').length > 11")
            first = page.eval_on_selector_all("#lanes svg:has(.value)", BANDS)
            assert len(set(first.values())) == len(first) == 10
            for mood in set(moods):
                page.evaluate(f"document.body.style.color = {SKY_OF % mood}")
                assert first[mood] == page.evaluate("getComputedStyle(document.body).color")
            page.evaluate("document.body.style.color = ''")

            # When newer words push the first ones out of the HTML, and the page is loaded again
            send(here, "pillow", *({"status": "busy", "note": str(turn)} for turn in range(8)))
            page.reload()
            eyes.until("document.querySelectorAll('#lanes svg text').length > 11")

            # Then each word has the colour that it had
            again = page.eval_on_selector_all("#lanes svg:has(.value)", BANDS)
            assert {word: again[word] for word in first} == first
            seen.append(first)
    assert seen[0] != seen[1]


# 4. Values beside their own label; nothing jumps


def many(here: Site, count: int = 90) -> None:
    for number in range(count):
        here.send(f"floor{number % 3}/lamp-{number:02}", on=True, brightness=70, power_w=4.5)
    for _ in range(500):
        if here.runtime.store.get(f"floor{(count - 1) % 3}/lamp-{count - 1:02}") is not None:
            return
        here.runtime.store.wait(0.02)


GAP = """row => {
  const [label, value] = [...row.children].map(one => one.getBoundingClientRect());
  return value.left - label.right;
}"""


def test_a_row_has_its_values_beside_their_labels_and_counts_follow_the_search(
    eyes: Eyes, here: Site
) -> None:
    many(here)
    page = eyes.visit("/")
    gaps = {page.locator(f".row .fields div >> nth={place}").evaluate(GAP) for place in range(3)}
    assert gaps == {8}
    assert eyes.text("#count") == "90 devices"
    assert eyes.text("[data-show=count]") == "30"

    # When a search leaves ten, three or four per group
    page.keyboard.press("Control+k")
    page.keyboard.type("lamp-1")

    # Then heading and groups say so; and so does the first HTML of that address
    eyes.until("document.querySelector('#count').textContent === '10 of 90 devices'")
    assert page.locator("[data-show=count]").all_inner_texts() == ["3 of 30", "4 of 30", "3 of 30"]
    with looking(eyes.context.browser, here, script=False) as reader:
        reader.visit("/?q=lamp-1", live=False)
        assert reader.text("#count") == "10 of 90 devices"
        assert reader.text("[data-show=count]") == "3 of 30"
    page.keyboard.press("Escape")
    eyes.until("document.querySelector('#count').textContent === '90 devices'")


@pytest.mark.parametrize("width", [320, 390, 768])
def test_rows_on_small_windows_show_two_fields(browser: Any, here: Site, width: int) -> None:
    many(here)
    with looking(browser, here, viewport={"width": width, "height": 844}) as eyes:
        page = eyes.visit("/")
        fields = page.locator(".row").first.locator(".fields div:visible")
        assert [" ".join(one.split()) for one in fields.all_inner_texts()] == [
            "on yes",
            "power 4.5 W",
        ]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [320, 390, 768, 900, 1024, 1280])
def test_no_word_of_the_head_moves_the_page(browser: Any, here: Site, width: int) -> None:
    many(here)
    with looking(browser, here, viewport={"width": width, "height": 844}) as eyes:
        page = eyes.visit("/")
        before = page.evaluate("document.querySelector('main').getBoundingClientRect().top")

        # When every part of the status bar says its longest words
        page.evaluate("""() => {
          const words = {devices: "1,022 of 10,000 silent", queue: "“basement” away 119 min",
            page: "offline for 119 min"};
          for (const one of document.querySelectorAll("#status-bar [data-hop]"))
            one.querySelector("span").textContent = words[one.dataset.hop];
        }""")

        # Then the head is as high as before, and as wide as the window
        after = page.evaluate("document.querySelector('main').getBoundingClientRect().top")
        assert after == before
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_news_and_notices_move_nothing(eyes: Eyes, here: Site) -> None:
    # Given the page of the only device
    send(here, "pillow", {"mood": "happy"})
    page = eyes.visit("/")
    eyes.until("document.querySelector('#lanes').childElementCount > 2")

    # When there is a second device, and then no server
    send(here, "lamp", {"on": True})
    page.wait_for_selector("#others", state="visible")
    here.stop()
    page.wait_for_selector("#notice", state="visible")

    # Then nothing moved up or down, and the foot stands at the bottom
    assert [one for one in page.evaluate("seen.moved") if one[2]] == []
    foot = "Math.round(document.querySelector('footer').getBoundingClientRect().bottom)"
    assert page.evaluate(foot) == page.viewport_size["height"]


# 9. One column


@pytest.mark.parametrize(("width", "height"), [(390, 844), (768, 1024), (900, 600)])
def test_in_one_column_the_picture_leaves_room(
    browser: Any, here: Site, width: int, height: int
) -> None:
    send(here, "pillow", {"mood": "happy"})
    with looking(browser, here, viewport={"width": width, "height": height}) as eyes:
        page = eyes.visit("/")
        assert (
            page.evaluate("document.querySelector('#one .sky').getBoundingClientRect().height")
            <= 0.4 * height + 0.1
        )


# 5. Every word from the same fact as its number


def test_a_page_without_a_device_does_not_say_that_there_are_none(eyes: Eyes, here: Site) -> None:
    for device in ("a", "b", "c"):
        send(here, device, {"on": True})
    eyes.visit("/devices/nobody")
    eyes.until("document.querySelector('[data-hop=queue] span').textContent === 'up to date'")
    assert eyes.text("[data-hop=devices]") == "Devices 3 known"


def test_a_removed_device_has_no_living_picture(eyes: Eyes, here: Site) -> None:
    # Given the page of a pillow that is then removed
    send(here, "pillow", {"mood": "happy"}, {"mood": "sad"})
    send(here, "lamp", {"on": True})
    page = eyes.visit("/devices/pillow")
    eyes.until("document.querySelector('#lanes').childElementCount > 2")
    here.runtime.store.edit(Change("pillow", "delete", {}, by="user"))

    # Then neither the live page nor the next first HTML shows a face, nor a button to hug it
    for _ in range(2):
        page.wait_for_selector("#device.gone")
        eyes.until("!document.querySelector('.sky .cloud')")
        assert page.locator(".sky").get_attribute("aria-label") == "pillow was removed"
        assert eyes.text("[data-hop=devices]") == "Devices removed"
        assert page.locator("#commands button, #send").locator("visible=true").count() == 0
        page.reload()


def test_offline_a_silent_device_was_last_known_when_it_was_heard(eyes: Eyes, here: Site) -> None:
    # Given a lamp that has been silent for an hour, and a live one
    here.minutes_ago = 60
    send(here, "old", {"on": True})
    here.come_to_the_present()
    send(here, "new", {"on": True})
    page = eyes.visit("/")
    page.wait_for_selector("[data-device=old] [data-mark=late]")
    heard = page.locator("[data-device=old] time").get_attribute("datetime")

    # When the server is gone
    here.stop()
    page.wait_for_selector("[data-device=new] [data-mark=lost]")

    # Then each says until when it was known
    lost = page.locator("[data-device=old] .fresh")
    assert lost.locator("b").inner_text() == "Last known"
    assert lost.locator("time").get_attribute("datetime") == heard
    assert page.locator("[data-device=new] time").get_attribute("datetime") != heard


def test_the_limit_is_called_a_limit(eyes: Eyes, here: Site) -> None:
    send(here, "pillow", {"mood": "happy"})
    with looking(eyes.context.browser, here, script=False) as reader:
        reader.visit(live=False)
        assert reader.text("[data-show=heard]").endswith("UTC, silent after 30 s")
    eyes.visit()
    heard = r"/^(just now|\d+ sec ago), silent after 30 s$/"  # how long depends on the machine
    eyes.until(f"{heard}.test(document.querySelector('[data-show=heard]').textContent.trim())")


# 6. What the page tells people to type


def test_a_command_stands_in_one_line_that_copies_whole(browser: Any, here: Site) -> None:
    for width in (390, 1280):
        with looking(browser, here, viewport={"width": width, "height": 844}) as eyes:
            page = eyes.visit("/")
            for name in ("command", "curl"):
                line = page.locator(f"#{name}")
                assert line.evaluate("one => one.getClientRects().length") == 1
                assert line.evaluate("one => one.clientHeight < 2 * 13 * 1.5 + 24")
                copied = line.evaluate(
                    "one => { getSelection().selectAllChildren(one); return `${getSelection()}` }"
                )
                assert copied == line.text_content()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# 7. What was set aside is seen


def test_a_message_in_quarantine_makes_a_mark_that_leads_to_its_reason(
    eyes: Eyes, here: Site
) -> None:
    # Given a live page
    send(here, "pillow", {"mood": "happy"})
    page = eyes.visit()
    assert page.locator("[data-hop=aside]").is_hidden()

    # When a message comes that cannot be read
    here.runtime.sources[0][0].send(b'{"mood": "sad"}')

    # Then the status bar has a badge, which opens the reason
    page.wait_for_selector("[data-hop=aside]", state="visible")
    assert eyes.text("[data-hop=aside]") == "1 set aside"
    assert page.locator("[data-hop=aside]").get_attribute("data-mark") == "late"
    page.locator("[data-hop=aside] a").click()
    page.wait_for_url("**/operator#quarantine")
    assert "device" in eyes.text("#quarantine")


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_the_mark_of_what_was_set_aside_takes_no_place(
    browser: Any, here: Site, width: int
) -> None:
    # Given a live page
    runtime = here.runtime
    with looking(browser, here, viewport={"width": width, "height": 844}) as eyes:
        page = eyes.visit("/pictures")
        bar = "JSON.stringify(document.querySelector('#status-bar').getBoundingClientRect())"
        before = page.evaluate(bar)

        # When the mark comes, says more, and goes
        runtime.sources[0][0].send(b'{"mood": "sad"}')
        eyes.until("document.querySelector('[data-hop=aside] span').textContent === '1 set aside'")
        for _ in range(11):
            runtime.sources[0][0].send(b'{"mood": "sad"}')
        for subject in ("device lamp", "device door"):
            runtime.problems.report("damaged-row", subject, "A row is damaged.")
        longest = "2 problems, 12 set aside"
        eyes.until(f"document.querySelector('[data-hop=aside] span').textContent === '{longest}'")
        assert page.locator("[data-hop=aside] a").is_visible()
        for subject in ("device lamp", "device door"):
            runtime.problems.clear("damaged-row", subject)
        for row in runtime.store.quarantined():
            runtime.store.drop(row.number)
        page.wait_for_selector("[data-hop=aside]", state="hidden")

        # Then nothing moved (the line beside the hops may still adapt to their first texts)
        seen = page.evaluate("seen")
        assert (seen["violations"], seen["moved"]) == ([], []) and seen["shift"] < 1e-4, seen
        assert page.evaluate(bar) == before


@pytest.mark.parametrize("device", ["", "pillow", "nobody"])
def test_the_reason_comes_to_a_page_that_is_open(eyes: Eyes, here: Site, device: str) -> None:
    # Given the page of no device, of one, and of one that is not there
    if device:
        send(here, "pillow", {"mood": "happy"})
    page = eyes.visit(f"/devices/{device}" if device else "/")
    assert page.locator("[data-set-aside]").is_hidden()

    # When a message comes that may be about it, and cannot be applied
    body = f'{{"device": "{device or "pillow"}", "state": 5}}'
    here.runtime.sources[0][0].send(body.encode())

    # Then the page says why, without a reload
    page.wait_for_selector("[data-set-aside]", state="visible")
    assert "“state” must be a JSON object" in eyes.text("[data-set-aside]")
    for row in here.runtime.store.quarantined():
        here.runtime.store.drop(row.number)
    page.wait_for_selector("[data-set-aside]", state="hidden")
    assert not eyes.errors


def test_a_store_that_takes_nothing_is_not_called_the_queue(eyes: Eyes, here: Site) -> None:
    # Given a live page of two devices
    send(here, "pillow", {"mood": "happy"})
    send(here, "lamp", {"on": True})
    page = eyes.visit("/")

    # When the store takes no message, and the queue can be read
    def full(*arguments: object, **options: object) -> None:
        raise DiskFull("/secret/path is full.", public="The disk of the store is full.")

    store: Any = here.runtime.store
    commit, store.commit_received = store.commit_received, full
    here.send("pillow", mood="sad")

    # Then each part of the page names the store
    away = "document.querySelector('[data-filter=away]')"
    eyes.until(f"!{away}.hidden && {away}.textContent.startsWith('Store blocked')")
    assert eyes.text("[data-hop=queue]").startswith("Queue waits for the store")
    assert set(page.locator(".fresh b").all_inner_texts()) == {"Store blocked"}
    eyes.until("document.title.startsWith('⚠ disk full')")
    assert "Queue away" not in page.locator("body").inner_text()

    # And when it takes messages again, nothing was lost
    store.commit_received = commit
    eyes.until("document.querySelector('[data-device=pillow] .cloud').dataset.mood === 'sad'")
    eyes.until(f"{away}.hidden")


def test_a_full_disk_is_named_and_is_not_the_queue(eyes: Eyes, here: Site) -> None:
    # Given a live page
    send(here, "pillow", {"mood": "happy"})
    page = eyes.visit()
    sentence = "The disk of the store is full; free some space. Nothing was lost."

    # When the disk is full: the store takes no report of the process any more
    def full(*arguments: object) -> None:
        raise DiskFull("/secret/path is full.", public=sentence)

    announce, here.runtime.store.announce = here.runtime.store.announce, full

    # Then badge, notice and title name it, and no path
    page.wait_for_selector("[data-hop=aside][data-mark=away]", state="visible")
    page.wait_for_selector("#notice", state="visible")
    assert eyes.text("#notice") == f"{sentence} Details"
    assert eyes.text("[data-hop=aside]") == "disk full"
    assert eyes.text("[data-hop=queue]") == "Queue up to date"
    eyes.until("document.title.startsWith('⚠ disk full')")
    assert "/secret" not in page.content()
    assert page.locator("#notice a").evaluate("one => one.href").endswith("/operator#problems")

    # And all of it goes when the disk has room again
    here.runtime.store.announce = announce
    page.wait_for_selector("#notice", state="hidden")
    page.wait_for_selector("[data-hop=aside]", state="hidden")
