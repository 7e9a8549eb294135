"""The rights of an app by the settings of a test, whose store has no user, key or share link."""

from __future__ import annotations

from typing import Any

from statecast.http.app_rights import AppRights
from statecast.problems import Problems
from statecast.settings import Settings


def rights(settings: Settings, now: int = 0) -> AppRights:
    def clock() -> int:
        return now

    return AppRights(settings, NoRecords, clock, Problems(clock))  # type: ignore[arg-type]


class NoRecords:
    def access_record(self, kind: str, id_: str) -> None:
        return None

    def access_records(self, kind: str | None = None) -> list[Any]:
        return []
