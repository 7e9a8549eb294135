"""The command ``statecast`` on a system that gives no watch of files."""

from __future__ import annotations

from pathlib import Path

from statecast.cli.main import main
from statecast.stores.sqlite import log_watch


class NoWatch:
    def __init__(self, log: Path) -> None:
        raise OSError("no watches here")


if __name__ == "__main__":
    log_watch.LogWatch = NoWatch  # type: ignore[assignment,misc]
    main()
