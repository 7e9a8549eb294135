"""Signing in and out: the form, its token, the cookie, and the address to which it leads."""

from __future__ import annotations

import html
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from statecast.access import passwords
from statecast.access.credentials import Credentials
from statecast.access.desk import Desk
from statecast.errors import NotAuthenticated, TooManyGuesses
from statecast.flask import create_app, runtime_of
from statecast.http.app_rights import AppRights
from statecast.http.guess_limiter import GuessLimiter
from statecast.settings import Settings
from statecast.web import sign_in

OWN = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("/", "/"),
        ("/devices/pillow", "/devices/pillow"),
        ("/devices/pillow?show=late&q=a", "/devices/pillow?show=late&q=a"),
        ("", "/"),
        ("devices", "/"),
        ("//evil.example", "/"),
        ("///evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("https:evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("\t//evil.example", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/é", "/"),
        ("/" + "a" * 2_000, "/"),
        ("/statecast/sign-in", "/"),
        ("/statecast/sign-out?next=/", "/"),
    ],
)
def test_a_sign_in_leads_only_to_a_page_of_ours(given: str, target: str) -> None:
    assert sign_in.safe_target(given, "/") == target


@pytest.mark.parametrize(("given", "target"), [("/app/x", "/app/x"), ("/x", "/app/")])
def test_a_mounted_app_leads_below_its_own_path(given: str, target: str) -> None:
    assert sign_in.safe_target(given, "/app/") == target


class FakeDesk:
    """Knows Ada; remembers who asked for what."""

    session_seconds = 3_600

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def sign_in(self, name: str, password: str, address: str, old: str) -> str:
        self.asked.append(("in", name, password, address, old))
        if name == "many":
            raise TooManyGuesses("Wait some seconds.", 7)
        if (name, password) != ("ada", "correct horse"):
            raise NotAuthenticated("The name or the password is wrong.")
        return f"s{len(self.asked)}.secret"

    def sign_out(self, cookie: str) -> None:
        self.asked.append(("out", cookie))


class Site:
    def __init__(self) -> None:
        self.app: Flask = create_app(Settings(store="memory:"))
        self.desk = FakeDesk()
        self.browser = self.app.test_client()

    def form(self, address: str = "/statecast/sign-in") -> dict[str, str]:
        """The hidden fields of the form at an address."""
        page = self.browser.get(address).get_data(as_text=True)
        found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page)
        return {name: html.unescape(value) for name, value in found}

    def send(
        self, form: dict[str, str], headers: dict[str, str] = OWN, **more: Any
    ) -> TestResponse:
        return self.browser.post("/statecast/sign-in", data=form | more, headers=headers)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Site()
    monkeypatch.setattr(AppRights, "desk", property(lambda rights: made.desk))
    yield made
    runtime_of(made.app).stop()


ADA = {"user": "ada", "password": "correct horse"}


def test_a_user_signs_in_and_is_led_to_the_page_that_she_wanted(site: Site) -> None:
    # Given the form, as a page that needs to know her has led her to it
    form = site.form("/statecast/sign-in?next=/devices/pillow")
    # When she sends it
    answer = site.send(form, **ADA)
    # Then she is led on with a cookie that scripts and other sites do not have
    assert (answer.status_code, answer.headers["Location"]) == (303, "/devices/pillow")
    cookies = answer.headers.getlist("Set-Cookie")
    (session,) = [one for one in cookies if one.startswith("statecast_session=s1.secret;")]
    for part in ("HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=3600"):
        assert part in session
    assert "Secure" not in session
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_cookie_is_secure_under_https(site: Site) -> None:
    page = site.browser.get("/statecast/sign-in", base_url="https://localhost")
    token = re.search(r'name="token" value="([^"]*)"', page.get_data(as_text=True))
    assert token is not None
    headers = OWN | {"Origin": "https://localhost"}
    answer = site.browser.post(
        "/statecast/sign-in",
        data=ADA | {"token": token[1]},
        headers=headers,
        base_url="https://localhost",
    )
    assert answer.status_code == 303
    assert "Secure" in answer.headers["Set-Cookie"]


def test_a_wrong_password_shows_the_form_again(site: Site) -> None:
    form = site.form("/statecast/sign-in?next=/devices/pillow")
    answer = site.send(form, user='a"d<a', password="wrong")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 401
    assert "The name or the password is wrong." in text
    assert 'value="a&#34;d&lt;a"' in text
    assert "wrong</" not in text.replace("is wrong.</", "")
    assert 'value="/devices/pillow"' in text
    assert not any("statecast_session" in one for one in answer.headers.getlist("Set-Cookie"))


def test_who_guesses_too_often_waits(site: Site) -> None:
    answer = site.send(site.form(), user="many", password="wrong")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert "Wait some seconds." in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, None),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, None),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, None),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, None),
        (OWN, ""),
        (OWN, "0" * 64),
        (OWN, sign_in.form_token("another browser's cookie")),
    ],
)
def test_a_form_of_another_site_is_refused(
    site: Site, headers: dict[str, str], token: str | None
) -> None:
    form = site.form()
    answer = site.send(form if token is None else form | {"token": token}, headers, **ADA)
    assert answer.status_code == 400
    assert site.desk.asked == []


