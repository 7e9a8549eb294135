"""Names of devices from what other systems call things: subjects, paths, URIs.

Rule 1: what is a name already stays as it is, unless it holds a group as in rule 2.
Rule 2: the mapping can be undone, so two things never share a device. A character that a name may not have becomes
``_x7B_`` (its code point in hexadecimal), as .NET and SharePoint write names; where a text happens to hold such a
group of its own, the group's first underscore is written ``_x5F_``. The one exception: a ``/`` at the beginning is
left out, as vendors write the same subject with and without it.
Rule 3: nothing is cut. What is too long for a name is refused.
"""

from __future__ import annotations

import re

from statecast import names
from statecast.errors import Malformed

_FOREIGN = re.compile(
    r"[^A-Za-z0-9._:/-]"  # what no name may have
    r"|_(?=x[0-9A-F]{1,6}(?:_|[^A-Za-z0-9._:/-]|//|/\Z))"  # what would read like one of our groups
    r"|(?<![^/])\.(?=\.?(?:/|\Z))"  # the first point of a part that is . or ..
    r"|/(?=/|\Z)"  # a slash with nothing after it
    r"|\A/"  # left by a text that began with two
)


def name_of(text: str, prefix: str = "") -> str:
    """The device that a text of another system names. Raises Malformed."""
    name = prefix + _FOREIGN.sub(lambda found: f"_x{ord(found[0]):X}_", text.removeprefix("/"))
    if not name:
        raise Malformed("It names no device.")
    if len(name) > names.MOST_CHARACTERS:
        raise Malformed(
            f"{names.quoted(name)} has {len(name)} characters; the name of a device has at most "
            f"{names.MOST_CHARACTERS}. The option device= of its source can point to a shorter one."
        )
    return names.check(name)
