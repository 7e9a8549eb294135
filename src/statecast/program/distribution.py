"""Whether the package index has Statecast, and how it is installed until then.

Error sentences use this module, and a test compares every document with it. RELEASING.md says when
it changes.
"""

from __future__ import annotations

from importlib.metadata import version

VERSION = version("statecast")
"""The version of the installed package. pyproject.toml has it, and no other file."""

PUBLISHED = False
"""False until the first release: the package index has no Statecast, so only a clone installs."""


def install_hint(extras: str) -> str:
    """The command that installs Statecast with these extras, for the end of an error sentence."""
    if PUBLISHED:
        return f"pip install 'statecast[{extras}]'"
    return f"pip install '.[{extras}]' in a clone of Statecast"
