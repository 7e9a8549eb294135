"""A server killed again and again while people ask and a device does: each command comes to one
end, no effect happens twice, and nothing is done before the device says so.

The oracle is the device's own list of effects.
"""

from __future__ import annotations

import datetime
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from server_process import ScriptProcess

from azurite_server import free_port
from statecast.sources import open_queue
from tests.waiting import wait_for

pytestmark = pytest.mark.bare

LIVES = int(os.environ.get("TEST_STATECAST_COMMAND_LIVES", "15"))
PILLOWS = int(os.environ.get("TEST_STATECAST_PILLOWS", "2"))
LIFE = float(os.environ.get("TEST_STATECAST_COMMAND_LIFE", "0.4"))
"""Maximum seconds until a server is killed. The longer campaign has 200 lives of up to 2 s and 8
pillows."""
ENDS = {"done", "refused", "expired", "unanswered"}
TRIES, PAUSE = 3_000, 0.01
"""How often a request is repeated, and seconds between two tries."""
PATIENT = 3600.0
"""Seconds after which no command of the test is late."""


class Caller:
    """Asks a server that dies all the time; repeats each request until it is answered."""

    def __init__(self, port: int, stop: threading.Event) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.stop = stop
        self.session = requests.Session()

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        for _ in range(TRIES):
            with suppress(requests.RequestException):  # it was killed; the next one comes
                answer = self.session.request(method, self.address + path, timeout=5, **more)
                if answer.status_code < 500:
                    return answer
            time.sleep(PAUSE)
        raise AssertionError(f"{method} {path} was never answered")


class People:
    """Ask for hugs, each with a key; some expire soon."""

    def __init__(self, caller: Caller, device: str, seed: int) -> None:
        self.caller = caller
        self.device = device
        self.random = random.Random(seed)
        self.ids: dict[str, str] = {}
        """Id of each command by its key."""

    def run(self) -> None:
        number = 0
        while not self.caller.stop.is_set():
            number += 1
            key = f"{self.device}, click {number}"
            hug = {"name": "hug", "arguments": {"number": number}, "expires": self.expires()}
            repeated = 2 if self.random.random() < 0.1 else 1
            for _ in range(repeated):
                answer = self.caller.ask(
                    "POST",
                    f"/api/devices/{self.device}/commands",
                    json=hug,
                    headers={"Idempotency-Key": key},
                )
                if answer.status_code == 429:  # the device has enough to do
                    self.caller.stop.wait(0.01)
                    break
                assert answer.status_code == 201, answer.text
                assert self.ids.setdefault(key, answer.json()["id"]) == answer.json()["id"]

    def expires(self) -> float:
        return self.random.choice([0.05, 0.2, 1.0, PATIENT, PATIENT])


class Pillow:
    """A device: it sleeps, answers late, twice or never, refuses, and forgets its place."""

    def __init__(self, caller: Caller, device: str, seed: int) -> None:
        self.caller = caller
        self.device = device
        self.random = random.Random(seed)
        self.effects: list[str] = []
        self.known: dict[str, str] = {}
        """The outcome of each command that it took."""
        self.said: set[str] = set()
        """Commands of which it may have said by now that they are done."""
        self.later: list[str] = []
        """Answers that it gives later."""
        self.is_careless = True

    def run(self) -> None:
        after = ""
        while not self.caller.stop.is_set():
            if self.is_careless and self.random.random() < 0.05:
                self.caller.stop.wait(self.random.uniform(0, 0.3))  # it sleeps
            if self.random.random() < 0.05:
                after = ""  # its memory of the place is gone, that of ids is not
            asked_at = time.monotonic()
            answer = self.caller.ask(
                "GET", f"/api/devices/{self.device}/commands?after={after}&wait=0.2"
            )
            for command in answer.json()["commands"]:
                self.take(command, asked_at)
                after = command["id"]
            while self.later and (not self.is_careless or self.random.random() < 0.3):
                self.say(self.later.pop(0))

    def is_late(self, command: dict[str, Any], asked_at: float) -> bool:
        return bool(time.monotonic() - asked_at >= command["seconds_left"])

    def take(self, command: dict[str, Any], asked_at: float) -> bool:
        """Whether it answers, now or later."""
        id_ = command["id"]
        if id_ not in self.known:
            late = self.is_late(command, asked_at)
            refuses = late or self.random.random() < 0.1
            self.known[id_] = "refused" if refuses else "done"
            if not refuses:
                self.effects.append(id_)
        fate = self.random.random() if self.is_careless else 1.0
        if fate < 0.1:
            return False  # unless it is handed out again
        if fate < 0.2:
            self.later.append(id_)
        else:
            self.say(id_)
            if fate < 0.3:
                self.say(id_)
        return True

    def say(self, id_: str) -> None:
        outcome = self.known[id_]
        if outcome == "done":
            self.said.add(id_)
        answer = {"device": self.device, "command": id_, "outcome": outcome}
        state = {"hugs": len(self.effects)}
        self.caller.ask("POST", "/api/messages", json=answer | {"state": state})


