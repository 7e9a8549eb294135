"""The fixtures that pytest has once Statecast is installed: docs/how-to/test-your-app.md.

pytest imports this module at its start, in projects without Statecast too. Therefore it imports
Flask, and all else that takes time, only in its fixtures.
"""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from statecast.testing.app_under_test import AppClock, AppUnderTest
    from statecast.testing.page_viewer import PageViewer
    from statecast.testing.source_contract import FakeSource

OPTION = "statecast_app"


class StatecastWarning(pytest.PytestWarning):
    """Something that a test did has no effect, because nothing serves its store."""


class UnservedHandler(logging.Handler):
    """Makes the log's sentence a warning of the test, which pytest shows at its end."""

    def emit(self, record: logging.LogRecord) -> None:
        warnings.warn(
            StatecastWarning(
                f"Statecast: {record.getMessage()} In a test the fixture statecast_app serves it: "
                "see docs/how-to/test-your-app.md."
            ),
            stacklevel=2,
        )


_handler = UnservedHandler(logging.WARNING)
_log = logging.getLogger("statecast.broadcast.unserved")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        OPTION,
        "The Flask app under test, MODULE:APP or MODULE:FACTORY(), unless a fixture `app` has it",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    _log.addHandler(_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    _log.removeHandler(_handler)


@pytest.fixture
def statecast_store() -> str:
    """The URL of the store that the app has in a test: override it for one in a file."""
    return "memory:"


@pytest.fixture
def statecast_app(request: pytest.FixtureRequest, statecast_store: str) -> Iterator[AppUnderTest]:
    """The app under test, with its queue, store and viewers, without network and threads.

    The app is what the fixture ``app`` returns, or what the ini option ``statecast_app`` names.
    """
    from statecast.errors import StatecastError
    from statecast.testing.app_under_test import AppUnderTest

    app = app_of(request)
    try:
        served = AppUnderTest(app, statecast_store)
        served.start()
    except StatecastError as error:
        pytest.fail(f"statecast_app: {error}", pytrace=False)
    yield served
    served.stop()


@pytest.fixture
def statecast_viewer(statecast_app: AppUnderTest) -> PageViewer:
    """A page of the app that watches every device; ``statecast_app.viewer()`` opens further ones.

    ``states``, ``silent``, ``health`` and ``events`` are what it shows and has received.
    """
    return statecast_app.viewer()


@pytest.fixture
def statecast_source(statecast_app: AppUnderTest) -> FakeSource:
    """The queue of the app: ``put`` sends a message; ``away = "a sentence"`` makes it fail."""
    return statecast_app.source


@pytest.fixture
def statecast_clock(statecast_app: AppUnderTest) -> AppClock:
    """The only clock of the app: ``advance(seconds)`` lets time pass."""
    return statecast_app.clock


def app_of(request: pytest.FixtureRequest) -> Any:
    """The Flask app under test; a test without one fails with a sentence."""
    from flask import Flask

    named = str(request.config.getini(OPTION))
    try:
        app = request.getfixturevalue("app")
    except pytest.FixtureLookupError as error:
        if error.argname != "app":
            raise
        if not named:
            pytest.fail(
                "statecast_app needs the Flask app under test. Write a fixture `app` that returns "
                "it, or name it in the configuration of pytest: statecast_app = mymodule:app.",
                pytrace=False,
            )
        return load(named, request.config.rootpath)
    if not isinstance(app, Flask):
        pytest.fail(
            f"statecast_app: the fixture `app` returns {type(app).__name__}; it must return the "
            "Flask app itself, before any middleware.",
            pytrace=False,
        )
    return app


def load(named: str, root: Path) -> Any:
    """The app that the ini option names."""
    from flask import Flask

    module_name, _, attribute = named.partition(":")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    app: Any = getattr(importlib.import_module(module_name), attribute.removesuffix("()") or "app")
    if attribute.endswith("()") or (not isinstance(app, Flask) and callable(app)):
        app = app()
    if not isinstance(app, Flask):
        pytest.fail(f"statecast_app: {named} is no Flask app, it is {app!r}.", pytrace=False)
    return app
