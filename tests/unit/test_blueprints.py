"""A guest's pages and a page's host: who answers what, below ``/statecast`` and alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask, Response

from statecast import Statecast
from statecast.flask import create_app, runtime_of
from statecast.settings import Settings

# As a guest


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask("host")
    yield app
    runtime_of(app).stop()


@pytest.fixture
def live(app: Flask) -> Statecast:
    return Statecast(app, store="memory:")


def test_the_hosts_own_pages_headers_and_errors_are_left_alone(app: Flask, live: Statecast) -> None:
    app.get("/")(lambda: "mine")
    app.get("/fails", endpoint="fails")(lambda: 1 / 0)
    app.errorhandler(404)(lambda error: ("my own 404", 404))
    app.errorhandler(500)(lambda error: ("my own 500", 500))
    client = app.test_client()
    for path, text in (
        ("/", "mine"),
        ("/nope", "my own 404"),
        ("/fails", "my own 500"),
        ("/api/x", "my own 404"),
    ):
        answer = client.get(path)
        assert answer.text == text
        assert "Content-Security-Policy" not in answer.headers
    assert not [name for name in app.jinja_env.globals if "statecast" in name]
    assert app.url_map.merge_slashes and app.config["MAX_CONTENT_LENGTH"] is None


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/operator", 200), ("/pictures", 200), ("/devices/nobody", 404),
    ("/devices/pillow", 200),
     ("/page.css", 200), ("/nope.css", 404)],
)  # fmt: skip
def test_our_pages_live_below_statecast(
    app: Flask, live: Statecast, path: str, status: int
) -> None:
    live.set("pillow", mood="happy")
    answer = app.test_client().get(f"/statecast{path}")
    assert answer.status_code == status
    if not path.endswith(".css") or status == 404:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    answer.close()


def test_links_of_our_pages_stay_below_statecast(app: Flask, live: Statecast) -> None:
    live.set("pillow", mood="happy")
    live.set("tank", level=5)
    html = app.test_client().get("/statecast/").text
    assert "/statecast/devices/pillow" in html and 'href="/statecast/page.css' in html
    assert 'href="/devices' not in html


def test_a_page_of_ours_that_fails_says_so_with_a_number(
    app: Flask, live: Statecast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("secret")

    store = live.runtime.store
    monkeypatch.setattr(store, "reports", fail)
    answer = app.test_client().get("/statecast/operator")
    assert (
        answer.status_code == 500 and "secret" not in answer.text and "Traceback" not in answer.text
    )
    (record,) = caplog.records
    number = record.getMessage().split()[1]
    assert number in answer.text


# Alone


@pytest.fixture
def alone() -> Iterator[Flask]:
    app = create_app(Settings(store="memory:", title="Pillows"))
    yield app
    runtime_of(app).stop()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 200), ("GET", "/operator", 200), ("GET", "/pictures", 200), ("GET",
    "/devices/nobody", 404),
     ("GET", "/nope", 404), ("GET", "/devices/", 404), ("POST", "/", 405), ("GET", "/devices/a//b",
     404),
     ("GET", "/statecast/nope", 404), ("GET", "/apiary", 404), ("GET", "/static/x", 404)],
)  # fmt: skip
def test_the_app_alone_answers_everything_in_its_own_way(
    alone: Flask, method: str, path: str, status: int
) -> None:
    answer = alone.test_client().open(path, method=method)
    assert answer.status_code == status
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.content_type.startswith("text/html")
    assert "Pillows" in answer.text or path == "/pictures"
    assert status != 405 or "GET" in answer.headers["Allow"]


def test_an_error_outside_of_our_blueprints_is_answered_too(
    alone: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    @alone.get("/fails")
    def fails() -> Response:
        raise ZeroDivisionError("secret")

    answer = alone.test_client().get("/fails")
    assert answer.status_code == 500 and "secret" not in answer.text
    assert len(caplog.records) == 1
