"""What the parts of the store's contract share: a store per test, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from statecast import strict_json
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.testing.values import VirtualClock, change, message

DAY = 24 * 3600.0


def state_of(store: Store, device: str = "pillow") -> Any:
    update = store.get(device)
    return None if update is None or update.state is None else strict_json.decode(update.state)


class StoreFixture:
    """A store per test, and a clock that stands still."""

    def make_store(self, limits: Limits, clock: Callable[[], int]) -> Store:
        """An empty store. The only method that a subclass must implement."""
        raise NotImplementedError

    def setup_method(self) -> None:
        self.clock = VirtualClock()
        self.opened: list[Store] = []
        self.number = 0

    def teardown_method(self) -> None:
        for store in self.opened:
            store.close()

    def store(self, **limits: Any) -> Store:
        store = self.make_store(Limits(**limits), self.clock)
        self.opened.append(store)
        return store

    def say(self, store: Store, state: dict[str, Any], device: str = "pillow", **more: Any) -> None:
        """Commit a new message of the device, sent now."""
        self.number += 1
        store.commit(
            "queue",
            1,
            [message(f"m{self.number}", change(device, state, **more), sent_at=self.clock())],
        )
