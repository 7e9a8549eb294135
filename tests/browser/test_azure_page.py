"""An Azure queue before a real browser: an outage is shown with its age, and ends by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from statecast.testing.azure import FakeAzure
from tests.browser.site import PILLOW, Eyes, Site, site

pytestmark = pytest.mark.browser


@pytest.fixture
def azure(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> FakeAzure:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure.connection)
    return azure


@pytest.fixture
def here(tmp_path: Path, azure: FakeAzure) -> Iterator[Site]:
    with site(tmp_path, source=("azure-queue:pillow",)) as made:
        made.send(**PILLOW)
        yield made


def test_the_page_says_that_azure_is_away_and_recovers(
    azure: FakeAzure, eyes: Eyes, here: Site
) -> None:
    # given a page that shows what came through Azure
    page = eyes.visit()
    page.wait_for_selector("#device:not(.old)")
    # when Azure is gone
    azure.stop()
    # then it says so, and for how long
    page.wait_for_selector("[data-hop=queue][data-mark=away]")
    page.wait_for_selector("#device.old .fresh [data-mark=away]")
    assert eyes.text("#notice").startswith("The queue cannot be read for")
    # and when it is back, with a message that waited in it, the page is live again without a reload
    azure.put(
        "pillow", json.dumps({"device": "pillow", "state": {"mood": "asleep"}, "silent_after": 30})
    )
    azure.start()
    page.wait_for_selector("#device:not(.old)")
    page.wait_for_selector("#notice", state="hidden")
    page.wait_for_selector("text=asleep")
