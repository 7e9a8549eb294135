"""Step 2, decode: what the bytes of a delivery say, as changes that are valid, and refusals with a reason.

A decoder is any callable ``(Delivery) -> Message``. It is pure and never raises: what it cannot read is a value
too, which goes to quarantine while the neighbours go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from statecast.decoders.plain import PlainDecoder
from statecast.model import Delivery, Message

OPTIONS = ("default", "device", "id", "order", "prefix", "sequence", "state", "time")
"""What a source's URL may say of its messages."""


def open_decoder(options: Mapping[str, str], url: str = "") -> Callable[[Delivery], Message]:
    """What reads the messages of a source. Raises BadSetting."""
    return PlainDecoder(options.get("default"))

from __future__ import annotations

from collections.abc import Callable, Mapping

from statecast.decoders.plain import PlainDecoder
from statecast.model import Delivery, Message

OPTIONS = ("device",)
"""What a source's URL may say of its messages."""


def open_decoder(options: Mapping[str, str], url: str = "") -> Callable[[Delivery], Message]:
    """What reads the messages of the source with this URL, by its options. Raises Malformed."""
    return PlainDecoder(options.get("device"))
