"""Step 2, decode: what the bytes of a delivery say, as changes that are valid, and refusals with a reason.

A decoder is any callable ``(Delivery) -> Message``. It is pure and never raises: what it cannot read is a value
too, which goes to quarantine while the neighbours go on.
"""
