"""What the application registers: a function, the devices it watches, and its name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from statecast import names
from statecast.errors import BadSetting, Malformed
from statecast.model import value_class

State = dict[str, Any] | None
Function = Callable[[str, State, State], Any]
"""Called with the device, its state before and after; None: there was no device, or is none."""
MAX_NAME = 200


@value_class
class Reaction:
    """A function that is called when devices change."""

    name: str
    """The store knows the reaction by it."""
    patterns: tuple[str, ...]
    function: Function


def reaction_of(function: Any, patterns: Sequence[str], name: str | None) -> Reaction:
    """A checked reaction. Raises BadSetting with a sentence."""
    try:
        checked = tuple(map(names.check_pattern, patterns))
    except Malformed as error:
        raise BadSetting(f"@live.on_change takes names of devices or patterns. {error}") from None
    if not checked:
        raise BadSetting(
            '@live.on_change takes the name of a device, or a pattern: @live.on_change("pillow"), '
            '@live.on_change("floor2/*"), @live.on_change("*").'
        )
    check_function(function)
    return Reaction(check_name(name_of(function) if name is None else name), checked, function)


def check_function(function: Any) -> None:
    """Raises BadSetting unless it can be called with device, before and after."""
    if not callable(function):
        raise BadSetting(f"A reaction is a function; it is {function!r}.")
    if inspect.iscoroutinefunction(function):
        raise BadSetting(
            f"The reaction {function.__qualname__} is a coroutine function. A reaction runs on a "
            "thread of its own, where it may wait: write `def` instead of `async def`."
        )
    try:
        inspect.signature(function).bind("device", None, None)
    except TypeError:
        shown = getattr(function, "__qualname__", function)
        raise BadSetting(
            f"The reaction {shown} is called with three arguments: the device, its state before "
            "and its state after."
        ) from None
    except ValueError:  # a function of C has no signature
        return


def check_name(name: Any) -> str:
    if not isinstance(name, str) or not name or len(name) > MAX_NAME or not name.isprintable():
        raise BadSetting(f"The name of a reaction is a text of 1 to {MAX_NAME} characters.")
    return name


def name_of(function: Any) -> str:
    """Module and function: ``app.door_opened``. Raises BadSetting for a function without a name."""
    own = getattr(function, "__qualname__", "").replace("<locals>.", "")
    if not own or "<lambda>" in own:
        raise BadSetting(
            "A reaction needs a name that stays the same over restarts, and this function has "
            'none: @live.on_change(..., name="mail").'
        )
    return f"{module_of(function)}.{own}"


def module_of(function: Any) -> str:
    """The module, also when its file is the program: ``python app.py`` runs the module ``app``."""
    module = str(getattr(function, "__module__", None) or "app")
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name.removesuffix(".__main__"))
    return Path(getattr(main, "__file__", None) or "app").stem
