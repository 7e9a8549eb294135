"""What the pages offer to who is signed in, and which forms they take."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask

from statecast.access import passwords
from statecast.flask import create_app, runtime_of
from statecast.settings import Settings

OTHER = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}}
OWN = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
PASSWORD = "correct horse battery"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setattr(passwords, "METHOD", "scrypt:1024:8:1")
    made = create_app(Settings(store="memory:", public_read="lobby"))  # type: ignore[arg-type]
    for device in ("lobby", "pillow"):
        made.test_client().put(f"/api/devices/{device}", json={"mood": "calm"})
    live = runtime_of(made)
    live.rights.users.add("ada", PASSWORD, "operator", by="machine")
    live.rights.users.add("bob", PASSWORD, "viewer", by="machine")
    yield made
    live.stop()


def token_of(page: str) -> str:
    found = re.search(r'name="token" value="([^"]*)"', page)
    return found[1] if found else ""


def test_from_a_page_to_the_form_and_back_and_out(app: Flask) -> None:
    browser = app.test_client()
    # given a page that everybody may see
    page = browser.get("/devices/lobby?x=1", **OTHER)  # type: ignore[arg-type]
    address = "/statecast/sign-in?next=/devices/lobby?x%3D1"
    assert f'<a href="{address}">Sign in</a>' in page.text
    # when Bob signs in from there
    form = browser.get(address, **OTHER)  # type: ignore[arg-type]
    assert "Sign in</a>" not in form.text
    sent = {"user": "bob", "password": PASSWORD, "token": token_of(form.text)}
    sent["next"] = "/devices/lobby?x=1"
    answer = browser.post("/statecast/sign-in", data=sent, headers=OWN, **OTHER)  # type: ignore[arg-type]
    # then he is back, and the page names him
    assert answer.headers["Location"] == "/devices/lobby?x=1"
    page = browser.get("/devices/lobby", **OTHER)  # type: ignore[arg-type]
    assert "bob" in page.text
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert browser.get("/devices/pillow", **OTHER).status_code == 200  # type: ignore[arg-type]
    # and he signs out by its button
    out = {"token": token_of(page.text)}
    browser.post("/statecast/sign-out", data=out, headers=OWN, **OTHER)  # type: ignore[arg-type]
    assert browser.get("/devices/pillow", **OTHER).status_code in (303, 401, 404)  # type: ignore[arg-type]
    assert "bob" not in browser.get("/devices/lobby", **OTHER).text  # type: ignore[arg-type]


def test_this_machine_is_asked_for_nothing(app: Flask) -> None:
    page = app.test_client().get("/devices/pillow")
    assert page.status_code == 200
    assert "Sign in</a>" not in page.text
    assert "sign-out" not in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"


def test_the_operators_form_has_the_token_of_the_session(app: Flask) -> None:
    live = runtime_of(app)
    browser = app.test_client()
    cookie = live.rights.desk.sign_in("ada", PASSWORD, "192.0.2.7")
    browser.set_cookie("statecast_session", cookie)
    page = browser.get("/operator", **OTHER)  # type: ignore[arg-type]
    token = token_of(page.text)
    assert page.status_code == 200 and token
    for form, status in (({}, 403), ({"token": "0" * 64}, 403), ({"token": token}, 303)):
        sent = {"action": "drop", "number": "1"} | form
        answer = browser.post("/operator", data=sent, headers=OWN, **OTHER)  # type: ignore[arg-type]
        assert answer.status_code == status, form


def test_a_viewer_is_no_operator(app: Flask) -> None:
    browser = app.test_client()
    cookie = runtime_of(app).rights.desk.sign_in("bob", PASSWORD, "192.0.2.7")
    browser.set_cookie("statecast_session", cookie)
    assert browser.get("/operator", **OTHER).status_code == 403  # type: ignore[arg-type]
