"""Finds the Flask app that ``statecast run module:name`` means."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from types import ModuleType
from typing import Any

from flask import Flask

from statecast import names
from statecast.errors import BadSetting, StatecastError

USUAL = ("app", "application", "create_app", "make_app")


def load_app(text: str) -> Flask:
    """The app that ``module:name`` means, from the current directory first. Raises BadSetting with a sentence.

    ``name`` is an app or a function without arguments that makes one; without it the usual names are tried.
    """
    module_name, _, attribute = text.removesuffix("()").partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")) or (
        attribute and not attribute.isidentifier()
    ):
        raise BadSetting(
            f"{names.quoted(text)} names no app; write it like myapp:app, for the variable app in myapp.py."
        )
    module = imported(module_name)
    if not attribute:
        attribute = next((name for name in USUAL if hasattr(module, name)), USUAL[0])
    if not hasattr(module, attribute):
        raise BadSetting(
            f"The module {module_name} has no {attribute}; name the Flask app, like {module_name}:app."
        )
    found = getattr(module, attribute)
    if not isinstance(found, Flask) and callable(found):
        found = made(found, text)
    if not isinstance(found, Flask):
        raise BadSetting(
            f"{module_name}:{attribute} is no Flask app but of the type {type(found).__name__}."
        )
    return found


def imported(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise BadSetting(f"{name} could not be imported: {cause(error)}.") from error
        raise BadSetting(
            f"There is no module {name} in {os.getcwd()} or among the installed ones; "
            "go to the folder of your app, or correct the name."
        ) from error
    except StatecastError:
        raise
    except Exception as error:
        raise BadSetting(f"{name} could not be imported: {cause(error)}.") from error


def made(factory: Any, text: str) -> Any:
    try:
        return factory()
    except StatecastError:
        raise
    except Exception as error:
        raise BadSetting(f"{text} could not make the app: {cause(error)}.") from error


def cause(error: Exception) -> str:
    """What a user needs to find a mistake in code of his own: kind, words, and the line it came from."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    frames = [
        one
        for one in traceback.extract_tb(error.__traceback__)
        if not one.filename.startswith("<frozen")
    ]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
