"""For the tests of applications and of further sources and stores.

A clock that tests control, a queue that fails on demand, and the contracts of sources and stores as
test classes for pytest, or for another runner that calls ``setup_method``::

    class TestMyQueue(SourceContract):
        def make_source(self, visibility_timeout): ...
        def put(self, body): ...
        def advance(self, seconds): ...

::

    values.py           changes and messages in one line; VirtualClock
    source_contract.py  the contract of a source, and a fake
    store_contract.py   the contract of a store
    oracle.py           the definition of a state, to compare with
    azure.py            a fake of Azure Storage queues
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
