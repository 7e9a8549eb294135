"""The site of "A picture of your own", typed from its page and looked at in Chromium."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.site import Eyes
from tests.child_process import started
from tests.unit.test_documents import ROOT, typed_files

pytestmark = pytest.mark.browser

PAGE = ROOT / "docs" / "how-to" / "own-pictures.md"
STATECAST = Path(sys.executable).with_name("statecast")
SHOWN = """(name) => [...document.images].some((image) =>
  image.checkVisibility() && image.currentSrc.endsWith(`/static/${name}.svg`) &&
  image.complete && image.naturalWidth > 0)"""
"""Whether an image is loaded and to be seen; ``naturalWidth`` is 0 for one that is broken."""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    for name, text in typed_files(PAGE).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    with started(
        [sys.executable, "site.py"],
        cwd=tmp_path,
        env=os.environ | {"STATECAST_PORT": "0", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, "it printed no address"
        yield found[0]


def test_a_mood_has_the_picture_of_its_own(browser: Any, address: str, tmp_path: Path) -> None:
    def say(**state: str) -> None:
        words = [f"{name}={value}" for name, value in state.items()]
        subprocess.run([STATECAST, "send", "pillow", *words], cwd=tmp_path, check=True, timeout=30)

    # given the site's own page, and ours beside it
    say(mood="happy")
    own, ours = Eyes(browser, address), Eyes(browser, address)
    try:
        own.visit("/", live=False)
        ours.visit("/statecast/devices/pillow")
        # when the mood changes, then both show its picture, and the fallback where there is none
        for mood, picture in (
            ("happy", "pillow-happy"),
            ("sleepy", "pillow-sleepy"),
            ("furious", "unknown"),
            ("../../etc/passwd", "unknown"),
            ("happy", "pillow-happy"),
        ):
            say(mood=mood)
            for eyes in (own, ours):
                eyes.page.wait_for_function(SHOWN, arg=picture)
        assert own.page.inner_text("b") == "happy"
        # and an image of another site is not asked for
        say(image="https://other.example/cat.png")
        ours.page.wait_for_selector("[data-note=foreign]:visible")
        assert not [url for url in ours.asked if "other.example" in url]
    finally:
        own.close()
        ours.close()
