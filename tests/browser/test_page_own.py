"""A page of one's own, with attributes alone: each target, pictures, hostile values, staleness.

One app and its server serve all tests; each test has devices of its own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import flask
import pytest

from statecast import Statecast
from statecast.flask import runtime_of
from statecast.server.server import BackgroundServer
from tests.browser.site import Eyes

pytestmark = pytest.mark.browser

POLICY = (
    "default-src 'none'; script-src 'nonce-{}'; img-src 'self' data:; connect-src 'self'; "
    "style-src 'none'; base-uri 'none'"
)
NONCE = "c2VjcmV0"
FRAMES = """
performance.now = () => 0;  // so that no picture takes too long, however busy the machine is
window.frames_ = [];
const look = () => {
  const [text, picture] = [document.querySelector('#mood'), document.querySelector('#picture')];
  if (text && picture) {
    const seen = text.textContent + ' ' + (picture.getAttribute('src') ?? 'none').split('/').pop();
    if (frames_.at(-1) !== seen) frames_.push(seen);
  }
  requestAnimationFrame(look);
};
look();
"""


def png(red: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(bytes((0, red, 0, 0)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


class Own:
    """An app with pages of its own, by path, and its server."""

    def __init__(self) -> None:
        self.app = flask.Flask("own")
        self.live = Statecast(self.app, store="memory:", port=0)
        self.bodies: dict[str, str] = {}
        self.asked: list[str] = []
        self.app.add_url_rule("/own/<name>", "own", self.own)
        self.app.add_url_rule("/pictures/<name>.png", "picture", self.picture)
        self.server = BackgroundServer(runtime_of(self.app), self.app)

    def own(self, name: str) -> flask.Response:
        head = '<!doctype html><html lang="en"><title>Mine</title><body>'
        text = flask.render_template_string(head + self.bodies[name])
        return flask.Response(text, headers={"Content-Security-Policy": POLICY.format(NONCE)})

    def picture(self, name: str) -> flask.Response:
        self.asked.append(name)
        if name not in ("happy", "sad", "unknown"):
            flask.abort(404)
        return flask.Response(png(len(name)), mimetype="image/png")


@pytest.fixture(scope="module")
def own() -> Iterator[Own]:
    own = Own()
    own.server.start()
    yield own
    own.server.stop()


@pytest.fixture
def eyes(browser: Any, own: Own) -> Iterator[Eyes]:
    eyes = Eyes(browser, own.server.address)
    yield eyes
    eyes.close()


class Console:
    """What the page says in the console."""

    def __init__(self, eyes: Eyes) -> None:
        self.lines: list[str] = []
        eyes.page.on("console", lambda message: self.lines.append(message.text))

    def count(self, words: str) -> int:
        return sum(words in line for line in self.lines)


def visit(eyes: Eyes, own: Own, name: str, body: str) -> Any:
    own.bodies[name] = body + f"{{{{ live_script(nonce='{NONCE}') }}}}"
    page = eyes.visit(f"/own/{name}", live=False)
    page.wait_for_selector("html[data-live-state=live]")
    return page


TARGETS = """
<b id=text data-live="lamp.word"></b>
<b id=nested data-live="lamp.climate.rooms.1.name"></b>
<b id=number data-live="lamp.level" data-format="number:1"></b>
<b id=german lang=de data-live="lamp.level" data-format="number"></b>
<b id=percent data-live="lamp.level" data-format="percent:0"></b>
<b id=age data-live="lamp.at" data-format="age"></b>
<b id=gone data-live="lamp.gone" data-fallback="unknown"></b>
<img id=src data-live="lamp.image" data-to="src" alt="">
<a id=href data-live="lamp.page" data-to="href title">page</a>
<i id=class class="mine" data-live="lamp.word" data-to="class"></i>
<input id=value data-live="lamp.level" data-to="value">
<meter id=meter min=0 max=2000 data-live="lamp.level" data-to="value"></meter>
<input id=checked type=checkbox data-live="lamp.on" data-to="checked">
<button id=disabled data-live="lamp.on" data-to="disabled"></button>
<details id=open data-live="lamp.on" data-to="open"></details>
<p id=hidden data-live="lamp.on" data-to="!hidden"></p>
<p id=css data-live="lamp.level" data-to="--level"></p>
<p id=data data-live="lamp.word" data-to="data-word aria-label"></p>
<p id=pressed data-live="lamp.on" data-to="aria-pressed"></p>
"""
READ = """() => {
  const get = (id) => document.getElementById(id);
  return {
    text: get("text").textContent, nested: get("nested").textContent,
    number: get("number").textContent, german: get("german").textContent,
    percent: get("percent").textContent, gone: get("gone").textContent,
    src: get("src").getAttribute("src"), href: get("href").getAttribute("href"),
    title: get("href").title, class: get("class").className, value: get("value").value,
    meter: get("meter").value, checked: get("checked").checked,
    disabled: get("disabled").disabled, open: get("open").open, hidden: get("hidden").hidden,
    css: get("css").style.getPropertyValue("--level"), data: get("data").dataset.word,
    label: get("data").ariaLabel, pressed: get("pressed").ariaPressed,
  };
}"""


def test_each_target_and_format(eyes: Eyes, own: Own) -> None:
    # Given a device with values for all targets
    state: dict[str, Any] = {
        "word": "on fire",
        "climate": {"rooms": [{}, {"name": "hall"}]},
        "level": 1234.56,
        "at": "2020-01-01T00:00:00Z",
        "image": "/pictures/happy.png",
        "page": "/own/other",
        "on": True,
    }
    own.live.set("lamp", state)
    page = visit(eyes, own, "targets", TARGETS)

    assert page.evaluate(READ) == {
        "text": "on fire",
        "nested": "hall",
        "number": "1,234.6",
        "german": "1.234,56",
        "percent": "1,235%",
        "gone": "unknown",
        "src": "/pictures/happy.png",
        "href": "/own/other",
        "title": "/own/other",
        "class": "mine word-on-fire",
        "value": "1234.56",
        "meter": 1234.56,
        "checked": True,
        "disabled": True,
        "open": True,
        "hidden": False,
        "css": "1234.56",
        "data": "on fire",
        "label": "on fire",
        "pressed": "true",
    }
    assert page.locator("#age").inner_text().endswith("ago")

    # When other values come, also where a person has clicked
    page.locator("#checked").click()
    page.locator("#href").evaluate("element => element.focus()")
    own.live.set("lamp", word="off", level=2, on=False, image=None, page=None)
    eyes.until("document.getElementById('text').textContent === 'off'")

    shown = page.evaluate(READ)
    assert (shown["class"], shown["value"], shown["css"]) == ("mine word-off", "2", "2")
    assert (shown["checked"], shown["disabled"], shown["open"]) == (False, False, False)
    assert (shown["hidden"], shown["src"], shown["href"]) == (True, None, None)

    # When the device is removed, nothing of it is left
    own.live.delete("lamp")
    page.wait_for_selector("#text[data-fresh=none]", state="attached")
    shown = page.evaluate(READ)
    assert (shown["text"], shown["class"], shown["gone"]) == ("", "mine", "unknown")
    eyes.check(still=False)


HOSTILE = """
<b id=text data-live="evil.html"></b>
<a id=href data-live="evil.url" data-to="href">x</a>
<img id=src data-live="evil.url" data-to="src" alt="">
<i id=class class="mine" data-live="evil.classes" data-to="class"></i>
<p id=css data-live="evil.css" data-to="--level"></p>
<p id=data data-live="evil.quotes" data-to="data-x title aria-label"></p>
<img id=picture data-live="evil.path" data-pictures="/pictures/{}.png" alt="face">
<s data-live="evil.html" data-to="onclick"></s><s data-live="evil.html" data-to="onclick"></s>
<s data-live="evil.html" data-to="style srcdoc innerHTML"></s>
<iframe data-live="evil.html" data-to="srcdoc"></iframe>
<script id=code type="text/plain" data-live="evil.html"></script>
<style id=sheet data-live="evil.css"></style>
"""


@pytest.mark.parametrize(
    "url",
    [
        "javascript:window.hacked=1",
        " JaVa\tScript:window.hacked=1",
        "data:text/html,<script>opener.hacked=1</script>",
        "blob:x",
    ],
)
def test_hostile_values_run_nothing_and_load_nothing(eyes: Eyes, own: Own, url: str) -> None:
    # Given a device that tries each target, before a page that allows no script but ours
    html = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
    own.live.replace(
        "evil",
        html=html,
        url=url,
        classes='mine" onload="x hidden',
        css="red; background: url(/pictures/stolen.png)",
        quotes="\"><script>window.hacked=1</script>",
        path="../own/targets",
    )  # fmt: skip
    console = Console(eyes)
    page = visit(eyes, own, "hostile", HOSTILE)
    eyes.until("document.getElementById('text').textContent.startsWith('<img')")

    assert page.locator("#text").text_content() == html
    assert page.locator("#text *").count() == 0
    for attribute in ("href", "src"):
        assert page.locator(f"#{attribute}").get_attribute(attribute) is None
    assert page.locator("#class").get_attribute("class") == "mine classes-mine--onload--x-hidden"
    assert page.locator("#css").get_attribute("style") in (None, "")
    assert page.locator("#code").text_content() == ""
    assert page.locator("#sheet").text_content() == ""
    for name in ("onclick", "style", "srcdoc", "innerHTML"):
        assert page.locator(f"[{name}]").count() == 0, name
    assert not page.evaluate("'hacked' in window")
    assert "stolen" not in own.asked
    # Each refusal is said once, however often values come
    own.live.set("evil", html="done", css="x;y")
    eyes.until("document.getElementById('text').textContent === 'done'")
    for words in (
        'data-to="onclick"',
        'data-to="style"',
        "<script>",
        "evil.css is not",
        "evil.url",
    ):
        expected = 2 if words == "evil.url" else 1  # as href and as src
        assert console.count(words) == expected, (words, console.lines)


PICTURES = """
<b id=mood data-live="pillow.mood"></b>
<img id=picture data-live="pillow.mood" data-pictures="/pictures/{}.png"
  data-fallback="/pictures/unknown.png" alt="face">
