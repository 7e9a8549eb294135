"""Viewers that take the commands of devices: each command once per taking, while they may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from statecast.access.grants import Grants
from statecast.access.identity import LOCAL
from statecast.access.reader import Reader
from statecast.commands.life import Command
from statecast.commands.request import new_command
from statecast.errors import Refused, StatecastError, StoreUnavailable, WrongWay
from statecast.realtime.command_arrivals import CommandArrivals
from statecast.realtime.command_takers import MAX_TAKEN, CommandTakers, read
from statecast.realtime.rooms import Namespace, Socket
from statecast.threads import ThreadPool


class Taker:
    """A viewer with a socket in "/"; ``got`` is what was sent to it."""

    def __init__(self, namespace: Namespace, sid: str, **grants: str) -> None:
        self.reader = Reader(LOCAL, Grants.of(grants or {"*": "send"}))
        self.transport = SimpleNamespace(paused=False)
        self.got: list[Any] = []
        self.socket = Socket(self, namespace, sid)  # type: ignore[arg-type]
        namespace.sockets[sid] = self.socket

    def send(self, kind: int, namespace: str, number: int | None, arguments: Any) -> None:
        name, said = arguments
        self.got.append(said["id"] if name == "command" else (name, said["error"]))


class InlinePool(ThreadPool):
    """Without threads, beside which the virtual time of these tests would run on."""

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call())
        except StatecastError as error:
            future.set_exception(error)
        return future


class Scene:
    """Open commands in a store of a list, and who takes them."""

    def __init__(self) -> None:
        self.namespace = Namespace("/")
        self.arrivals = CommandArrivals()
        self.store: list[Command] = []
        self.failure: StatecastError | None = None
        self.questions = 0
        self.takers = CommandTakers(
            self.arrivals,
            self._hand_out,
            lambda: 0,
            self.namespace.sockets.get,
            lambda identity, action: f"may not {action}",
        )
        self.takers._pool = InlinePool(1, name="take")

    def _hand_out(self, device: str, after: str | None) -> list[Command]:
        self.questions += 1
        if self.failure is not None:
            raise self.failure
        place = next((one.number for one in self.store if one.id == after), 0)
        return [one for one in self.store if one.number > place and one.device == device]

    def give(self, number: int, device: str = "pillow") -> None:
        one = replace(Command.begin(new_command(device, "hug"), number, 0), id=f"c{number}")
        self.store.append(one)
        self.arrivals.note(one)

    def taker(self, sid: str = "a", **grants: str) -> Taker:
        return Taker(self.namespace, sid, **grants)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.001)


@pytest.mark.asyncio(fast_forward=True)
async def test_each_command_is_sent_once_to_each_taker(scene: Scene) -> None:
    # Given two viewers that take the commands of a device, one of which has the first command
    scene.give(1)
    one, two = scene.taker("a"), scene.taker("b")
    assert await scene.takers.take("a", {"device": "pillow"}) == {"device": "pillow"}
    assert await scene.takers.take("b", {"device": "pillow", "after": "c1"}) == {"device": "pillow"}
    # When it and another device are asked for something
    scene.give(2, "lamp")
    scene.give(3)
    await until(lambda: two.got == ["c3"] and len(one.got) == 2)
    # Then each has what it did not have, in order, and no question is left
    assert one.got == ["c1", "c3"]
    # And who has left takes nothing any more
    scene.namespace.remove(one.socket)
    scene.give(4)
    await until(lambda: two.got == ["c3", "c4"])
    assert one.got == ["c1", "c3"] and scene.arrivals.waiting <= 1


@pytest.mark.asyncio(fast_forward=True)
async def test_a_second_take_goes_on_from_its_place_alone(scene: Scene) -> None:
    one = scene.taker()
    for number in (1, 2):
        scene.give(number)
    await scene.takers.take("a", {"device": "pillow"})
    await until(lambda: one.got == ["c1", "c2"])
    await scene.takers.take("a", {"device": "pillow", "after": "c1"})
    scene.give(3)
    await until(lambda: one.got[-1] == "c3")
    assert one.got == ["c1", "c2", "c2", "c3"] and len(one.socket.tasks) == 1


@pytest.mark.parametrize("commanded", [True, False])
@pytest.mark.asyncio(fast_forward=True)
async def test_a_right_that_is_taken_away_ends_the_taking(scene: Scene, commanded: bool) -> None:
    # Given somebody who may send for the pillow
    one = scene.taker("a", pillow="send")
    with pytest.raises(Refused, match="may not send"):
        await scene.takers.take("a", {"device": "lamp"})
    await scene.takers.take("a", {"device": "pillow"})
    # When that right ends, with the next command or without one
    one.reader = Reader(LOCAL, Grants.of({"pillow": "read"}))
    scene.give(1) if commanded else scene.arrivals.note_rights()
    # Then the command is not handed out, and the viewer knows why
    await until(lambda: bool(one.got))
    assert one.got == [("take", "may not send")] and scene.questions == 1


@pytest.mark.asyncio(fast_forward=True)
async def test_a_device_that_gets_a_queue_ends_the_taking(scene: Scene) -> None:
    one = scene.taker()
    await scene.takers.take("a", {"device": "pillow"})
    scene.failure = WrongWay("It has a queue.")
    scene.give(1)
    await until(lambda: bool(one.got))
    assert one.got == [("take", "It has a queue.")]


@pytest.mark.asyncio(fast_forward=True)
async def test_a_store_that_is_away_for_a_moment_costs_no_command(scene: Scene) -> None:
    one = scene.taker()
    scene.failure = StoreUnavailable("The disk is away.")
    assert await scene.takers.take("a", {"device": "pillow"}) == {"error": scene.failure.public}
    scene.failure = None
    await scene.takers.take("a", {"device": "pillow"})
    scene.failure = StoreUnavailable("The disk is away.")
    scene.give(1)
    await until(lambda: scene.questions == 3)
    scene.failure = None
    await until(lambda: one.got == ["c1"])


@pytest.mark.asyncio(fast_forward=True)
async def test_a_viewer_that_does_not_read_gets_its_commands_later(scene: Scene) -> None:
    one = scene.taker()
    one.transport.paused = True
    scene.give(1)
    await scene.takers.take("a", {"device": "pillow"})
    await asyncio.sleep(5)
    assert one.got == []
    one.transport.paused = False
    await until(lambda: one.got == ["c1"])


@pytest.mark.asyncio(fast_forward=True)
async def test_a_viewer_takes_for_so_many_devices(scene: Scene) -> None:
    scene.taker()
    for number in range(MAX_TAKEN):
        await scene.takers.take("a", {"device": f"d{number}"})
    with pytest.raises(Refused, match="at most 100 devices"):
        await scene.takers.take("a", {"device": "more"})
    assert await scene.takers.take("a", {"device": "d1"}) == {"device": "d1"}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (({"device": "a/b"},), ("a/b", "")),
        (({"device": "a", "after": None},), ("a", "")),
        (({"device": "a", "after": "c1"},), ("a", "c1")),
        ((), "one argument"),
        (("pillow",), "one argument"),
        (({"device": "a"}, 1), "one argument"),
        (({},), "device"),
        (({"device": 5},), "device"),
        (({"device": "../a"},), "device"),
        (({"device": "a", "after": 5},), "newest command"),
        (({"device": "a", "colour": 1},), "“colour” is not a member"),
    ],
)
def test_what_a_take_may_say(arguments: Any, found: Any) -> None:
    if isinstance(found, tuple):
        assert read(arguments) == found
        return
    with pytest.raises(Refused, match=found):
        read(arguments)
