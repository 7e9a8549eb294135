"""``examples/huggable_cloud`` in real browsers, its site and its pillow as real processes.

The story of a hug, with everything that can be pulled out of a wall.

``TEST_STATECAST_HUGS=embedded,azurite`` tells it over Azurite as well.
``TEST_STATECAST_SCREENSHOTS`` names a folder for the pictures of the documents.
"""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from azurite_server import Azurite, free_port
from tests.browser.site import Eyes
from tests.system.cut_proxy import CutProxy, cut_proxy
from tests.waiting import wait_for

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples" / "huggable_cloud"
PATH, DEVICE = "/maple", "maple/pillow"
PHONE = {"width": 390, "height": 844}
TIMED = 20
"""Hugs whose time from the click to "felt" is taken."""
WINDOWS, CLICKS, CUTS = 5, 200, 8
SHORT = 2
"""Seconds for which a hug is wanted that the pillow cannot feel in time."""
LONG = 600
LATE = {
    "embedded": "not felt: It came too late.",  # the cloud takes it from its queue, and says so
    "azure-queue": "gave up: no answer, it may have been felt",  # Azure drops it at its deadline
}
STORY = {
    "waiting": "Ada hugs the cloud, which is busy",
    "felt": "The cloud says that it felt the hug",
    "unplugged": "Its plug is pulled, and hugs wait",
    "back": "Plugged in again: felt once, none too late",
}
"""The pictures of the documents' strip, and what is under them."""
STRIP = """<style>
  body { margin: 0; padding: 12px; display: flex; gap: 12px; background: #fff; width: max-content }
  figure { margin: 0; width: 330px; font: 15px sans-serif; text-align: center; color: #333 }
  img { width: 100%%; border: 1px solid #ddd; border-radius: 12px; margin-bottom: 6px }
</style>%s"""

with pytest.MonkeyPatch.context() as _path:
    _path.syspath_prepend(EXAMPLE)
    import run

LISTEN = """async () => {
  const { bind } = await import("/statecast/bind.js");
  window.live = bind();
  window.told = {};  // per command what became of it, in the order in which the page was told
  const changes = {};  // after a cut the page is told the newest again
  live.on("commands", (all) => {
    for (const {id, status, change} of all)
      if (change > (changes[id] ?? 0)) (told[id] ??= []).push(status), (changes[id] = change);
  });
}"""
HUG = """() => new Promise((resolve) => {
  const known = new Set(Object.keys(told));
  const began = performance.now();
  live.on("commands", (all) => {
    if (all.some(({id, status}) => status === "done" && !known.has(id)))
      requestAnimationFrame(() => resolve(performance.now() - began));
  });
  document.querySelector("#hug button").click();
})"""
CLICK = "count => { for (let n = 0; n < count; n++) document.querySelector('#hug button').click() }"


