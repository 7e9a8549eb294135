"""The command ``statecast`` on a system that gives no watch of files."""

from __future__ import annotations

from pathlib import Path

from statecast.cli.main import main
from statecast.stores.sqlite import commit_watch


class NoWatch:
    def __init__(self, lock: Path) -> None:
        raise OSError("no watches here")


if __name__ == "__main__":
    commit_watch.CommitWatch = NoWatch  # type: ignore[assignment,misc]
    main()
