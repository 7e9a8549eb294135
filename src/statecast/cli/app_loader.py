"""Imports the Flask app of ``statecast run module:name``."""

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

USUAL_NAMES = ("app", "application", "create_app", "make_app")


def load_app(text: str) -> Flask:
    """Import the app ``module:name``, from the current folder first. Raises BadSetting.

    ``name`` is an app, or a function without arguments that returns one. Without a name the usual
    ones are tried.
    """
    module_name, _, attribute = text.removesuffix("()").partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")) or (
        attribute and not attribute.isidentifier()
    ):
        raise BadSetting(
            f"{names.quoted(text)} names no app; write it like myapp:app, "
            "for the variable app in myapp.py."
        )
    module = import_module(module_name)
    if not attribute:
        attribute = next((name for name in USUAL_NAMES if hasattr(module, name)), USUAL_NAMES[0])
    if not hasattr(module, attribute):
        raise BadSetting(
            f"The module {module_name} has no {attribute}; "
            f"name the Flask app, like {module_name}:app."
        )
    found = getattr(module, attribute)
    if not isinstance(found, Flask) and callable(found):
        found = call_factory(found, text)
    if not isinstance(found, Flask):
        raise BadSetting(
            f"{module_name}:{attribute} is no Flask app but of the type {type(found).__name__}."
        )
    return found


def import_module(name: str) -> ModuleType:
    """Import a module of the user. Raises BadSetting with the line that failed."""
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


def call_factory(factory: Any, text: str) -> Any:
    """The app that a function returns. Raises BadSetting with the line that failed."""
    try:
        return factory()
    except StatecastError:
        raise
    except Exception as error:
        raise BadSetting(f"{text} could not make the app: {cause(error)}.") from error


def cause(error: Exception) -> str:
    """Class, text and line of an error in the code of the user."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    frames = [
        one
        for one in traceback.extract_tb(error.__traceback__)
        if not one.filename.startswith("<frozen")
    ]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
