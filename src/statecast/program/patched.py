"""Whether this program's threads are real ones.

gevent and eventlet can replace the standard library's threads by green ones. Then the event loop,
the store's threads and the application wait for each other, and the server answers nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from statecast.errors import BadSetting

Check = Callable[[Any], object]
CHECKS: Mapping[str, tuple[str, Check]] = {
    "gevent.monkey": (
        "gevent.monkey.patch_all()",
        # Threads hand over work through queues, so patch_all(thread=False) stops the server too.
        lambda module: module.is_module_patched("threading") or module.is_module_patched("queue"),
    ),
    "eventlet.patcher": (
        "eventlet.monkey_patch()",
        lambda module: module.is_monkey_patched("thread"),
    ),
}
"""By module, asked only if the program has imported it: the call that patches, and the check."""


def refuse_patched() -> None:
    """Raises BadSetting if threads are patched."""
    for name, (call, is_patched) in CHECKS.items():
        module = sys.modules.get(name)
        if module is not None and is_patched(module):
            raise BadSetting(
                f"{name.partition('.')[0]} has patched this program's threads, and with green "
                f"threads nothing would be answered. Remove {call}: Statecast needs no monkey "
                "patching."
            )
