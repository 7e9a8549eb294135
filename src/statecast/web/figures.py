"""Numbers inside a picture: exact where they fit. The field beside the picture has all digits.

``static/figure.js`` writes the same.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from statecast.web import formatting

LARGE = (12, 6)
"""Characters that fit, and the significant digits of a longer number."""
IN_GAUGE = (5, 4)


def figure(value: float, size: tuple[int, int] = LARGE) -> str:
    """A number for a picture. Its integer part is never rounded below a billion.

    From there on a letter or an exponent says that it is.
    """
    room, digits = size
    exact, magnitude = formatting.number(value), abs(value)
    if len(exact) <= room:
        return exact
    decimal = Decimal(repr(float(value)))
    if magnitude >= 1e15 or magnitude < 1e-6:
        return formatting.scientific(_rounded(decimal, digits))
    for power, letter in ((12, "T"), (9, "B")):
        if magnitude >= 10**power:
            return formatting.plain(_rounded(decimal.scaleb(-power), digits)) + letter
    return formatting.plain(_rounded(decimal, max(digits, decimal.adjusted() + 1)))


def _rounded(of: Decimal, digits: int) -> Decimal:
    return of.quantize(Decimal(1).scaleb(of.adjusted() + 1 - digits), ROUND_HALF_UP)
