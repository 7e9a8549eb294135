"""The program of a pillow, for a Raspberry Pi or as a simulator with keys.

It speaks through two queues alone: it reads commands from one and puts its messages into the other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TextIO

from pillow import Command, Memory, Pillow, read_command

from statecast.errors import StatecastError
from statecast.sources import open_queue

KEYS = {"h": "hug", "s": "sleep", "u": "unplug"}
"""The second press of ``s`` wakes the pillow, that of ``u`` plugs it in."""
HELP = "keys: h hug it, s put it to sleep or wake it, u pull the plug or put it back, Ctrl+C end"
DAY = (
    (0.0, "sleep"),
    (6.5, "wake"),
    (6.5, "sleepy"),
    (8.0, "calm"),
    (10.0, "happy"),
    (14.0, "calm"),
    (17.0, "happy"),
    (20.0, "sleepy"),
    (22.0, "sleep"),
)
"""What a pillow feels in a day, by the hour."""
MORNING = 8.0
"""The hour at which a played day begins."""
MOST = 32
"""Commands that are taken at once: the most that an Azure queue hands out."""
LONGEST_WAIT = 0.25
"""Seconds until keys are looked at again."""
HIDDEN = 5.0
"""Seconds for which a received command stays hidden. Only a power cut lets it come again."""
TROUBLE_PAUSE = 1.0
"""Seconds until a queue that could not be reached is tried again."""


class Item(Protocol):
    """A message of a queue, hidden from other readers until it is deleted or a time has passed."""

    @property
    def body(self) -> bytes: ...


class Queue(Protocol):
    """The same for an Azure queue and for one in the file of a store."""

    def receive(self, max_count: int, wait: float) -> list[Item]: ...
    def delete(self, items: list[Item]) -> None: ...
    def send(self, body: bytes) -> object: ...


class MemoryFile:
    """Keeps the pillow's memory over restarts and power cuts: the old file, or the new one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Memory:
        """Raises SystemExit: a pillow that forgot its commands would do some of them twice."""
        try:
            return Memory.from_json(self.path.read_text())
        except FileNotFoundError:
            return Memory()
        except (OSError, ValueError, KeyError, TypeError) as error:
            sys.exit(
                f"The pillow's memory {self.path} cannot be read ({error}). Move it away to begin "
                "without it; commands that still wait may then be done a second time."
            )

    def save(self, memory: Memory) -> None:
        new = self.path.with_suffix(".new")
        with new.open("w") as file:
            file.write(memory.to_json())
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)


class Device:
    """A pillow between its two queues."""

    def __init__(
        self,
        pillow: Pillow,
        commands: Queue,
        messages: Queue,
        save: Callable[[Memory], None],
        note: Callable[[str], None],
    ) -> None:
        self.pillow = pillow
        self.commands = commands
        self.messages = messages
        self.save = save
        self.note = note

    def turn(self, clock: Callable[[], float]) -> None:
        """Take the commands that wait, or come soon, and report what is due."""
        pillow = self.pillow
        if not pillow.is_plugged:
            return
        wait = min(LONGEST_WAIT, max(0.0, pillow.due_at() - clock()))
        mine = list(self._read(self.commands.receive(MOST, wait)))
        now = clock()
        if mine:
            self._obey([command for _, command in mine if command], now)
            self.commands.delete([item for item, _ in mine])
        report = pillow.report(now)
        if report is not None:
            self.messages.send(encode([report]))

    def _read(self, items: Iterable[Item]) -> Iterator[tuple[Item, Command | None]]:
        """What is to be deleted: this pillow's commands, and what none can read."""
        for item in items:
            try:
                command = read_command(item.body)
            except ValueError as error:
                self.note(f"A message is no command and was dropped: {error}")
                yield item, None
                continue
            if command.device == self.pillow.device:
                yield item, command
            else:
                self.note(f"A command for {command.device!r} was left in the queue.")

    def _obey(self, commands: list[Command], now: float) -> None:
        """Effects and ids are on disk before the answers leave, and these before the commands go.

        A cut at any point repeats an answer, never an effect.
        """
        if not commands:
            return
        known = self.pillow.memory.hugs
        answers = [self.pillow.obey(command, now) for command in commands]
        self.save(self.pillow.memory)
        self.messages.send(encode(answers))
        if (hugs := self.pillow.memory.hugs) > known:
            self.note(f"felt hug {hugs}")


