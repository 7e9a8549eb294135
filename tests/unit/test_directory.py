"""What a process keeps of users, keys, links and sessions: as the store has it, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from statecast.access.directory import KEPT_MS, AccessDirectory
from statecast.access.records import AccessRecord, RecordKind

START = 1_000_000


def session(number: int, body: dict[str, Any] | None) -> AccessRecord:
    return AccessRecord("session", f"s{number}", body, number)


@pytest.fixture
def now() -> list[int]:
    return [START]


@pytest.fixture
def directory(now: list[int]) -> Iterator[AccessDirectory]:
    yield AccessDirectory(lambda: now[0])


@pytest.mark.parametrize(
    ("kind", "body", "forgotten_at"),
    [
        ("session", {"user": "ada", "expires_at": START + 5}, START + 5 + KEPT_MS),
        ("session", None, START + KEPT_MS),
        ("key", None, START + KEPT_MS),
        ("key", {"grants": {}, "expires_at": START + 5}, None),
        ("key", {"grants": {}}, None),
        ("user", {"role": "viewer"}, None),
        ("user", None, START + KEPT_MS),
        ("share", None, START + KEPT_MS),
        ("session", {"user": "ada"}, None),
    ],
)
def test_what_has_ended_is_forgotten_a_day_later(
    directory: AccessDirectory,
    now: list[int],
    kind: RecordKind,
    body: dict[str, Any] | None,
    forgotten_at: int | None,
) -> None:
    record = AccessRecord(kind, "one", body, 1)
    directory.update([record])
    # while it may matter, it is known
    now[0] = (forgotten_at or START + 100 * KEPT_MS) - 1
    directory.update([session(2, {"user": "eve"})])
    assert directory.access_record(kind, "one") is record
    # and then only what has not ended is
    now[0] += 1
    directory.update([session(3, {"user": "eve"})])
    assert directory.access_record(kind, "one") is (None if forgotten_at else record)
    assert directory.holds(kind)


def test_what_came_back_is_kept(directory: AccessDirectory, now: list[int]) -> None:
    # given a key that was removed, and made again under its name
    directory.update([AccessRecord("key", "pillow", None, 1)])
    again = AccessRecord("key", "pillow", {"grants": {}}, 2)
    directory.update([again])
    # when the day of the removal is over, then the new one is there
    now[0] += KEPT_MS
    directory.update([session(3, None)])
    assert directory.access_record("key", "pillow") is again


def test_sign_ins_without_end_do_not_add_up(directory: AccessDirectory, now: list[int]) -> None:
    # given sessions of an hour, one each minute for a week
    for number in range(7 * 24 * 60):
        now[0] += 60_000
        directory.update([session(number, {"user": "ada", "expires_at": now[0] + 3_600_000})])
    # then those of 25 hours are known
    assert len(directory) == 25 * 60
    # and after a reset only what came with it
    directory.update([session(1, {"user": "ada"})], reset=True)
    assert len(directory) == 1