<img id=bare data-live="pillow.mood" data-pictures="/pictures/{}.png" alt="face">
"""


def test_a_picture_comes_in_the_frame_of_its_text(eyes: Eyes, own: Own) -> None:
    # Given a page that shows a mood as text and as a picture
    own.live.set("pillow", mood="happy")
    eyes.page.add_init_script(FRAMES)
    page = visit(eyes, own, "pictures", PICTURES)
    page.wait_for_selector('#picture[src$="happy.png"]', state="attached")
    eyes.until("frames_.at(-1) === 'happy happy.png'")
    page.evaluate("frames_.splice(0, frames_.length - 1)")

    # When the mood changes, each frame shows a pair that belongs together
    own.live.set("pillow", mood="sad")
    page.wait_for_selector('#picture[src$="sad.png"]', state="attached")
    eyes.until("frames_.at(-1) === 'sad sad.png'")
    own.live.set("pillow", mood="happy")
    eyes.until("frames_.at(-1) === 'happy happy.png' && frames_.length > 1")
    frames = page.evaluate("frames_")
    assert frames == ["happy happy.png", "sad sad.png", "happy happy.png"], frames

    # When there is no such picture, the fallback or the text stands in, and text goes on
    own.live.set("pillow", mood="../nosuch")
    page.wait_for_selector('#picture[src$="unknown.png"]', state="attached")
    eyes.until("document.querySelector('#mood').textContent === '../nosuch'")
    eyes.until("!document.querySelector('#bare').hasAttribute('src')")
    assert page.locator("#bare").get_attribute("alt") == "face"


def test_a_picture_that_does_not_come_holds_up_no_text(eyes: Eyes, own: Own) -> None:
    # Given a picture whose request is never answered
    own.live.set("pillow", mood="happy")
    eyes.page.route("**/pictures/sad.png", lambda route: None)
    page = visit(eyes, own, "slow", PICTURES)
    page.wait_for_selector('#picture[src$="happy.png"]', state="attached")

    own.live.set("pillow", mood="sad")

    # Then the text is shown, and no old picture stands beside it
    eyes.until("document.querySelector('#mood').textContent === 'sad'")
    assert page.locator("#picture").get_attribute("src") == "/pictures/unknown.png"
    assert page.locator("#bare").get_attribute("src") is None


def test_the_first_html_has_the_state_and_the_script_resumes_from_it(eyes: Eyes, own: Own) -> None:
    # Given a page whose template shows a state
    own.live.set("door", open=True, name="front")
    sent: list[str] = []
    eyes.page.on(
        "websocket",
        lambda socket: socket.on("framesent", lambda data: sent.append(str(data))),
    )
    visit(
        eyes,
        own,
        "first",
        """<b id=name data-live="door.name">{{ live_text("door.name") }}</b>
        <b id=open data-live="door.open">{{ live_text("door.open") }}</b>""",
    )

    # Then it asks only for what came after
    position = runtime_of(own.app).store.read_position()
    watch = next(one for one in sent if '"watch"' in one)
    assert f'"offset":{position.offset}' in watch and position.epoch in watch
    assert eyes.text("#name") == "front" and eyes.text("#open") == "yes"
    own.live.set("door", open=False)
    eyes.until("document.querySelector('#open').textContent === 'no'")
    eyes.check(still=False)


def test_elements_that_are_added_later_share_the_connection(eyes: Eyes, own: Own) -> None:
    own.live.set("one", word="first")
    own.live.set("two.dotted", climate={"t": 5})
    sockets: list[str] = []
    eyes.page.on("websocket", lambda socket: sockets.append(socket.url))
    page = visit(eyes, own, "later", '<p><b id=one data-live="one.word"></b></p>')
    eyes.until("document.querySelector('#one').textContent === 'first'")

    # When an element of another device is added, and one in a shadow root
    page.evaluate(
        """async () => {
          const {bind} = await import("/statecast/bind.js");
          const make = (html) => {
            const made = document.createElement("b");
            for (const [name, value] of Object.entries(html)) made.setAttribute(name, value);
            return made;
          };
          const two = {id: "two", "data-live": "two.dotted", "data-field": "/climate/t"};
          document.querySelector("p").append(make(two));
          const shadow = document.querySelector("p").attachShadow({mode: "open"});
          shadow.append(make({"data-live": "one.word"}));
          bind(shadow);
          window.shadow = shadow;
        }"""
    )
    eyes.until("document.querySelector('#two').textContent === '5'")
    eyes.until("shadow.querySelector('b').textContent === 'first'")
    own.live.set("one", word="second")
    eyes.until("shadow.querySelector('b').textContent === 'second'")
    assert len(sockets) == 1

    # When the attribute of an element changes, it shows the other field
    page.evaluate("document.querySelector('#two').removeAttribute('data-field')")
    page.evaluate("document.querySelector('#two').setAttribute('data-live', 'one.word')")
    eyes.until("document.querySelector('#two').textContent === 'second'")


def test_mistyped_names_are_said_once_with_the_nearest(eyes: Eyes, own: Own) -> None:
    own.live.set("cushion", mood="happy", battery=80)
    console = Console(eyes)
    visit(
        eyes,
        own,
        "mistyped",
        """<b id=good data-live="cushion.mood"></b><b data-live="cushion.moood"></b>
        <b data-live="cushon.mood"></b><b data-live="cushion.mood" data-format="numbr"></b>
        <b data-live="cushion" data-to="title"></b>""",
    )
    for battery in (79, 78):
        own.live.set("cushion", battery=battery, mood=f"{battery}")
        eyes.until(f"document.querySelector('#good').textContent === '{battery}'")
    for words in (
        '"cushion" has no field "moood" now. Did you mean "mood"?',
        'there is no device "cushon" now. Did you mean "cushion"?',
        'data-format="numbr" is unknown',
        "it names no field",
    ):
        assert console.count(words) == 1, (words, console.lines)


def test_a_page_that_is_not_live_shows_it(browser: Any, own: Own) -> None:
    # Given a live page on a server of its own, which can be stopped
    mine = Own()
    mine.server.start()
    mine.live.set("pillow", mood="happy")
    eyes = Eyes(browser, mine.server.address)
    try:
        page = visit(eyes, mine, "stale", '<b data-live="pillow.mood"></b>')
        style = "getComputedStyle(document.documentElement, '::after').content"
        opacity = "getComputedStyle(document.querySelector('b')).opacity"
        assert page.evaluate(style) == "none" and page.evaluate(opacity) == "1"

        mine.server.stop()

        page.wait_for_selector("html[data-live-state=lost]")
        assert "No connection" in page.evaluate(style)
        assert page.evaluate(opacity) == "0.5"
        assert eyes.text("b") == "happy"
    finally:
        eyes.close()
        mine.server.stop()


# Bytes as they are sent: gzipped by our server. 20,000 before protocol 2: what merges its patches
# and its beats is 1 KB, which a page has saved after four beats.
MOST_BYTES = 20_500


def test_what_a_page_of_ones_own_loads(eyes: Eyes, own: Own) -> None:
    own.live.set("pillow", mood="happy")
    page = visit(eyes, own, "weight", '<b data-live="pillow.mood"></b>')
    sizes = page.evaluate(
        """() => performance.getEntriesByType("resource")
          .filter(({name}) => name.endsWith(".js"))
          .map(({name, encodedBodySize}) => [name.split("/").pop(), encodedBodySize])"""
    )
    assert len(sizes) == len(dict(sizes)), "each module once"
    assert sum(dict(sizes).values()) < MOST_BYTES, sum(dict(sizes).values())