def encode(messages: list[dict[str, object]]) -> bytes:
    """One message for the queue; several are an array."""
    return json.dumps(messages[0] if len(messages) == 1 else messages).encode()


class Day:
    """Plays a day on a pillow; without a length it plays nothing."""

    def __init__(self, length: float | None, began: float) -> None:
        self.length = length
        self.began = began
        self._last: tuple[float, str] | None = None

    def events(self, now: float) -> list[str]:
        """What happens now: the newest entry of the table, when it is another one than before."""
        if not self.length:
            return []
        hour = (MORNING + (now - self.began) / self.length * 24) % 24
        past = [entry for entry in DAY if entry[0] <= hour]
        if past[-1] == self._last:
            return []
        self._last = past[-1]
        return [event for at, event in past if at == past[-1][0]]


class Keys:
    """Reads single keys of a terminal, or characters of a pipe."""

    def __init__(self, stream: TextIO) -> None:
        self.stream: TextIO | None = stream

    @contextlib.contextmanager
    def without_enter(self) -> Iterator[None]:
        """Keys count at once while the block runs; the terminal is as before afterwards."""
        if self.stream is None or not self.stream.isatty():
            yield
            return
        import termios
        import tty

        before = termios.tcgetattr(self.stream)
        tty.setcbreak(self.stream)
        try:
            yield
        finally:
            termios.tcsetattr(self.stream, termios.TCSADRAIN, before)

    def pressed(self, wait: float) -> str:
        """The keys of the next ``wait`` seconds: those that came first, or none."""
        if self.stream is None:
            time.sleep(wait)
            return ""
        if not select.select([self.stream], [], [], wait)[0]:
            return ""
        found = os.read(self.stream.fileno(), 64).decode(errors="replace")
        if not found:  # the end of a pipe
            self.stream = None
        return found


def event_of(key: str, pillow: Pillow, now: float) -> str | None:
    """What a key does to the pillow."""
    event = KEYS.get(key)
    if event == "unplug" and not pillow.is_plugged:
        return "plug"
    if event == "sleep" and pillow.is_asleep(now):
        return "wake"
    return event


def run(device: Device, keys: Keys, day: Day, signals: Signals) -> None:
    """Until a signal comes."""
    pillow, is_away = device.pillow, False
    while not signals.received:
        pause = TROUBLE_PAUSE if is_away else 0.0 if pillow.is_plugged else LONGEST_WAIT
        for key in keys.pressed(pause):
            if event := event_of(key, pillow, time.time()):
                pillow.feel(event, time.time())
                device.save(pillow.memory)
                device.note(event)
        for event in day.events(time.time()):
            pillow.feel(event, time.time())
        try:
            device.turn(time.time)
            is_away = False
        except StatecastError as error:
            if not is_away:
                device.note(f"No way to the queue: {error}")
            is_away = True


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], epilog=HELP)
    add = parser.add_argument
    add("device", nargs="?", default="pillow", help="its name (default: pillow)")
    add("--commands", default="embedded:pillow-commands", help="the queue that it reads")
    add("--messages", default="embedded:queue", help="the queue that it writes to")
    add("--store", default="sqlite:///statecast.db", help="the server's, where embedded queues lie")
    add("--memory", type=Path, default=Path("pillow.json"), help="the file of what it remembers")
    add("--day", type=float, metavar="SECONDS", help="play a day in this time, again and again")
    return parser.parse_args()


def main(signals: Signals) -> int:
    options = read_arguments()
    file = MemoryFile(options.memory)
    pillow = Pillow(options.device, file.load())
    keys = Keys(sys.stdin)

    def note(sentence: str) -> None:
        print(f"{pillow.device}: {sentence}", flush=True)

    with (
        open_queue(options.commands, store=options.store, visibility_timeout=HIDDEN) as commands,
        open_queue(options.messages, store=options.store) as messages,
        keys.without_enter(),
    ):
        note(f"plugged in, has felt {pillow.memory.hugs} hugs")
        if sys.stdin.isatty():
            note(HELP)
        device = Device(pillow, commands, messages, file.save, note)
        run(device, keys, Day(options.day, time.time()), signals)
    return signals.status


class Signals:
    """Notes which signal ends the program: an exception could arise anywhere in a library."""

    def __init__(self) -> None:
        self.received = 0
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.received = number

    @property
    def status(self) -> int:
        """As a shell would call it."""
        return 128 + self.received


if __name__ == "__main__":
    try:
        sys.exit(main(Signals()))
    except StatecastError as error:
        sys.exit(f"Pillow: {error}")