class Programs:
    """The site and the pillow of one family; each can be killed and started again."""

    def __init__(self, folder: Path, queues: run.Queues) -> None:
        self.cloud = run.Cloud(folder, queues)
        self.folder = folder
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_site(self) -> None:
        self._start("site", self.cloud.site("--port", str(self.port)))
        wait_for(self._is_ready, lambda: self.output("site"))

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.address}/readyz", timeout=5).ok
        except requests.RequestException:
            return False

    def plug_in(self) -> None:
        self._start("pillow", self.cloud.pillow("maple"))

    def _start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=EXAMPLE, env=os.environ | self.cloud.variables,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def signal(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def output(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def memory(self) -> Any:
        """What the pillow has on its own disk."""
        path = self.folder / "maple-pillow.json"
        return json.loads(path.read_text()) if path.exists() else {"hugs": 0, "answers": {}}

    def wait_until_felt(self, hugs: int) -> None:
        wait_for(lambda: self.memory()["hugs"] >= hugs, f"{hugs} hugs", seconds=120)

    def commands(self) -> list[Any]:
        """All commands that the site knows, newest first."""
        found, query = [], "limit=1000"
        while True:
            page = requests.get(f"{self.address}/api/commands?{query}", timeout=30).json()
            found += page["commands"]
            if page["next"] is None:
                return found
            query = f"limit=1000&before={page['next']}"

    def end(self) -> None:
        for name in list(self.processes):
            self.kill(name)


class Window(Eyes):
    """A browser on the family's page."""

    def __init__(self, browser: Any, address: str, name: str, **options: Any) -> None:
        super().__init__(browser, address, **options)
        self.page.goto(address + PATH)
        self.page.evaluate("window.stayed = true")
        self.page.fill("#hug input", name)
        self.page.locator("#hug input").blur()
        self.until_live()
        self.page.evaluate(LISTEN)

    def until_live(self) -> None:
        self.page.wait_for_selector("html[data-live-state=live]", state="attached")

    def until_shown(self, text: str) -> None:
        self.page.wait_for_function("text => document.body.innerText.includes(text)", arg=text)

    def until_fresh(self, *words: str) -> None:
        """Until the picture is as current as one of these words says."""
        self.page.wait_for_selector(", ".join(f"img[data-fresh={word}]" for word in words))

    def hug(self, wanted: float | None = None) -> None:
        if wanted is not None:
            self.page.evaluate("s => document.querySelector('main').dataset.expires = s", wanted)
        self.page.click("#hug button")

    def told(self) -> dict[str, list[str]]:
        """Per command what the page was told of it, in this order."""
        found: dict[str, list[str]] = self.page.evaluate("told")
        return found

    def hugs(self) -> str:
        return self.text(f"[data-live='{DEVICE}.hugs']")

    def stayed(self) -> bool:
        """Whether it was never reloaded."""
        return bool(self.page.evaluate("window.stayed === true"))


class Story:
    """Two browsers before the site, and what happens, with its times."""

    def __init__(self, programs: Programs, ada: Window, bob: Window) -> None:
        self.programs = programs
        self.ada = ada
        self.bob = bob
        self.figures: dict[str, str] = {}

    @property
    def both(self) -> tuple[Window, Window]:
        return self.ada, self.bob

    def picture(self, name: str, window: Window | None = None) -> None:
        """Take a picture for the documents."""
        folder = os.environ.get("TEST_STATECAST_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(exist_ok=True)
            (window or self.ada).page.screenshot(path=Path(folder) / f"huggable-{name}.png")

    def strip(self) -> None:
        """Put the pictures of the story side by side."""
        folder = os.environ.get("TEST_STATECAST_SCREENSHOTS")
        if folder:
            figures = ""
            for name, words in STORY.items():
                raw = base64.b64encode((Path(folder) / f"huggable-{name}.png").read_bytes())
                picture = f"data:image/png;base64,{raw.decode()}"
                figures += f'<figure><img src="{picture}"><br>{words}</figure>'
            page = self.ada.context.new_page()
            page.set_viewport_size({"width": 1392, "height": 300})
            page.set_content(STRIP % figures)
            page.screenshot(path=Path(folder) / "huggable.png", full_page=True)


@pytest.fixture(params=os.environ.get("TEST_STATECAST_HUGS", "embedded").split(","))
def programs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Programs]:
    azurite = None
    queues = run.Queues("embedded")
    if request.param == "azurite":
        azurite = Azurite(request.getfixturevalue("azurite_program"))
        azurite.start()
        queues = run.Queues("azure-queue", {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection})
    made = Programs(tmp_path, queues)
    made.start_site()
    made.plug_in()
    yield made
    made.end()
    if azurite:
        azurite.stop()


@pytest.fixture
def story(browser: Any, programs: Programs) -> Iterator[Story]:
    with ExitStack() as stack:
        windows = []
        for name, size in (("Ada", {"width": 600, "height": 800}), ("Bob", PHONE)):
            windows.append(Window(browser, programs.address, name, viewport=size))
            stack.callback(windows[-1].close)
        yield Story(programs, *windows)


def test_the_story_of_a_hug(browser: Any, story: Story) -> None:
    a_hug_is_felt(story)
    hugs_are_quick(story)
    a_wave_is_for_the_family(story, browser)
    the_plug_is_pulled(story)
    the_server_is_killed(story)
    the_plug_is_back(story)
    a_thousand_hugs(story, browser)
    story.strip()
    for name, figure in story.figures.items():
        print(f"{name}: {figure}")


def a_hug_is_felt(story: Story) -> None:
    # given two browsers, of which each knows that the other is there
    for window in story.both:
        window.until_shown("2 browsers here: Ada, Bob")
        window.until_shown("It is calm. Hugs felt: 0.")
    story.picture("calm")
    # when Ada hugs a cloud that does not answer for a moment
    story.programs.signal("pillow", signal.SIGSTOP)
    story.ada.hug()
    # then both see her wish, and no picture changes
    for window in story.both:
        window.until_shown("Ada's hug: waiting for the cloud")
        window.until_shown("1 hug on the way.")
        window.until_shown("It is calm. Hugs felt: 0.")
    story.picture("waiting")
    # and when it answers, both see that it was felt, and how the cloud is
    story.programs.signal("pillow", signal.SIGCONT)
    for window in story.both:
        window.until_shown("Ada's hug: felt after")
        window.until_shown("It is hugged. Hugs felt: 1.")
        window.page.wait_for_function(
            "document.querySelector('figure img').currentSrc.endsWith('/static/hugged.svg')"
        )
    story.picture("felt")
    story.picture("felt-phone", story.bob)


def hugs_are_quick(story: Story) -> None:
    """From the click to the words on the page, over all queues and back."""
    took = sorted(story.ada.page.evaluate(HUG) for _ in range(TIMED))
    p95 = took[int(len(took) * 0.95) - 1]
    story.figures["hug to felt"] = f"p50 {statistics.median(took):.0f} ms, p95 {p95:.0f} ms"
    for window in story.both:
        window.until_shown(f"Hugs felt: {1 + TIMED}.")


def a_wave_is_for_the_family(story: Story, browser: Any) -> None:
    # given a browser of another family
    with ExitStack() as stack:
        other = Eyes(browser, story.programs.address)
        stack.callback(other.close)
        other.page.goto(f"{story.programs.address}/birch")
        other.page.wait_for_selector("html:not([data-live-state=lost])")
        other.page.evaluate("""async () => {
            const { bind } = await import("/statecast/bind.js");
            window.waved = [];
            bind().on("wave", (name) => waved.push(name));
        }""")
        other.page.wait_for_function("document.querySelector('#watching').innerText.includes('1')")
        # when Bob waves, and then somebody at the other family
        story.bob.page.click("#wave")
        # then Ada sees it, and the other family does not
        story.ada.until_shown("Bob waves.")
        assert other.page.evaluate("waved") == []


def the_plug_is_pulled(story: Story) -> None:
    for window in story.both:
        window.until_shown("It is calm.")
    began = time.monotonic()
    story.programs.kill("pillow")
    for window in story.both:
        window.until_fresh("silent")
        window.until_shown("is its plug out?")
    story.figures["plug pulled to grey in both"] = f"{time.monotonic() - began:.1f} s"
    # given a cloud that is away, when both hug it, Bob only for a short time
    story.ada.hug(LONG)
    story.bob.hug(SHORT)
    # then nothing is felt, and Bob's is given up
    for window in story.both:
        window.until_shown("Ada's hug: waiting for the cloud")
        window.until_shown("Bob's hug: gave up")
        window.until_shown(f"Hugs felt: {1 + TIMED}.")
    story.picture("unplugged")


def the_server_is_killed(story: Story) -> None:
    # when the server dies without a word, then both pages say that they may be old
    began = time.monotonic()
    story.programs.kill("site")
    for window in story.both:
        window.until_fresh("lost")
    story.figures["server killed to lost in both"] = f"{time.monotonic() - began:.1f} s"
    # and a hug of now waits in the page
    story.bob.hug(LONG)
    story.bob.until_shown("1 hug not sent yet.")
    story.picture("no-server", story.bob)
    # when it is back, so are they, without a reload, and Bob's hug leaves by itself
    began = time.monotonic()
    story.programs.start_site()
    for window in story.both:
        window.until_fresh("silent")
        window.until_shown("2 hugs on the way.")
        window.until_shown("2 browsers here: Ada, Bob")
    story.figures["server started to live again in both"] = f"{time.monotonic() - began:.1f} s"


def the_plug_is_back(story: Story) -> None:
    story.programs.plug_in()
    for window in story.both:
        # then both hugs are felt, each once, and the one that came too late was not
        window.until_shown(f"Hugs felt: {3 + TIMED}.")
        window.until_shown(f"Bob's hug: {LATE[story.programs.cloud.queues.scheme]}")
        window.until_fresh("live")
    assert story.programs.memory()["hugs"] == 3 + TIMED
    story.picture("back")
    # and no page was told that one is done before the cloud said so: that is always the last word
    done = {id_ for id_, told in story.programs.memory()["answers"].items()
            if told["outcome"] == "done"}  # fmt: skip
    for window in story.both:
        for id_, told in window.told().items():
            assert ("done" in told) == (id_ in done), (id_, told)
            assert told.count("done") <= 1 and "done" not in told[:-1], (id_, told)


def a_thousand_hugs(story: Story, browser: Any) -> None:
    """From five windows, through connections that are cut again and again."""
    programs, chance = story.programs, random.Random(12)
    before = programs.memory()["hugs"]
    with ExitStack() as stack:
        windows, proxies = [], []
        for number in range(WINDOWS):
            address, proxy = stack.enter_context(cut_proxy(programs.address))
            windows.append(Window(browser, address, f"Window {number + 1}"))
            stack.callback(windows[-1].close)
            proxies.append(proxy)
        # when each of them clicks, while connections are cut and the cloud loses its power
        began = time.monotonic()
        for window in windows:
            window.page.evaluate("s => document.querySelector('main').dataset.expires = s", LONG)
            window.page.evaluate(CLICK, CLICKS)
        for cut in range(CUTS):
            cut_at_some_byte(chance.choice(proxies), chance)
            felt = before + (cut + 1) * WINDOWS * CLICKS // (CUTS + 2)
            programs.wait_until_felt(felt)
            if cut == CUTS // 2:
                programs.kill("pillow")
                programs.plug_in()
        # then each click was felt once
        everybody = (*windows, *story.both)
        count = before + WINDOWS * CLICKS
        for window in everybody:
            window.page.wait_for_function(
                "text => document.body.innerText.includes(text)",
                arg=f"Hugs felt: {count:,}.", timeout=120_000,
            )  # fmt: skip
        took = time.monotonic() - began
        story.figures["1 000 hugs of five windows"] = (
            f"{took:.1f} s, {WINDOWS * CLICKS / took:.0f}/s"
        )
        for window in everybody:
            window.page.wait_for_function("document.querySelector('#said').innerText === ''")
            assert window.stayed() and not window.errors
        story.picture("thousand")
    # and the cloud, the site and the windows agree
    assert programs.memory()["hugs"] == count
    felt_by = [one["by"] for one in programs.commands() if one["status"] == "done"]
    for number in range(WINDOWS):
        assert felt_by.count(f"Window {number + 1}") == CLICKS


def cut_at_some_byte(proxy: CutProxy, chance: random.Random) -> None:
    """Cut what is open now, and again somewhere in the requests and answers that follow."""
    proxy.begin(chance.choice(["up", "down"]), chance.randrange(1, 20_000))
