"""Stock clients of Socket.IO in Node, which count, are counted towards, and leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("stock_client.js")
NUMBERS = 40
"""Up to where each counts."""


def in_javascript(node: Any, address: str, transports: str, sessions: int) -> list[dict[str, Any]]:
    """Run so many at once; what each of them says at its end."""
    finished = node.run(SCRIPT, address, transports, str(sessions), str(NUMBERS), timeout=150)
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]
