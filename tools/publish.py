"""Makes every install line name the package index: `python -m tools.publish https://HOST/OWNER/statecast`.

Run it once, as RELEASING.md says, right before the first release. It writes the repository's URL
into pyproject.toml, sets the constant `PUBLISHED` and rewrites the install lines of the documents.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tools.commands import Trouble, say

ROOT = Path(__file__).resolve().parent.parent
UNKNOWN_ADDRESS = "https://repository.invalid/statecast"
"""The name `.invalid` belongs to no one, for ever (RFC 2606). `make release` refuses it."""

OPENING = """\
<!-- install -->
```sh
uvx statecast run --demo   # try it without installing anything
pip install statecast
```
<!-- /install -->"""
"""How README.md opens once the package is there."""

BLOCK = re.compile(r"<!-- install -->\n.*?\n<!-- /install -->", re.DOTALL)
FROM_CLONE = re.compile(r"pip install '\.(\[[a-z,-]+\])'(`?)(?: +# in a clone| in a clone)?")
CONSTANT = "src/statecast/program/distribution.py"


def documents(root: Path) -> list[Path]:
    """Every page that tells a user how to install."""
    folders = [path for name in ("docs", "examples") for path in (root / name).rglob("*.md")]
    return [root / "README.md", root / "CHANGELOG.md", *sorted(folders)]


def published(text: str) -> str:
    """A document, once the package index has the package."""
    return FROM_CLONE.sub(r"pip install 'statecast\1'\2", BLOCK.sub(OPENING, text))


def publish(root: Path, address: str) -> None:
    if not re.fullmatch(r"https://[\w.-]+/[\w./-]*\w", address) or ".invalid" in address:
        raise Trouble("Name the repository: python -m tools.publish https://HOST/OWNER/statecast")
    for page in documents(root):
        page.write_text(published(page.read_text()))
    replace(root / "pyproject.toml", UNKNOWN_ADDRESS, address)
    replace(root / CONSTANT, "PUBLISHED = False", "PUBLISHED = True")


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    if old not in text:
        raise Trouble(f"{file.name} does not have {old!r}: it is published already.")
    file.write_text(text.replace(old, new))


if __name__ == "__main__":
    try:
        publish(ROOT, sys.argv[1] if len(sys.argv) == 2 else "")
    except Trouble as exc:
        sys.exit(str(exc))
    say("Done. Look at `git diff`, run `make check` and the tests of the documents, and commit.")
