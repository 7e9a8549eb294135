"""A huggable cloud pillow: what it feels, remembers and reports. No clock, queue or disk in here.

Rule 1: a command takes effect once. A queue may deliver it again after a cut; its id is known then,
and the first answer is given again.
Rule 2: a command that comes too late has no effect.
Rule 3: an answer and the state after it are one message.
"""

from __future__ import annotations

import datetime
import json
import math
from dataclasses import asdict, dataclass, field

HUG_SECONDS = 3.0
NAP_SECONDS = 20.0
HEARTBEAT = 1.0
"""Seconds between two messages when nothing happens."""
SILENT_AFTER = 3.5
"""After so many seconds without a message the pages show the pillow as silent."""
REMEMBERED = 86_400.0 + 60.0
"""Seconds for which an answer is remembered: the longest time that a command may wait, and the time
for which a queue hides what was received."""
MOODS = ("happy", "calm", "sleepy", "sad")


@dataclass(frozen=True)
class Command:
    """What is asked of a pillow."""

    id: str
    device: str
    name: str
    expires_at: float
    """Seconds since 1970."""


def read_command(body: bytes | str) -> Command:
    """The command in a message of the command queue. Raises ValueError."""
    found = json.loads(body)
    try:
        expires_at = datetime.datetime.fromisoformat(found["expires_at"])
        texts = [found[name] for name in ("id", "device", "name")]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no command: {found!r}") from error
    if expires_at.tzinfo is None or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"no command: {found!r}")
    return Command(*texts, expires_at.timestamp())


@dataclass(frozen=True)
class Answer:
    outcome: str
    """``done`` or ``refused``."""
    reason: str | None
    at: float


@dataclass
class Memory:
    """What survives a restart. An effect and the id of its command are saved together."""

    hugs: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    """By the id of the command, oldest first."""

    def remember(self, id_: str, answer: Answer) -> Answer:
        """Keep an answer, and forget those that are no longer needed."""
        self.answers[id_] = answer
        while answer.at - next(iter(self.answers.values())).at > REMEMBERED:
            del self.answers[next(iter(self.answers))]
        return answer

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Memory:
        """Raises ValueError, KeyError or TypeError."""
        found = json.loads(text)
        answers = {id_: Answer(**answer) for id_, answer in found["answers"].items()}
        return cls(found["hugs"], answers)


class Pillow:
    """One pillow. ``now`` is the time in seconds since 1970."""

    def __init__(self, device: str, memory: Memory | None = None) -> None:
        self.device = device
        self.memory = memory or Memory()
        self.mood = "calm"
        self.is_plugged = True
        self.hug_ends = -math.inf
        self.sleep_ends = -math.inf
        self._reported_at = -math.inf
        self._sequence = 0
        self._actions = {"hug": self._hug, "lullaby": self._nap}

    # What happens to it

    def feel(self, event: str, now: float) -> None:
        """What reaches the pillow itself: a hand, the light of the day, a pulled plug."""
        if event == "hug":
            self._hug(now)
        elif event == "sleep":
            self.sleep_ends = math.inf
        elif event == "wake":
            self.sleep_ends = -math.inf
        elif event in MOODS:
            self.mood = event
        elif event == "unplug":
            self.is_plugged = False
        elif event == "plug":
            self.is_plugged = True
        else:
            raise ValueError(f"a pillow cannot feel {event!r}")
        self._reported_at = -math.inf

    def obey(self, command: Command, now: float) -> dict[str, object]:
        """Do what is asked, once; the answer as a message."""
        answer = self.memory.answers.get(command.id)
        if answer is None:
            reason = self._objection(command, now)
            if reason is None:
                self._actions[command.name](now)
            outcome = "done" if reason is None else "refused"
            answer = self.memory.remember(command.id, Answer(outcome, reason, now))
        said = {"command": command.id, "outcome": answer.outcome}
        return self._message(
            now, said if answer.reason is None else said | {"reason": answer.reason}
        )

    def _objection(self, command: Command, now: float) -> str | None:
        if now >= command.expires_at:
            return "It came too late."
        if command.name not in self._actions:
            return f"This pillow knows no {command.name[:64]!r}."
        if self.is_asleep(now):
            return "The pillow is asleep."
        return None

    def _hug(self, now: float) -> None:
        self.memory.hugs += 1
        self.hug_ends = now + HUG_SECONDS

    def _nap(self, now: float) -> None:
        self.sleep_ends = now + NAP_SECONDS

    # What it reports

    def is_hugged(self, now: float) -> bool:
        return now < self.hug_ends

    def is_asleep(self, now: float) -> bool:
        return now < self.sleep_ends

    def face(self, now: float) -> str:
        """The picture that shows how it is."""
        if self.is_hugged(now):
            return "hugged"
        return "asleep" if self.is_asleep(now) else self.mood

    def due_at(self) -> float:
        """When it will have something to report, if nothing happens until then."""
        ends = [at for at in (self.hug_ends, self.sleep_ends) if at > self._reported_at]
        return min([self._reported_at + HEARTBEAT, *ends])

    def report(self, now: float) -> dict[str, object] | None:
        """The message that is due: after a change, or as a sign of life."""
        if not self.is_plugged or now < self.due_at():
            return None
        return self._message(now, {})

    def _message(self, now: float, answer: dict[str, str]) -> dict[str, object]:
        """Each message has the whole state, so that none depends on another one."""
        self._sequence += 1
        self._reported_at = now
        time = datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="milliseconds")
        state = {
            "face": self.face(now),
            "mood": self.mood,
            "hugged": self.is_hugged(now),
            "asleep": self.is_asleep(now),
            "hugs": self.memory.hugs,
        }
        return {
            "device": self.device,
            "state": state,
            "commands": list(self._actions),
            "silent_after": SILENT_AFTER,
            "time": time,
            "sequence": self._sequence,
        } | answer
