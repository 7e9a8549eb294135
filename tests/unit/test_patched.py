"""A program whose threads are green ones is refused in a sentence."""

from __future__ import annotations

import sys
import types

import pytest

from statecast.errors import BadSetting
from statecast.program.patched import refuse_patched


@pytest.mark.parametrize(
    ("name", "function", "argument"),
    [
        ("gevent.monkey", "is_module_patched", "threading"),
        ("gevent.monkey", "is_module_patched", "queue"),  # by patch_all(thread=False)
        ("eventlet.patcher", "is_monkey_patched", "thread"),
    ],
)
@pytest.mark.parametrize("patched", [True, False])
def test_patched_threads_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, function: str, argument: str, patched: bool
) -> None:
    # given a program that has imported the library, and may have let it patch threads
    module = types.ModuleType(name)
    setattr(module, function, lambda what: patched and what == argument)
    monkeypatch.setitem(sys.modules, name, module)

    # then only the patched one is refused, and the sentence names the library
    if not patched:
        refuse_patched()
        return
    with pytest.raises(BadSetting, match=f"^{name.partition('.')[0]} has patched"):
        refuse_patched()


def test_a_program_without_them_is_not_asked_to_import_them() -> None:
    before = set(sys.modules)
    refuse_patched()
    assert {"gevent", "eventlet"}.isdisjoint(set(sys.modules) - before)
