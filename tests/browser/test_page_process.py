"""The page before a real `statecast run` that is frozen: open connections deliver nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.site import Eyes

pytestmark = pytest.mark.browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [
        sys.executable,
        "-m",
        "statecast",
        "run",
        "--demo",
        "--port",
        "0",
        "--store",
        f"sqlite:///{tmp_path}/s.db",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = next((line.split()[-1] for line in process.stdout if "live at" in line), "")
        assert address, "the server did not start"
        yield process, address
        process.send_signal(signal.SIGCONT)
        process.terminate()
        assert process.wait(30) == 143


def test_a_server_that_says_nothing_is_noticed_and_its_return_too(
    browser: Any, server: tuple[subprocess.Popen[str], str]
) -> None:
    process, address = server
    eyes = Eyes(browser, address)
    try:
        page = eyes.visit("/devices/pillow", live=False)
        page.wait_for_selector(".cloud[data-mood]")
        page.wait_for_selector("[data-hop=page][data-mark=live]")

        # When the process is frozen
        os.kill(process.pid, signal.SIGSTOP)

        # Then the page does not trust the open connection
        page.wait_for_selector("#device.old")
        page.wait_for_selector("#notice:not([hidden])")
        assert not page.locator("[data-mark=live]").count()

        # When it goes on, so does the page, and a hug reaches the pillow, which counts it and lets
        # go
        os.kill(process.pid, signal.SIGCONT)
        page.wait_for_selector("#device:not(.old)")
        page.get_by_role("button", name="Hug pillow").click()
        page.wait_for_selector(".cloud[data-hugged]")
        eyes.until("document.querySelector('#state [data-field=hugs] bdi')?.textContent === '1'")
        eyes.until("!document.querySelector('.cloud[data-hugged]')")
        eyes.until(
            "/^Felt, .* after your click/.test(document.querySelector('#asked').textContent.trim())"
        )
        eyes.check(still=False)
    finally:
        eyes.close()
