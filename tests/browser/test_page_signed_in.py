"""Signing in, and share links, in a real browser of another machine."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from statecast.access import passwords
from statecast.flask import create_app, runtime_of
from statecast.server.server import BackgroundServer
from statecast.settings import Settings
from tests.browser.site import Eyes

pytestmark = pytest.mark.browser

OTHER = {"X-Forwarded-For": "192.0.2.7"}
"""The test is a trusted proxy, and its browser is of another machine."""
PASSWORD = "correct horse battery"


class HostPage(BaseHTTPRequestHandler):
    """A page of another site, which shows one of ours in a frame."""

    html = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.html)

    def log_message(self, *arguments: Any) -> None:
        pass


class OtherSite:
    """Another site, at an origin of its own."""

    def __init__(self) -> None:
        self.handler = type("Handler", (HostPage,), {})
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self.handler)
        self.origin = f"http://localhost:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def show(self, address: str) -> None:
        self.handler.html = f'<iframe src="{address}" width="900" height="600"></iframe>'.encode()

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


class SignedInSite:
    """Two families' devices, and users who may see some of them."""

    def __init__(self, frames: str) -> None:
        settings = Settings(
            store="memory:",
            port=0,
            trusted_proxy=("127.0.0.1",),
            frame_ancestors=(frames,),
        )
        self.app = create_app(settings)
        self.live = runtime_of(self.app)
        self.server = BackgroundServer(self.live, self.app)
        self.server.start()
        self.address = self.server.address.rstrip("/")
        for device in ("jones/pillow", "smith/lamp", "smith/pillow"):
            self.say(device, "calm")
        self.live.rights.users.add("ada", PASSWORD, "viewer", by="machine")

    def say(self, device: str, mood: str) -> None:
        answer = self.app.test_client().put(f"/api/devices/{device}", json={"mood": mood})
        assert answer.status_code == 200

    def share(self, pattern: str) -> str:
        token = self.live.rights.shares.create(pattern, 3600, by="machine")
        return f"{self.address}/statecast/share#{token}"


@pytest.fixture(scope="module")
def other_site() -> Iterator[OtherSite]:
    made = OtherSite()
    yield made
    made.stop()


@pytest.fixture
def site(other_site: OtherSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[SignedInSite]:
    monkeypatch.setattr(passwords, "METHOD", "scrypt:1024:8:1")
    made = SignedInSite(other_site.origin)
    yield made
    made.server.stop()


@pytest.fixture
def eyes(browser: Any, site: SignedInSite) -> Iterator[Eyes]:
    found = Eyes(browser, site.address, extra_http_headers=OTHER)
    yield found
    found.close()


def names(page: Any) -> list[str]:
    return [one.inner_text() for one in page.query_selector_all("#devices [data-show=name]")]


def test_ada_signs_in_sees_what_changes_and_signs_out(eyes: Eyes, site: SignedInSite) -> None:
    # Given a browser of another machine, which is led to the form
    page = eyes.page
    page.goto(f"{site.address}/devices/smith/pillow")
    page.wait_for_selector("#sign-in")
    # When Ada types a wrong password, and then hers
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#refused")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    # Then she is where she wanted to go, and the page is live
    page.wait_for_url(f"{site.address}/devices/smith/pillow")
    page.wait_for_selector('[data-hop=page][data-mark="live"]')
    site.say("smith/pillow", "happy")
    page.locator("main").get_by_text("happy").first.wait_for()
    # And she signs out by the button
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector("#sign-in")
    assert "You are signed out." in page.inner_text("main")
    page.goto(f"{site.address}/devices/smith/pillow")
    page.wait_for_selector("#sign-in")


def test_what_ada_may_no_longer_see_disappears_with_a_sentence(
    eyes: Eyes, site: SignedInSite
) -> None:
    # Given Ada's list of all devices
    page = eyes.page
    page.goto(f"{site.address}/statecast/sign-in")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector('[data-hop=page][data-mark="live"]')
    assert len(names(page)) == 3
    # When she may see one family's devices only, then the others go, while theirs stay live
    ada = site.live.store.access_record("user", "ada")
    assert ada is not None and ada.body is not None
    fewer = {**ada.body, "role": "", "grants": {"smith/*": "read"}}
    site.live.store.put_access("user", "ada", fewer)
    page.locator("#notice").get_by_text("Your rights have changed").wait_for()
    site.say("jones/pillow", "sad")
    site.say("smith/lamp", "happy")
    page.locator("main").get_by_text("happy").first.wait_for()
    assert "sad" not in page.inner_text("main")
    # When she may see less still while her page is away, then it says so when it is back
    page.reload()
    page.wait_for_selector('[data-hop=page][data-mark="live"]')
    assert not page.get_by_text("Your rights have changed").is_visible()
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide'))")
    lamp = {**fewer, "grants": {"smith/lamp": "read"}}
    site.live.store.put_access("user", "ada", lamp)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    page.locator("#notice").get_by_text("Your rights have changed").wait_for()
    page.wait_for_selector('[data-hop=page][data-mark="live"]')
    assert page.get_by_text("Your rights have changed").is_visible()
    # When she is no user any more, then nothing is left, and the page leads to the form
    site.live.rights.users.add("bob", PASSWORD, "viewer", by="machine")
    site.live.rights.users.remove("ada", by="machine")
    page.locator("#notice").get_by_text("Your sign-in has ended").wait_for()
    page.locator("#devices [data-show=name]").first.wait_for(state="detached")
    page.get_by_role("button", name="Reload").click()
    page.wait_for_selector("#sign-in")


def test_a_link_shows_its_devices_and_nothing_else(eyes: Eyes, site: SignedInSite) -> None:
    # When a link is opened
    page = eyes.page
    page.goto(site.share("smith/*"))
    page.wait_for_selector('[data-hop=page][data-mark="live"]')
    page.wait_for_url(f"{site.address}/")
    # Then its devices are there, live, and a change of another one does not appear
    assert names(page) == ["lamp", "pillow"] or names(page) == ["smith/lamp", "smith/pillow"]
    site.say("jones/pillow", "sad")
    site.say("smith/lamp", "happy")
    page.locator("main").get_by_text("happy").first.wait_for()
    assert "jones" not in page.content()
    assert "sh_" not in page.content()


def test_a_link_in_a_frame_of_another_site_needs_no_cookie(
    eyes: Eyes, site: SignedInSite, other_site: OtherSite
) -> None:
    other_site.show(site.share("smith/*"))
    page = eyes.page
    page.goto(other_site.origin)
    frame = page.frame_locator("iframe")
    frame.locator('[data-hop=page][data-mark="live"]').wait_for()
    frame.locator("#devices [data-show=name]").nth(1).wait_for()
    site.say("jones/pillow", "sad")
    site.say("smith/lamp", "happy")
    frame.get_by_text("happy").first.wait_for()
    text = frame.locator("main").inner_text()
    assert "smith/pillow" in text and "jones" not in text
    assert page.context.cookies() == []


def test_a_link_that_was_revoked_says_so(eyes: Eyes, site: SignedInSite) -> None:
    address = site.share("smith/*")
    (link,) = site.live.rights.shares.all()
    site.live.rights.shares.revoke(link.id, by="machine")
    page = eyes.page
    page.goto(address)
    page.get_by_text("This link has expired, was revoked").wait_for()
    assert "smith" not in page.content()
