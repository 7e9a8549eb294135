"""``statecast viewers``: what the serving processes have counted, read from their store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from statecast.broadcast.subscriptions import Audience
from statecast.broadcast.watch_counts import WatchCounts
from statecast.cli.main import main
from statecast.model import Change
from statecast.stores import open_store
from statecast.stores.contract import Store

Viewers = Callable[..., Result]
DEVICES = ("floor/door", "floor/lamp", "pillow", "quiet")


def counts_of(watch_sets: Mapping[tuple[str, ...], str | None]) -> WatchCounts:
    """The counts of a process whose viewers watch this, by their names."""
    counts = WatchCounts()
    for patterns, name in watch_sets.items():
        for key in Audience(patterns).disjoint_keys():
            counts.add(key, 1, name)
    return counts


def serve(store: Store, process: str, watch_sets: Mapping[tuple[str, ...], str | None]) -> None:
    """What a serving process writes."""
    store.announce(process, {})
    parts = counts_of(watch_sets).parts
    store.count_watching(process, {part: one.encode()[0] for part, one in parts.items()})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/s.db")
    for device in DEVICES:
        opened.edit(Change(device, "merge", {"on": True}, by="user"))
    yield opened
    opened.close()


@pytest.fixture
def viewers(tmp_path: Path) -> Viewers:
    def invoke(*words: str) -> Result:
        return CliRunner().invoke(
            main, ["viewers", *words, "--store", f"sqlite:///{tmp_path}/s.db"]
        )

    return invoke


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            (),
            [
                "floor/door  1 viewer",
                "floor/lamp  3 viewers: Ada",
                "pillow      2 viewers: Ada, Bo",
            ],
        ),
        (("pillow",), ["pillow  2 viewers: Ada, Bo"]),
        (("floor/lamp",), ["floor/lamp  3 viewers: Ada"]),
        (("quiet",), ["quiet  0 viewers"]),
    ],
)
def test_viewers_of_all_processes_are_counted(
    store: Store, viewers: Viewers, words: tuple[str, ...], lines: list[str]
) -> None:
    # given two processes, whose viewers watch by name and by pattern
    serve(store, "p", {("pillow", "floor/lamp"): "Ada", ("floor/*",): None})
    serve(store, "q", {("pillow",): "Bo", ("floor/lamp",): None})
    # when somebody asks at the command line, then each viewer counts once per device
    told = viewers(*words)
    assert (told.exit_code, told.stdout.splitlines(), told.stderr) == (0, lines, "")
    # and a program gets what REST gives
    found = [json.loads(line) for line in viewers(*words, "--json").stdout.splitlines()]
    assert [(one["device"], one["count"]) for one in found] == [
        (line.split()[0], int(line.split()[1])) for line in lines
    ]
    assert all(set(one) == {"device", "count", "names"} for one in found)


def test_a_viewer_of_all_devices_watches_each(store: Store, viewers: Viewers) -> None:
    serve(store, "p", {("*",): None})
    assert [line.split()[0] for line in viewers().stdout.splitlines()] == list(DEVICES)


def test_without_viewers_it_says_why(store: Store, viewers: Viewers) -> None:
    # given a store that no process serves
    told = viewers()
    assert (told.exit_code, told.stdout) == (0, "")
    assert told.stderr == "No process serves this store now, so it has no viewers.\n"
    assert viewers("pillow").stdout == "pillow  0 viewers\n"
    # when one serves it without viewers, then it says that
    store.announce("p", {})
    assert viewers().stderr == "No device is watched.\n"
    assert viewers("--json").output == ""
    # and what an ended process has left does not count
    serve(store, "q", {("pillow",): None})
    store.withdraw("q")
    assert viewers("pillow").stdout == "pillow  0 viewers\n"


@pytest.mark.parametrize(
    ("device", "sentence"),
    [("pilow", "No device called “pilow” has sent anything"), ("a b", "is not a name of a device")],
)
def test_a_device_that_is_not_there(
    store: Store, viewers: Viewers, device: str, sentence: str
) -> None:
    told = viewers(device)
    assert told.exit_code == 1
    assert sentence in told.stderr
