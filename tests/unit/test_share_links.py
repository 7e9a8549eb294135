"""Share links: the page that reads them, and what a browser gets for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from statecast.access import passwords
from statecast.access.grants import Grants
from statecast.flask import create_app, runtime_of
from statecast.settings import Settings

OTHER = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}}
OWN = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}


class Site:
    """A server with two families' pillows, of which others may see nothing."""

    def __init__(self) -> None:
        self.app = create_app(Settings(store="memory:"))
        self.live = runtime_of(self.app)
        for device in ("jones/pillow", "smith/lamp", "smith/pillow"):
            self.app.test_client().put(f"/api/devices/{device}", json={"mood": "calm"})
        self.browser = self.app.test_client()

    def ask(self, path: str) -> TestResponse:
        return self.browser.get(path, **OTHER)  # type: ignore[arg-type]

    def share(self, pattern: str = "smith/*", seconds: float = 60) -> str:
        return self.live.rights.shares.create(pattern, seconds, by="machine")

    def open(self, token: Any, **headers: str) -> TestResponse:
        return self.browser.post(
            "/statecast/share",
            json={"token": token},
            headers=OWN | headers,
            **OTHER,  # type: ignore[arg-type]
        )

    def readable(self) -> list[str]:
        answer = self.ask("/api/devices")
        return [one["device"] for one in (answer.json or {}).get("devices", [])]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(passwords, "METHOD", "scrypt:1024:8:1")
    made = Site()
    yield made
    made.live.stop()


def test_a_link_becomes_a_cookie_that_shows_its_devices(site: Site) -> None:
    # given a browser of another machine, which sees nothing
    assert site.ask("/api/devices").status_code == 401
    # when it opens a link
    answer = site.open(site.share())
    # then it may see the devices of the link, and nothing else
    assert (answer.status_code, answer.json) == (200, {"address": "/"})
    cookie = answer.headers["Set-Cookie"]
    for part in ("statecast_session=", "HttpOnly", "SameSite=Lax"):
        assert part in cookie
    assert answer.headers["Cache-Control"] == "no-store"
    assert site.readable() == ["smith/lamp", "smith/pillow"]
    assert site.ask("/devices/jones/pillow").status_code == 404
    assert site.ask("/operator").status_code in (303, 401, 403)
    edit = site.browser.put("/api/devices/smith/lamp", json={"on": True}, **OTHER)  # type: ignore[arg-type]
    assert edit.status_code in (401, 403)


def test_a_link_of_one_device_leads_to_its_page(site: Site) -> None:
    answer = site.open(site.share("smith/pillow"))
    assert answer.json == {"address": "/devices/smith/pillow"}
    assert site.ask("/devices/smith/pillow").status_code == 200
    assert site.readable() == ["smith/pillow"]


def test_the_cookie_ends_with_the_link(site: Site) -> None:
    answer = site.open(site.share(seconds=30))
    max_age = answer.headers["Set-Cookie"].split("Max-Age=")[1].partition(";")[0]
    assert 28 <= int(max_age) <= 30
    (link,) = site.live.rights.shares.all()
    site.live.rights.shares.revoke(link.id, by="machine")
    assert site.ask("/api/devices").status_code == 401


def test_to_open_a_link_writes_nothing(site: Site) -> None:
    """Who has a link could fill the store otherwise, and the memory of each process."""
    token = site.share()
    before = site.live.store.access_records()
    for _ in range(20):
        assert site.open(token).status_code == 200
    assert site.live.store.access_records() == before


def test_to_sign_out_ends_the_link_in_that_browser_alone(site: Site) -> None:
    token = site.share()
    site.open(token)
    site.live.rights.desk.sign_out(token)
    assert site.readable() == ["smith/lamp", "smith/pillow"]
    site.browser.delete_cookie("statecast_session")
    assert site.readable() == []
    site.open(token)
    assert site.readable() == ["smith/lamp", "smith/pillow"]


@pytest.mark.parametrize("way", ["key", "wrong link", "link with more", "link of a session"])
def test_what_is_no_cookie(site: Site, way: str) -> None:
    """A browser sends a cookie by itself, so a key counts in no cookie."""
    link = site.share()
    cookie = {
        "key": site.live.rights.keys.create("k", Grants.of({"*": "read write"}), by="machine"),
        "wrong link": link[:-1] + ("A" if link[-1] != "A" else "B"),
        "link with more": link + ".x",
        "link of a session": link.replace("sh_", "", 1).replace("_", ".", 1),
    }[way]
    site.browser.set_cookie("statecast_session", cookie)
    assert site.ask("/api/devices").status_code == 401
    edit = site.browser.put("/api/devices/smith/lamp", json={"on": True}, headers=OWN, **OTHER)  # type: ignore[arg-type]
    assert edit.status_code in (401, 403, 404)


def test_who_is_signed_in_stays_signed_in(site: Site) -> None:
    # given Ada, who may see everything
    site.live.rights.users.add("ada", "correct horse battery", "viewer", by="machine")
    ada = site.live.rights.desk.sign_in("ada", "correct horse battery", "192.0.2.7")
    site.browser.set_cookie("statecast_session", ada)
    # when she opens a link
    answer = site.open(site.share())
    # then she is led there, with the session that she has
    assert answer.json == {"address": "/"}
    assert "Set-Cookie" not in answer.headers
    assert len(site.readable()) == 3


def test_who_sees_less_than_the_link_sees_it_in_the_page_of_the_link(site: Site) -> None:
    # given Bob, who may see the other family
    site.live.rights.users.add("bob", "correct horse battery", "viewer", by="machine")
    record = site.live.store.access_record("user", "bob")
    assert record is not None
    body = {**(record.body or {}), "role": "", "grants": {"jones/*": "read"}}
    site.live.store.put_access("user", "bob", body)
    bob = site.live.rights.desk.sign_in("bob", "correct horse battery", "192.0.2.7")
    site.browser.set_cookie("statecast_session", bob)
    answer = site.open(site.share())
    assert answer.json == {"address": None}
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("", 401),
        ("sh_", 401),
        ("sh_0123456789abcdef_" + "x" * 43, 401),
        ("sk_0123456789abcdef_" + "x" * 43, 401),
        ("a" * 1_000, 401),
        (5, 400),
        (None, 400),
        ("x" * 5_000, 413),
    ],
)
def test_what_is_no_link(site: Site, token: Any, status: int) -> None:
    answer = site.open(token)
    assert answer.status_code == status
    assert "Set-Cookie" not in answer.headers
    assert str(token)[:40] not in answer.text or token in ("", None, 5, "sh_")


def test_a_key_is_no_link(site: Site) -> None:
    key = site.live.rights.keys.create("k", Grants.of({"*": "read"}), by="machine")
    assert site.open(key).status_code == 401


def test_a_page_of_another_site_exchanges_nothing(site: Site) -> None:
    token = site.share()
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "text/plain"},
    ):
        answer = site.open(token, **headers)
        assert answer.status_code in (403, 415), headers
        assert "Set-Cookie" not in answer.headers


def test_who_guesses_links_waits(site: Site) -> None:
    wrong = "sh_0123456789abcdef_" + "x" * 43
    statuses = [site.open(wrong).status_code for _ in range(7)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    # and a right one opens all the same
    assert site.open(site.share()).status_code == 200


def test_the_page_of_links_shows_nothing_by_itself(site: Site) -> None:
    answer = site.ask("/statecast/share")
    assert answer.status_code == 200
    assert "share-page.js" in answer.text
    for name in ("smith", "jones"):
        assert name not in answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
