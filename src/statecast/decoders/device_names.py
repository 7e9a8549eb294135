"""Device names from the identifiers of other systems: subjects, paths, URIs.

Rule 1: a text that is a valid name is not changed, unless it contains an escape as in rule 2.
Rule 2: the mapping is reversible, so that two things never share a device. A character that a name
may not have becomes ``_x7B_`` (its code point in hexadecimal), like in .NET and SharePoint. Where a
text already contains such an escape, the first underscore of it is written ``_x5F_``. There is one
exception: a ``/`` at the beginning is removed, because vendors write the same subject with and
without it.
Rule 3: nothing is truncated. A text that is too long for a name is refused.
"""

from __future__ import annotations

import re

from statecast import names
from statecast.errors import Malformed

_FOREIGN = re.compile(
    r"[^A-Za-z0-9._:/-]"  # not allowed in a name
    r"|_(?=x[0-9A-F]{1,6}(?:_|[^A-Za-z0-9._:/-]|//|/\Z))"  # looks like one of our escapes
    r"|(?<![^/])\.(?=\.?(?:/|\Z))"  # the first dot of a part that is . or ..
    r"|/(?=/|\Z)"  # a slash before an empty part
    r"|\A/"  # the second of two at the beginning
)


def name_of(text: str, prefix: str = "") -> str:
    """The device name for an identifier of another system. Raises Malformed."""
    name = prefix + _FOREIGN.sub(lambda found: f"_x{ord(found[0]):X}_", text.removeprefix("/"))
    if not name:
        raise Malformed("It names no device.")
    if len(name) > names.MAX_CHARACTERS:
        raise Malformed(
            f"{names.quoted(name)} has {len(name)} characters; the name of a device has at most "
            f"{names.MAX_CHARACTERS}. The option device= of its source can point to a shorter one."
        )
    return names.check(name)
