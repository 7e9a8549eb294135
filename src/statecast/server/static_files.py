"""The files of ``web/static`` as they are sent: without comments, and packed once.

A third of the packed bytes of our scripts would be comments. Each line stays where it is, so that
errors in a browser name the line of the source. They are read at the start, so that a page never
gets scripts of two releases. Only the packed bytes stay in memory: every browser takes them.
"""

from __future__ import annotations

import hashlib
from importlib import resources

from statecast.http import content_coding
from statecast.model import value_class

KINDS = {
    "css": "text/css; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
}
COMMENTED = {"css", "js"}
STATIC = "/statecast/"


@value_class
class File:
    packed: bytes
    """Compressed with gzip: a third of the bytes."""
    kind: bytes
    """The content type."""
    tag: bytes
    """The ETag of ``body``."""

    @property
    def body(self) -> bytes:
        """The file, for a client that takes no gzip."""
        return content_coding.unpacked(self.packed)


def static_files() -> dict[str, File]:
    """The files of ``web/static``, by path."""
    files = {}
    for entry in resources.files("statecast.web").joinpath("static").iterdir():
        suffix = entry.name.rpartition(".")[2]
        if entry.is_file() and suffix in KINDS:
            body = entry.read_bytes()
            if suffix in COMMENTED:
                body = without_comments(body.decode()).encode()
            tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
            packed = content_coding.packed(body, 9)
            files[STATIC + entry.name] = File(packed, KINDS[suffix].encode(), tag.encode())
    return files


def without_comments(text: str) -> str:
    """A script or style sheet of ours with empty lines where whole lines are comments.

    It knows nothing of strings: a test compares the tokens of each of our files before and after.
    """
    kept: list[str] = []
    inside = False
    for line in text.split("\n"):
        bare = line.strip()
        ends = bare.endswith("*/")
        if inside or (bare.startswith("/*") and (ends or "*/" not in bare)):
            inside = not ends
            kept.append("")
        else:
            kept.append("" if bare.startswith("//") else line)
    return "\n".join(kept)
