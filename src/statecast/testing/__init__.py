"""For the tests of applications and of further sources and stores.

The tests of an application get its queue and its pages as fixtures: docs/how-to/test-your-app.md.
Those of a source or a store subclass its contract, in pytest or in another runner that calls
``setup_method``::

    class TestMyQueue(SourceContract):
        def make_source(self, visibility_timeout): ...
        def put(self, body): ...
        def advance(self, seconds): ...

::

    plugin.py           the fixtures; the only module that pytest imports at its start
    app_under_test.py   an app with its queue, store and viewers, driven step by step
    page_viewer.py      a page without a browser
    virtual_loop.py     an event loop whose time is a clock of the test
    values.py           changes and messages in one line; VirtualClock
    source_contract.py  the contract of a source, and a fake
    store_contract.py   the contract of a store
    oracle.py           the definition of a state, to compare with
    azure.py            a fake of Azure Storage queues
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statecast.testing import oracle
    from statecast.testing.app_under_test import AppUnderTest
    from statecast.testing.page_viewer import PageViewer
    from statecast.testing.source_contract import FakeSource, SourceContract
    from statecast.testing.store_contract import StoreContract
    from statecast.testing.values import VirtualClock, change, message, raises, refused

__all__ = [
    "AppUnderTest",
    "FakeSource",
    "PageViewer",
    "SourceContract",
    "StoreContract",
    "VirtualClock",
    "change",
    "message",
    "oracle",
    "raises",
    "refused",
]

_HOMES = {
    "AppUnderTest": "app_under_test",
    "FakeSource": "source_contract",
    "PageViewer": "page_viewer",
    "SourceContract": "source_contract",
    "StoreContract": "store_contract",
    "VirtualClock": "values",
    "change": "values",
    "message": "values",
    "raises": "values",
    "refused": "values",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: pytest imports this package at its start."""
    import importlib

    if name == "oracle":
        return importlib.import_module("statecast.testing.oracle")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"statecast.testing.{_HOMES[name]}"), name)
