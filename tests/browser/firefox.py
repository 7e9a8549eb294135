"""A Firefox of the system, driven by WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).

Firefox speaks it itself, on a WebSocket: no driver and no patched browser is needed. Only what the
tests use is here.
"""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from child_process import started

READY = "WebDriver BiDi listening on "
TIMEOUT = 60.0
"""Seconds for one answer; nothing takes that long."""
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "intl.locale.requested": "en-GB",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.unified": False,
}
"""So that it asks the Internet nothing."""


class Firefox:
    """One window."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        """Errors of scripts, and what the policy of a page refused."""
        self.call("session.new", capabilities={})
        tree = self.call("browsingContext.getTree")
        self.context = tree["contexts"][0]["context"]
        self.call("session.subscribe", events=["log.entryAdded"])

    def call(self, method: str, **params: Any) -> Any:
        """The result of a command. Raises AssertionError for an error."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=TIMEOUT))
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                self.errors.append(str(answer["params"]["text"]))
            if answer.get("id") == number:
                assert answer["type"] == "success", answer
                return answer["result"]

    def resize(self, width: int, height: int) -> None:
        viewport = {"width": width, "height": height}
        self.call("browsingContext.setViewport", context=self.context, viewport=viewport)

    def open(self, address: str) -> None:
        """Returns when the page is loaded."""
        self.call("browsingContext.navigate", context=self.context, url=address, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, which may be a promise; what JSON has."""
        result = self.call(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then((found) => JSON.stringify(found))",
            target={"context": self.context},
            awaitPromise=True,
        )
        assert result["type"] == "success", result
        found = result["result"]
        return json.loads(found["value"]) if found["type"] == "string" else None

    def until(self, condition: str) -> None:
        """Wait until an expression is true, frame by frame."""
        self.evaluate(
            "new Promise((done) => { const look = () => "
            f"({condition}) ? done(true) : requestAnimationFrame(look); look(); }})"
        )

    def screenshot(self, path: Path) -> None:
        shot = self.call("browsingContext.captureScreenshot", context=self.context)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def running(program: str, folder: Path) -> Iterator[Firefox]:
    """Firefox with a new profile in ``folder``."""
    lines = [
        f"user_pref({json.dumps(name)}, {json.dumps(of)});" for name, of in PREFERENCES.items()
    ]
    (folder / "user.js").write_text("\n".join(lines))
    command = [program, "--headless", "--no-remote", "--profile", str(folder)]
    command += ["--remote-debugging-port", "0", "about:blank"]
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        address = next(line for line in process.stderr if line.startswith(READY))
        with connect(f"{address.removeprefix(READY).strip()}/session", max_size=None) as socket:
            firefox = Firefox(socket)
            yield firefox
            firefox.call("browser.close")
        process.communicate(timeout=TIMEOUT)