class QueuePillow(Pillow):
    """The same device, which takes its commands from a queue inside the store."""

    store = ""

    def run(self) -> None:
        with open_queue("embedded:hugs", store=self.store, visibility_timeout=0.3) as queue:
            while not self.caller.stop.is_set():
                if self.is_careless and self.random.random() < 0.05:
                    self.caller.stop.wait(self.random.uniform(0, 0.3))  # it sleeps
                for item in queue.receive(10, wait=0.2):
                    answers = self.take(json.loads(item.body), time.monotonic())
                    if answers and (not self.is_careless or self.random.random() < 0.9):
                        queue.delete([item])  # else it comes again
                while self.later and (not self.is_careless or self.random.random() < 0.3):
                    self.say(self.later.pop(0))

    def is_late(self, command: dict[str, Any], asked_at: float) -> bool:
        """A command may have been in the queue for long: the clock decides."""
        expires_at = datetime.datetime.fromisoformat(command["expires_at"])
        return datetime.datetime.now(datetime.UTC) >= expires_at


class Page:
    """Looks all the time; what is done must have been said."""

    def __init__(self, caller: Caller, pillows: list[Pillow]) -> None:
        self.caller = caller
        self.pillows = pillows
        self.early: set[str] = set()
        self.looks = 0

    def run(self) -> None:
        while not self.caller.stop.is_set():
            answer = self.caller.ask("GET", "/api/commands?limit=1000")
            self.looks += 1
            shown = {one["id"] for one in answer.json()["commands"] if one["status"] == "done"}
            self.early |= shown.difference(*(one.said for one in self.pillows))
            self.caller.stop.wait(0.02)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(port: int, tmp_path: Path) -> Iterator[ScriptProcess]:
    child = ScriptProcess("crash_server.py", f"sqlite:///{tmp_path}/store.db", port)
    yield child
    child.ask("kill")
    child.end()


def all_commands(caller: Caller) -> dict[str, str]:
    """The status of each command."""
    found: dict[str, str] = {}
    before = ""
    while True:
        page = caller.ask("GET", f"/api/commands?limit=1000{before}")
        found |= {one["id"]: one["status"] for one in page.json()["commands"]}
        if page.json()["next"] is None:
            return found
        before = f"&before={page.json()['next']}"


def started(*runs: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=run, daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.timeout(900)
def test_each_command_comes_to_one_end_through_all_crashes(
    server: ScriptProcess, port: int, tmp_path: Path
) -> None:
    # given pillows, one of them with a command queue, people who ask them for hugs, and a page
    chance = random.Random(int(os.environ.get("TEST_STATECAST_SEED", "1")))
    asking, living, looking = threading.Event(), threading.Event(), threading.Event()
    kinds: dict[str, type[Pillow]] = {f"pillow{number}": Pillow for number in range(PILLOWS)}
    kinds["queued/pillow"] = QueuePillow
    QueuePillow.store = f"sqlite:///{tmp_path}/store.db"
    names = list(kinds)
    people = [People(Caller(port, asking), name, chance.randrange(2**32)) for name in names]
    pillows = [
        kind(Caller(port, living), name, chance.randrange(2**32)) for name, kind in kinds.items()
    ]
    page = Page(Caller(port, looking), pillows)
    server.ask("start")
    observer = Caller(port, threading.Event())
    for name in names:
        observer.ask("PUT", f"/api/devices/{name}", json={"mood": "calm"})
    asks = started(*(one.run for one in people))
    others = started(*(one.run for one in pillows), page.run)
    # when the server is killed at random moments, again and again
    for left in reversed(range(LIVES)):
        time.sleep(chance.uniform(0, LIFE))
        assert server.ask("kill") == "killed"
        server.ask("start fragile" if left else "start")
    # and then nobody asks any more, and the devices do what is left
    asking.set()
    for thread in asks:
        thread.join(30)
    for pillow in pillows:
        pillow.is_careless = False
    wait_for(lambda: set(all_commands(observer).values()) <= ENDS, seconds=300)
    living.set()
    looking.set()
    for thread in others:
        thread.join(30)
    # then every command that was asked is there once, at one end
    found = all_commands(observer)
    assert set(found) == {id_ for one in people for id_ in one.ids.values()}
    of = {status: {id_ for id_, one in found.items() if one == status} for status in ENDS}
    # and the devices' own lists of effects are all that is done, and some of the unanswered
    effects = [id_ for one in pillows for id_ in one.effects]
    assert len(effects) == len(set(effects))
    assert of["done"] <= set(effects) <= of["done"] | of["unanswered"]
    assert of["refused"].isdisjoint(effects)
    assert of["expired"].isdisjoint(id_ for one in pillows for id_ in one.known)
    # and no page showed a hug as done before its pillow said so
    assert page.looks and not page.early
    print({status: len(ids) for status, ids in of.items()}, f"seen {page.looks} times")
