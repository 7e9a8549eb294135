"""The table of devices in the docs, made from the samples of their messages.

``python -m tools.devices`` writes it; a test compares. Each row is a sample of
``tests/samples/devices`` that another test reads, so that the table promises nothing untried.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "tests" / "samples" / "devices"
PAGE = ROOT / "docs" / "how-to" / "devices.md"
BEGIN, END = "<!-- made by `python -m tools.devices` -->", "<!-- end -->"


def projects() -> Iterator[dict[str, Any]]:
    """The files of the samples, by the name of their project."""
    found = (json.loads(path.read_text("utf-8")) for path in SAMPLES.glob("*.json"))
    yield from sorted(found, key=lambda project: project["project"].lower())


def table() -> str:
    """All samples as a table: who sends, what, and the options of the source's URL."""
    lines = ["| project | message | options of the source |", "| --- | --- | --- |"]
    for project in projects():
        for sample in project["samples"]:
            options = f"`{sample['options']}`" if sample["options"] else "none"
            lines.append(f"| {project['project']} | {sample['what']} | {options} |")
    return "\n".join(lines)


def render(page: str) -> str:
    """The page with a new table."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def main() -> None:
    PAGE.write_text(render(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