def test_no_form_is_taken_from_a_browser_without_a_cookie(site: Site) -> None:
    form = site.form()
    site.browser.delete_cookie("statecast_form")
    assert site.send(form, **ADA).status_code == 400
    assert site.send(form | {"token": sign_in.form_token("")}, **ADA).status_code == 400
    assert site.desk.asked == []


def test_each_sign_in_begins_a_session_of_its_own(site: Site) -> None:
    # Given a browser into which somebody else has put a session
    site.browser.set_cookie("statecast_session", "fixed.session")
    # When Ada signs in
    answer = site.send(site.form(), **ADA)
    # Then her session is a new one, and the old one is ended
    assert answer.status_code == 303
    assert site.desk.asked == [("in", "ada", "correct horse", "127.0.0.1", "fixed.session")]
    assert "s1.secret" in answer.headers["Set-Cookie"]


def test_signing_out_ends_the_session(site: Site) -> None:
    site.send(site.form(), **ADA)
    token = {"token": sign_in.form_token("s1.secret")}
    refused = site.browser.post("/statecast/sign-out", data={}, headers=OWN)
    assert refused.status_code == 400
    answer = site.browser.post("/statecast/sign-out", data=token, headers=OWN)
    assert (answer.status_code, site.desk.asked[-1]) == (303, ("out", "s1.secret"))
    assert "statecast_session=;" in answer.headers["Set-Cookie"]
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    page = site.browser.get(answer.headers["Location"]).get_data(as_text=True)
    assert "You are signed out." in page


def test_a_flood_of_sign_ins_does_not_hold_all_threads() -> None:
    # Given four sign-ins at once, by four names at four addresses, each of them being checked
    entered, go_on = threading.Semaphore(0), threading.Event()

    class SlowUsers:
        def verify(self, name: str, password: str) -> None:
            entered.release()
            assert go_on.wait(30)

    users, nothing = cast("Any", SlowUsers()), cast("Any", None)
    guesses = GuessLimiter(monotonic=lambda: 1_000.0)
    desk = Desk(users, nothing, nothing, guesses)

    def sign_in_as(number: int) -> type[Exception] | None:
        try:
            desk.sign_in(f"user-{number}", "wrong", f"192.0.2.{number}")
        except NotAuthenticated as refused:
            return type(refused)
        return None

    with ThreadPoolExecutor(5) as threads:
        first = [threads.submit(sign_in_as, number) for number in range(4)]
        try:
            for _ in first:
                assert entered.acquire(timeout=30)
            # When more come, of other places
            # Then they are refused at once, and their passwords are not checked
            for number in range(4, 20):
                with pytest.raises(TooManyGuesses, match="at once; wait some seconds") as refused:
                    desk.sign_in(f"user-{number}", "wrong", f"192.0.2.{number}")
                assert refused.value.retry_after == 2
            assert not entered.acquire(blocking=False)
            # But a user at a place where that one signed in before is let in
            guesses.succeeded("password", "192.0.2.99", "user-99")
            known = threads.submit(sign_in_as, 99)
            assert entered.acquire(timeout=30)
        finally:
            go_on.set()
        assert known.result(30) == NotAuthenticated
        assert [one.result(30) for one in first] == [NotAuthenticated] * 4
    # And when those are through, the next ones have room, however the ones before ended
    assert [sign_in_as(number) for number in range(20, 30)] == [NotAuthenticated] * 10


def test_the_page_has_no_script_and_no_frame(site: Site) -> None:
    answer = site.browser.get("/statecast/sign-in?why=ended&next=//evil.example")
    text = answer.get_data(as_text=True)
    assert "<script" not in text
    assert "Your session has ended." in text
    assert "evil" not in text
    policy = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy


def test_the_whole_way_from_a_user_in_the_store_to_a_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given Ada in the store of an app
    app = create_app(Settings(store="memory:"))
    live = runtime_of(app)
    monkeypatch.setattr(passwords, "METHOD", "scrypt:1024:8:1")
    live.rights.users.add("ada", ADA["password"], "viewer", by="machine")
    browser = app.test_client()
    page = browser.get("/statecast/sign-in").get_data(as_text=True)
    token = re.search(r'name="token" value="([^"]*)"', page)
    assert token is not None
    form = {"token": token[1], "user": "Ada"}
    # When she types a wrong password, and then hers
    wrong = browser.post("/statecast/sign-in", data=form | {"password": "wrong"}, headers=OWN)
    right = browser.post("/statecast/sign-in", data=form | ADA, headers=OWN)
    # Then her browser has a session that is hers
    assert (wrong.status_code, right.status_code) == (401, 303)
    cookie = browser.get_cookie("statecast_session")
    assert cookie is not None
    assert live.rights.policy.identify(Credentials(session=cookie.value)).sender == "user ada"
    # And after many wrong ones she waits
    for _ in range(5):
        page = browser.get("/statecast/sign-in").get_data(as_text=True)
        token = re.search(r'name="token" value="([^"]*)"', page)
        assert token is not None
        form = {"token": token[1], "user": "bob", "password": "wrong"}
        answer = browser.post("/statecast/sign-in", data=form, headers=OWN)
    answer = browser.post("/statecast/sign-in", data=form, headers=OWN)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    live.stop()
