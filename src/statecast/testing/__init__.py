"""What tests of users and of plug-in authors need: a clock that stands still, a queue that fails on demand, and the
contracts of sources and stores as test classes for pytest (or any runner that knows ``setup_method``)::

    class TestMyQueue(SourceContract):
        def make_source(self, visibility): ...
        def put(self, body): ...
"""

from __future__ import annotations

from statecast.testing import oracle
from statecast.testing.source_contract import FakeSource, SourceContract
from statecast.testing.store_contract import StoreContract
from statecast.testing.values import VirtualClock, change, message, raises, refused

__all__ = [
    "FakeSource",
    "SourceContract",
    "StoreContract",
    "VirtualClock",
    "change",
    "message",
    "oracle",
    "raises",
    "refused",
]
