"""A real server in this process and a real browser before it, for the tests of the page."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask

from statecast.commands.life import Command
from statecast.errors import SourceUnavailable
from statecast.flask import create_app
from statecast.server.server import BackgroundServer
from statecast.settings import Settings

WATCHES = """
window.seen = {violations: [], shift: 0, moved: []};
window.seenSince = 0;
addEventListener("securitypolicyviolation", ({violatedDirective, blockedURI}) =>
  seen.violations.push(violatedDirective + " " + blockedURI));
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.startTime < seenSince) continue;  // it may be reported long after it happened
    seen.shift += entry.value;
    for (const {node, previousRect: old, currentRect: now} of entry.sources)
      if (node) {
        const html = (node.outerHTML ?? node.textContent).slice(0, 80);
        seen.moved.push([html, now.x - old.x, now.y - old.y]);
      }
  }
}).observe({type: "layout-shift", buffered: true});
"""
PILLOW = {"mood": "happy", "battery": 82, "hugged": False, "hugs": 14, "color": "#ff8fb0"}


class Site:
    """One store in a folder, served at one port however often the server comes and goes."""

    def __init__(
        self, folder: Path, prepare: Callable[[Flask], object] = lambda app: None, **options: Any
    ) -> None:
        self.prepare = prepare
        self.minutes_ago = 0
        """How far the server's clock is behind: a past for pictures."""
        self.options = {"store": f"sqlite:///{folder / 'store.db'}", "port": 0} | options
        self.server: BackgroundServer | None = None
        self.taken: dict[str, str] = {}
        """The newest command that each device took."""
        self.start()

    def start(self) -> None:
        app = create_app(Settings(**self.options))
        self.prepare(app)
        self.runtime = app.extensions["statecast"]
        self.runtime.clock = self.clock
        self.server = BackgroundServer(self.runtime, app)
        self.server.start()
        self.address = self.server.address
        self.options["port"] = int(self.address.rpartition(":")[2])

    def stop(self) -> None:
        if self.server is not None:
            requested_resets = self.runtime.own_report()["requested_resets"]
            self.server.stop()
            self.server = None
            assert not requested_resets, "a page got a patch of what it did not have"

    def clock(self) -> int:
        return time.time_ns() // 1_000_000 - self.minutes_ago * 60_000

    def come_to_the_present(self) -> None:
        """Let the past be over. It is a clock that steps, which the page would say for a day."""
        self.minutes_ago = 0
        for problem in self.runtime.problems.current():
            self.runtime.problems.clear(problem.kind, problem.subject)

    def send(self, device: str = "pillow", silent_after: float | None = 30, **state: Any) -> None:
        message: dict[str, Any] = {"device": device, "state": state}
        if device == "pillow":
            message["commands"] = ["hug"]
        if silent_after is not None:
            message["silent_after"] = silent_after
        self.runtime.send(json.dumps(message).encode())

    def take(self, device: str = "pillow") -> Command:
        """The next command for a device, as the device takes it."""
        while not (found := self.runtime.store.hand_out(device, after=self.taken.get(device))):
            self.runtime.store.wait(0.05)
        self.taken[device] = found[0].id
        return found[0]

    def answer(self, command: Command, outcome: str = "done", **said: Any) -> None:
        """What the device says of a command that it took."""
        message = {"device": command.device, "command": command.id, "outcome": outcome} | said
        self.runtime.send(json.dumps(message).encode())

    def cut_queue(self) -> None:
        """From now on its queue cannot be read; sending still works."""

        def away(*args: object, **options: object) -> Any:
            raise SourceUnavailable("The queue does not answer.")

        source, _ = self.runtime.sources[0]
        source.receive = away
        while (
            self.runtime.report()["sources"]["queue"]["status"] != "away"
        ):  # a receive under way still counts
            self.runtime.store.wait(0.05)

    def mend_queue(self) -> None:
        del self.runtime.sources[0][0].receive


@contextmanager
def site(folder: Path, *prepare: Callable[[Flask], object], **options: Any) -> Iterator[Site]:
    made = Site(folder, *prepare, **options)
    try:
        yield made
    finally:
        made.stop()


class Eyes:
    """One browser window. It keeps all that goes wrong: errors, refused and foreign requests."""

    def __init__(self, browser: Any, address: str, *, script: bool = True, **options: Any) -> None:
        settings = {
            "viewport": {"width": 1280, "height": 960},
            "locale": "en-GB",
            "timezone_id": "UTC",
        } | options
        self.context = browser.new_context(java_script_enabled=script, **settings)
        self.page = self.context.new_page()
        self.address = address
        self.errors: list[str] = []
        self.asked: set[str] = set()
        """All addresses that it requested."""
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url))
        if script:
            self.page.add_init_script(WATCHES)

    def visit(self, path: str = "/", *, live: bool = True) -> Any:
        self.page.goto(self.address + path)
        if live:
            self.page.wait_for_selector('[data-hop=page][data-mark="live"]', state="attached")
            self.page.evaluate(
                "requestAnimationFrame(() => requestAnimationFrame(() =>"
                " { seenSince = performance.now(); Object.assign(seen, {shift: 0, moved: []}) }))"
            )
        return self.page

    def visit_whole(self, path: str = "/") -> Any:
        """Visit the page of a device and wait until the parts are there that it loads once live."""
        page = self.visit(path)
        page.wait_for_selector("#lanes > *", state="attached")
        return page

    def until(self, condition: str, timeout: float = 20) -> None:
        """Wait until an expression of JavaScript is true."""
        self.page.wait_for_function(f"() => {condition}", timeout=timeout * 1000)

    def text(self, selector: str) -> str:
        return " ".join(self.page.locator(selector).first.inner_text().split())

    def check(self, *, still: bool = True) -> None:
        """No violation, no error, no foreign request; and nothing jumped since it was live."""
        assert not self.errors
        assert all(url.startswith((self.address, "data:")) for url in self.asked), self.asked
        found = self.page.evaluate("window.seen")
        assert found["violations"] == []
        assert found["shift"] < 0.001 or not still, found

    def close(self) -> None:
        self.context.close()


@contextmanager
def looking(browser: Any, made: Site, **options: Any) -> Iterator[Eyes]:
    eyes = Eyes(browser, made.address, **options)
    try:
        yield eyes
    finally:
        eyes.close()
