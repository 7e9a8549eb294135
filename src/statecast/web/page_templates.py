"""The templates of our pages, and the functions and filters that they use."""

from __future__ import annotations

import functools
import shlex

import jinja2

from statecast.program.distribution import VERSION
from statecast.web import command_words, formatting, view_models
from statecast.web.view_models import TemplateFunctions


@functools.cache
def environment() -> jinja2.Environment:
    """An environment apart from the app's, whose templates and options are not changed.

    Nothing in it is of one app, so a process compiles each template once.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("statecast.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {
        "attribute": view_models.attribute,
        "json_attribute": view_models.json_attribute,
        "button_label": command_words.button_label,
        "plain": view_models.plain,
        "clock": formatting.clock,
        "day": formatting.day,
        "iso": formatting.iso,
        "shell_word": shlex.quote,
        "number": lambda count: f"{count:,}",
        "short": formatting.number,
        "ago": formatting.ago,
        "bytes": formatting.size,
        "lag": formatting.lag,
    }
    made.globals |= {
        "bind": TemplateFunctions.bind,
        "words": TemplateFunctions.words,
        "release": VERSION,
    }
    return made
