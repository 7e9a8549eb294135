"""The tables that the server and the browser share: units, the order of fields, pictures.

``static/tables.js`` is JSON after its first words, so that each table exists once: browsers import
it like any module, and this module reads the same file. JSON modules would need no such words, but
browsers of before 2025 do not have them.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

_PREFIX = "export default "


def read() -> dict[str, Any]:
    """The tables by name; the file says what each is for."""
    text = resources.files("statecast.web").joinpath("static", "tables.js").read_text("utf-8")
    _, _, tables = text.partition(_PREFIX)
    found: dict[str, Any] = json.loads(tables.strip().removesuffix(";"))
    return found


TABLES = read()
