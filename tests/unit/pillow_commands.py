"""Commands for the pillow of ``examples/huggable_cloud``."""

from __future__ import annotations

import datetime
import json

from examples.huggable_cloud.pillow import Command

NOON = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC).timestamp()
DAY = 86_400.0


def command(
    id_: str = "a", name: str = "hug", device: str = "pillow", expires_at: float = NOON + 60
) -> Command:
    return Command(id_, device, name, expires_at)


def body(one: Command) -> bytes:
    """As the server puts it into the queue."""
    at = datetime.datetime.fromtimestamp(one.expires_at, datetime.UTC).isoformat()
    members = {"id": one.id, "device": one.device, "name": one.name, "arguments": {}}
    return json.dumps(members | {"expires_at": at, "seconds_left": 60.0}).encode()
