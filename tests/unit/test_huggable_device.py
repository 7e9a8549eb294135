"""The program of ``examples/huggable_cloud``'s pillow, between two queues in memory."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pillow_commands import NOON, body, command

from statecast.decoders.decoder import Decoder
from statecast.errors import SourceUnavailable
from statecast.model import Delivery

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "huggable_cloud"

with pytest.MonkeyPatch.context() as _path:
    _path.syspath_prepend(EXAMPLE)
    import device as program
    import pillow as pillows


@pytest.fixture
def pillow() -> pillows.Pillow:
    return pillows.Pillow("pillow")


@dataclass(eq=False)
class Item:
    body: bytes


@dataclass
class Queue:
    """A queue in memory whose messages stay until they are deleted."""

    items: list[Item] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    is_away: bool = False

    def receive(self, max_count: int, wait: float) -> list[Item]:
        return self.items[:max_count]

    def delete(self, items: list[Item]) -> None:
        self._check()
        self.items = [item for item in self.items if item not in items]

    def send(self, body: bytes) -> None:
        self._check()
        message = json.loads(body)
        self.sent += message if isinstance(message, list) else [message]

    def _check(self) -> None:
        if self.is_away:
            raise SourceUnavailable("The queue does not answer.")


class Table:
    """A program with a pillow, and what lies around it."""

    def __init__(self, folder: Path) -> None:
        self.file = program.MemoryFile(folder / "pillow.json")
        self.commands, self.messages = Queue(), Queue()
        self.notes: list[str] = []
        self.start()

    def start(self) -> None:
        self.pillow = pillows.Pillow("pillow", self.file.load())
        self.device = program.Device(
            self.pillow, self.commands, self.messages, self.file.save, self.notes.append
        )

    def give(self, *commands: pillows.Command) -> None:
        self.commands.items += [Item(body(one)) for one in commands]

    def answers(self) -> list[tuple[str, str]]:
        return [(one["command"], one["outcome"]) for one in self.messages.sent if "command" in one]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def test_it_does_what_is_in_its_queue_and_deletes_it(table: Table) -> None:
    table.give(command("a"), command("b", name="lullaby"), command("c"))
    table.device.turn(lambda: NOON)
    assert table.answers() == [("a", "done"), ("b", "done"), ("c", "refused")]
    assert not table.commands.items
    # and the report that is due comes with the answers: no further message
    assert len(table.messages.sent) == 3


def test_many_wait_for_their_turn(table: Table) -> None:
    table.give(*(command(f"{number}") for number in range(100)))
    for turn, left in enumerate((68, 36, 4, 0), 1):
        table.device.turn(lambda: NOON)
        assert len(table.commands.items) == left, turn
    assert table.pillow.memory.hugs == 100


CUTS = ["before the answer", "before the deletion", "after a restart before the answer"]


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_repeats_the_answer_and_not_the_effect(table: Table, cut: str) -> None:
    # given a hug, and a queue that is away at some point
    table.give(command())
    away = table.commands if cut == "before the deletion" else table.messages
    away.is_away = True
    with pytest.raises(SourceUnavailable):
        table.device.turn(lambda: NOON)
    # when everything is back
    away.is_away = False
    if "restart" in cut:
        table.start()
    table.device.turn(lambda: NOON + 1)
    # then it was felt once, and is answered
    assert table.pillow.memory.hugs == 1
    assert set(table.answers()) == {("a", "done")}
    assert not table.commands.items


def test_a_pulled_plug_leaves_everything_in_the_queue(table: Table) -> None:
    table.pillow.feel("unplug", NOON)
    table.give(command())
    table.device.turn(lambda: NOON)
    assert len(table.commands.items) == 1 and not table.messages.sent


def test_what_is_not_for_it_stays_and_what_none_can_read_goes(table: Table) -> None:
    table.commands.items += [Item(b"hug")]
    table.give(command("other", device="floor2/pillow"))
    table.device.turn(lambda: NOON)
    assert [json.loads(item.body)["id"] for item in table.commands.items] == ["other"]
    assert table.pillow.memory.hugs == 0
    assert "dropped" in table.notes[0] and "'floor2/pillow' was left" in table.notes[1]


@pytest.mark.parametrize("damaged", ["", "{", "[]", "{}", '{"hugs": 1, "answers": {"a": {}}}'])
def test_a_memory_that_cannot_be_read_is_not_forgotten_in_silence(
    table: Table, damaged: str
) -> None:
    table.file.path.write_text(damaged)
    with pytest.raises(SystemExit, match=r"pillow\.json cannot be read .* a second time"):
        table.start()


def test_its_messages_are_messages_of_a_device(pillow: pillows.Pillow) -> None:
    # given all kinds of its messages, several as an array
    sent = [
        pillow.report(NOON),
        pillow.obey(command(), NOON),
        pillow.obey(command("b", expires_at=NOON), NOON),
    ]
    # then Statecast reads them, without anything left out
    decoded = Decoder()(Delivery("1", json.dumps(sent).encode(), int(NOON * 1000)))
    assert not decoded.refusals
    answers = [change.answer for change in decoded.changes]
    assert [one and (one.command, one.outcome) for one in answers] == [
        None, ("a", "done"), ("b", "refused"),
    ]  # fmt: skip
    assert answers[2].reason == "It came too late."
    assert {change.device for change in decoded.changes} == {"pillow"}
    # and each is newer than the one before
    times = [(change.time, change.sequence) for change in decoded.changes]
    assert times == sorted(times) and len(set(times)) == 3


# Keys, and a day

PRESSES = [
    ("h", "hugged"),
    ("s", "asleep"),
    ("ss", "calm"),
    ("u", "unplugged"),
    ("uu", "calm"),
    ("x", "calm"),
    ("\n", "calm"),
]


@pytest.mark.parametrize("keys, then", PRESSES)
def test_keys(pillow: pillows.Pillow, keys: str, then: str) -> None:
    for key in keys:
        event = program.event_of(key, pillow, NOON)
        if event:
            pillow.feel(event, NOON)
    assert ("unplugged" if not pillow.is_plugged else pillow.face(NOON)) == then


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    read, write = os.pipe()
    with os.fdopen(read) as stream:
        yield write, stream


def test_keys_come_through_a_pipe_and_it_may_end(pipe: tuple[int, io.TextIOWrapper]) -> None:
    write, stream = pipe
    keys = program.Keys(stream)
    with keys.without_enter():
        assert keys.pressed(0) == ""
        os.write(write, b"hu")
        assert keys.pressed(30) == "hu"
        os.close(write)
        assert keys.pressed(30) == "" and keys.pressed(0) == ""


HOURS = [
    (0.0, "calm"),  # it begins at eight
    (2.1, "happy"),
    (6.5, "calm"),
    (12.5, "sleepy"),
    (14.5, "asleep"),
    (17.0, "asleep"),
    (22.6, "sleepy"),
    (24.5, "calm"),
]


def test_a_played_day_has_its_moods_and_its_night(pillow: pillows.Pillow) -> None:
    # given a day of a minute
    day = program.Day(60.0, NOON)
    shown = []
    for hours, _ in HOURS:
        now = NOON + hours * 60 / 24
        for event in day.events(now):
            pillow.feel(event, now)
        shown.append((hours, pillow.face(now)))
        # then each hour's event happens once
        assert not day.events(now)
    assert shown == HOURS


def test_without_a_day_nothing_is_played() -> None:
    assert program.Day(None, NOON).events(NOON + 1) == []
