"""What views and templates of an application ask about rights, and what templates show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Request, abort, render_template_string, session

from statecast import BadSetting, Statecast
from statecast.errors import NotAuthenticated

PAGE = """
{{ live_text("smith/pillow.mood") }}|{{ live_text("secret/pillow.mood") }}|
{{ "there" if live_state("secret/pillow") else "none" }}|
{{ "edit" if live_allows("write", "smith/pillow") else "look" }}|{{ live_script() }}
"""
RIGHTS = {"user:ada": {"smith/*": "read write"}, "user:eve": {"secret/*": "read"}}
OTHER = {"REMOTE_ADDR": "192.0.2.7"}


class Program:
    """An application that signs people in by itself, with a page and a view of its own."""

    def __init__(self) -> None:
        self.app = Flask("host")
        self.app.secret_key = "of a test"
        self.live = Statecast(self.app, store="memory:", rights=RIGHTS)
        self.calls = 0
        self.live.authorize(self.who)
        self.app.add_url_rule("/sign-in/<name>", "sign_in", self.sign_in)
        self.app.add_url_rule("/page", "page", lambda: render_template_string(PAGE))
        self.app.add_url_rule("/tell", "tell", self.tell)
        self.app.add_url_rule("/open", "open", self.open)
        for device in ("smith/pillow", "secret/pillow"):
            self.live.set(device, mood=f"mood-of-{device[:5]}")

    def who(self, asked: Request) -> Any:
        self.calls += 1
        return (session["name"], {}) if "name" in session else None

    def sign_in(self, name: str) -> str:
        session["name"] = name
        return name

    def tell(self) -> dict[str, Any]:
        one = self.live.identity()
        return {"kind": one.kind, "name": one.name, "write": self.live.allows("write")}

    def open(self) -> str:
        if not self.live.allows("write", "smith/pillow"):
            abort(403)
        return "opened"

    def ask(self, path: str, name: str = "", **options: Any) -> Any:
        client = self.app.test_client()
        if name:
            client.get(f"/sign-in/{name}")
        return client.get(path, environ_overrides=OTHER, **options)


@pytest.fixture
def program() -> Iterator[Program]:
    made = Program()
    yield made
    made.live.runtime.stop()


@pytest.mark.parametrize(
    ("name", "shown", "offer"),
    [
        ("", ["", "", "none"], "look"),
        ("ada", ["mood-of-smith", "", "none"], "edit"),
        ("eve", ["", "mood-of-secre", "there"], "look"),
    ],
)
def test_a_template_shows_what_its_reader_may_see(
    program: Program, name: str, shown: list[str], offer: str
) -> None:
    text = program.ask("/page", name).get_data(as_text=True)
    found = [part.strip() for part in text.split("|")]
    assert [*found[:3], found[3]] == [*shown, offer]
    # also in what the script begins with
    for mood in ("mood-of-smith", "mood-of-secre"):
        assert (mood in found[4]) == (mood in shown)


@pytest.mark.parametrize(
    ("name", "told", "status"),
    [
        ("", {"kind": "anonymous", "name": "", "write": False}, 403),
        ("ada", {"kind": "app", "name": "ada", "write": True}, 200),
        ("eve", {"kind": "app", "name": "eve", "write": False}, 403),
    ],
)
def test_a_view_asks_who_it_is_and_what_it_may(
    program: Program, name: str, told: dict[str, Any], status: int
) -> None:
    assert program.ask("/tell", name).get_json() == told
    assert program.ask("/open", name).status_code == status


def test_this_machine_sees_everything(program: Program) -> None:
    assert "mood-of-secre" in program.app.test_client().get("/page").get_data(as_text=True)


def test_the_application_is_asked_once_per_request(program: Program) -> None:
    program.ask("/page", "ada")
    assert program.calls == 1


def test_two_requests_of_one_application_context_have_their_own_rights(program: Program) -> None:
    # given a context that outlives requests, as in a test or a command of the application
    with program.app.app_context():
        first, second = (program.ask("/page", name) for name in ("eve", "ada"))
    # then what the first may see is not on the page of the second
    assert "mood-of-secre" in first.get_data(as_text=True)
    assert "mood-of-secre" not in second.get_data(as_text=True)


def test_a_template_that_no_request_asks_for_is_the_applications_own(program: Program) -> None:
    with program.app.app_context():
        text = render_template_string("{{ live_text('secret/pillow.mood') }}")
    assert text == "mood-of-secre"


def test_a_wrong_token_may_do_nothing(program: Program) -> None:
    bearer = {"Authorization": "Bearer sk_x_" + "a" * 43}
    assert program.ask("/open", headers=bearer).status_code == 403
    assert "mood-of" not in program.ask("/page", headers=bearer).get_data(as_text=True)
    with (
        program.app.test_request_context("/", headers=bearer),
        pytest.raises(NotAuthenticated),
    ):
        program.live.identity()


def test_outside_of_a_request_no_one_asks(program: Program) -> None:
    with program.app.app_context(), pytest.raises(BadSetting, match="no request"):
        program.live.allows("read", "smith/pillow")


def test_an_action_that_there_is_not_is_a_mistake(program: Program) -> None:
    with program.app.test_request_context("/"), pytest.raises(BadSetting, match="no action 'hug'"):
        program.live.allows("hug", "smith/pillow")


def test_who_decides_cannot_ask_for_the_decision(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    # given a function of @live.authorize that asks what it is to decide
    program.who = lambda asked: program.live.allows("read")  # type: ignore[method-assign]
    runtime = program.live.runtime
    runtime.rights._authorize = program.who
    # then the request may do nothing, and the log says why
    assert program.ask("/open").status_code == 403
    assert "@live.authorize failed" in caplog.text and "it cannot ask for it" in caplog.text
