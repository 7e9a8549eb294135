"""What an app's own templates know of devices, and what they hand to the page script."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import jinja2
import pytest
from flask import Flask, render_template_string

from statecast import Statecast
from statecast.errors import Malformed
from statecast.flask import runtime_of
from statecast.web.own_pages import parse_name


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask("host")
    yield app
    runtime_of(app).stop()


@pytest.fixture
def live(app: Flask) -> Statecast:
    return Statecast(app, store="memory:", allow_public=True)


def render(app: Flask, template: str, path: str = "/", **options: Any) -> str:
    with app.test_request_context(path, **options):
        return render_template_string(template)


def first_states(html: str) -> dict[str, Any] | None:
    found = re.search(r"<script type=\"application/json\" data-first-states>(.*?)</script>", html)
    return json.loads(found[1]) if found else None


STATE = {
    "mood": "happy",
    "on": True,
    "temperature_c": 21.5,
    "climate": {"temperature": 20, "deep": {"er": "x"}},
    "list": [1, {"a": "b"}],
    "items": "own",
    "update": {"state": "idle"},
    "__class__": "hostile",
    "markup": "<img src=x onerror=alert(1)>",
}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("live_state('pillow').mood", "happy"),
        ("live_state('pillow')['mood']", "happy"),
        ("live_state('pillow').climate.temperature", "20"),
        ("live_state('pillow').climate.deep.er", "x"),
        ("live_state('pillow').list[1].a", "b"),
        ("live_state('pillow').items", "own"),
        ("live_state('pillow').update.state", "idle"),
        ("live_state('pillow')['__class__']", "hostile"),
        ("live_state('pillow').markup", "&lt;img src=x onerror=alert(1)&gt;"),
        ("live_state('pillow').climate", "{&#34;temperature&#34;: 20, &#34;deep&#34;: "
         "{&#34;er&#34;: &#34;x&#34;}}"),
        ("'mood' in live_state('pillow')", "True"),
        ("live_state('pillow').climate|list|join(' ')", "temperature deep"),
        # What is missing is empty at every depth
        ("live_state('pillow').nothing", ""),
        ("live_state('pillow').keys", ""),
        ("live_state('pillow').nothing.at.all", ""),
        ("live_state('pillow').mood.deeper", ""),
        ("live_state('pillow').nothing|default('?')", "?"),
        ("live_state('nobody').mood", ""),
        ("live_state('nobody').climate.temperature", ""),
        ("'there' if live_state('nobody') else 'gone'", "gone"),
        ("'there' if live_state('removed') else 'gone'", "gone"),
        # As the script will write it
        ("live_text('pillow.on')", "yes"),
        ("live_text('pillow.temperature_c')", "21.5\u00a0°C"),
        ("live_text('pillow.climate.temperature')", "20"),
        ("live_text('pillow', '/climate/deep/er')", "x"),
        ("live_text('pillow.list.0')", "1"),
        ("live_text('pillow.list.7')", ""),
        ("live_text('pillow.mood.length')", ""),
        ("live_text('pillow')", ""),
        ("live_text('nobody.mood')", ""),
        ("live_text('pillow.markup')", "&lt;img src=x onerror=alert(1)&gt;"),
    ],
)  # fmt: skip
def test_a_template_reads_a_state(app: Flask, live: Statecast, expression: str, text: str) -> None:
    live.set("pillow", STATE)
    live.set("removed", mood="sad")
    live.delete("removed")
    assert render(app, f"{{{{ {expression} }}}}") == text


def test_an_app_that_is_strict_about_its_variables_is_not_about_fields(app: Flask) -> None:
    app.jinja_options = {"undefined": jinja2.StrictUndefined}
    Statecast(app, store="memory:", allow_public=True)
    assert render(app, "{{ live_state('pillow').mood }}") == ""
    with pytest.raises(jinja2.UndefinedError):
        render(app, "{{ mistyped }}")


def test_a_name_that_no_device_can_have_is_an_error_of_the_template(
    app: Flask, live: Statecast
) -> None:
    with pytest.raises(Malformed):
        render(app, "{{ live_state('two words').mood }}")


def test_names_of_the_app_itself_stay_its_own(app: Flask) -> None:
    app.jinja_env.globals["live_state"] = lambda device: f"mine of {device}"
    Statecast(app, store="memory:", allow_public=True)
    assert render(app, "{{ live_state('pillow') }}") == "mine of pillow"


def test_the_script_begins_with_what_the_template_showed(app: Flask, live: Statecast) -> None:
    # Given two devices, one that was removed and one that never was
    live.set("pillow", mood="</script><script>alert(1)</script><!--'&\u2028")
    live.set("door", open=True)
    live.set("removed", mood="sad")
    live.delete("removed")

    # When a template shows all of them and an element of the door
    html = render(
        app,
        "{{ live_state('pillow').x }}{{ live_state('removed').x }}{{ live_text('nobody.x') }}"
        "{{ live_script('door') }}",
    )

    # Then the page has their states and its position, and nothing in them ends the element
    first = first_states(html)
    assert first
    states = {one["device"]: one["state"] for one in first["states"]}
    assert states == {
        "pillow": {"mood": "</script><script>alert(1)</script><!--'&\u2028"},
        "removed": None,
        "nobody": None,
        "door": {"open": True},
    }
    position = runtime_of(app).store.read_position()
    assert (first["epoch"], first["offset"]) == position
    assert html.count("</script>") == 2
    assert '<script type="module" src="/statecast/bind.js"></script>' in html
    assert '<link rel="modulepreload" href="/statecast/connection.js">' in html


def test_the_position_is_not_later_than_the_states(
    app: Flask, live: Statecast, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a device that changes while the template is rendered
    live.set("pillow", mood="happy")
    before = runtime_of(app).store.read_position()
    app.jinja_env.globals["meanwhile"] = lambda: str(live.set("pillow", mood="sad"))[:0]

    html = render(
        app, "{{ live_state('pillow').mood }}{{ meanwhile() }}{{ live_state('pillow').mood }}"
        "{{ live_script() }}"
    )  # fmt: skip

    # Then one page shows one state, and the script receives the change
    assert html.startswith("happyhappy")
    first = first_states(html)
    assert first and first["offset"] == before.offset


def test_without_a_state_there_is_only_the_script(app: Flask, live: Statecast) -> None:
    assert first_states(render(app, "{{ live_script() }}")) is None


@pytest.mark.parametrize(
    ("template", "nonce"),
    [
        ("{{ live_script(nonce='abc') }}", "abc"),
        ("{% set csp_nonce = 'from-context' %}{{ live_script() }}", "from-context"),
        ("{{ live_script(nonce='\"><b>') }}", "&#34;&gt;&lt;b&gt;"),
    ],
)
def test_the_nonce_of_a_content_policy(
    app: Flask, live: Statecast, template: str, nonce: str
) -> None:
    html = render(app, template)
    assert f'src="/statecast/bind.js" nonce="{nonce}"></script>' in html
    assert f'href="/statecast/board.js" nonce="{nonce}">' in html


def test_a_nonce_that_a_function_of_the_app_gives(app: Flask, live: Statecast) -> None:
    app.jinja_env.globals["csp_nonce"] = lambda: "each-request"  # as Flask-Talisman does
    assert 'nonce="each-request"' in render(app, "{{ live_script() }}")


def test_below_a_path_the_script_is_below_it_too(app: Flask, live: Statecast) -> None:
    html = render(
        app, "{{ live_script() }}", environ_overrides={"SCRIPT_NAME": "/app", "PATH_INFO": "/"}
    )
    assert 'src="/app/statecast/bind.js"' in html


def test_each_request_reads_the_store_again(app: Flask, live: Statecast) -> None:
    app.get("/")(lambda: render_template_string("{{ live_state('pillow').mood }}"))
    client = app.test_client()
    for mood in ("happy", "sad"):
        live.set("pillow", mood=mood)
        assert client.get("/").text == mood


def test_macros_of_an_imported_template_have_the_functions(app: Flask, live: Statecast) -> None:
    live.set("pillow", mood="happy")
    macros = "{% macro mood(name) %}{{ live_state(name).mood }}{% endmacro %}"
    app.jinja_loader = jinja2.DictLoader(
        {
            "macros.html": macros,
            "page.html": "{% from 'macros.html' import mood %}{{ mood('pillow') }}",
        }
    )
    with app.test_request_context():
        assert flask.render_template("page.html") == "happy"


BINDING_CASES = Path(__file__).parent.parent / "js" / "binding.test.mjs"
CASES = re.compile(r'^  \["([^"]+)", (null|"[^"]+"), "([^"]+)", (\[.*\])\],$', re.MULTILINE)


def test_names_are_read_as_the_script_reads_them() -> None:
    cases = CASES.findall(BINDING_CASES.read_text("utf-8"))
    assert len(cases) == 10
    for name, field, device, path in cases:
        assert parse_name(name, json.loads(field)) == (device, json.loads(path))


@pytest.mark.parametrize("name", ["bind.js", "binding.js", "live-address.js"])
def test_no_page_runs_the_scripts_of_an_older_release(app: Flask, name: str) -> None:
    # given an app that lets browsers keep its own static files for a year
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 31_536_000
    Statecast(app, store="memory:", allow_public=True)

    # then ours are asked for again by each page, and answered without a body
    with app.test_client().get(f"/statecast/{name}") as first:
        assert first.headers["Cache-Control"] == "no-cache, max-age=0"
    known = {"If-None-Match": first.headers["ETag"]}
    with app.test_client().get(f"/statecast/{name}", headers=known) as again:
        assert (again.status_code, again.data) == (304, b"")
