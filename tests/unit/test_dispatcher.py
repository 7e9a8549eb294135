"""Commands on their way into the queue of their device: what became of them is always true."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from statecast.commands.request import new_command
from statecast.commands.routes import CommandRoutes
from statecast.dispatcher import CommandDispatcher
from statecast.errors import (
    BadSetting,
    Malformed,
    QueueFull,
    SourceUnavailable,
    StoreUnavailable,
    Unavailable,
    WrongWay,
)
from statecast.problems import Problems
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.sources import open_source
from statecast.sources.azure_queue import AzureQueue
from statecast.sources.contract import SourceContext
from statecast.sources.memory import MemorySource
from statecast.stores import lease_standby
from statecast.stores.contract import Store
from statecast.stores.leases import Lease, command_lease
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing.azure import FakeAzure
from statecast.testing.values import VirtualClock
from tests.fakes.lease_notices import LeaseNotices
from waiting import wait_for

ADDRESS = "embedded:hugs"


class Queue(MemorySource):
    """A queue that fails or refuses as a test says."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__("hugs", clock=clock)
        self.failures: list[Exception | None] = []
        """What the next attempts raise; None: one succeeds."""
        self.arrives = False
        """What fails arrives all the same."""

    def send_many(self, bodies: Sequence[bytes]) -> list[str]:
        failure = self.failures.pop(0) if self.failures else None
        if failure is None or self.arrives:
            sent = super().send_many(bodies)
        if failure is not None:
            raise failure
        return sent

    def names(self) -> list[str]:
        return [json.loads(one.body)["name"] for one in self.receive(100, 0)]


class Scene:
    """A store in which devices are asked, and the dispatcher of one queue."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store: Store = MemoryStore(Limits(), self.clock)
        self.queue = Queue(self.clock)
        self.problems = Problems(self.clock)
        self.dispatcher = self.another()
        lease = self.store.lease(command_lease(ADDRESS))
        assert lease is not None
        self.lease: Lease = lease

    def another(self) -> CommandDispatcher:
        """A dispatcher that knows what a new process knows."""
        return CommandDispatcher(
            ADDRESS,
            self.queue,
            self.store,
            lambda device, source: device.startswith("pillow"),
            self.clock,
            self.problems,
        )

    def ask(self, name: str = "hug", device: str = "pillow", expires: float = 60) -> str:
        return self.store.begin_command(new_command(device, name, expires=expires)).id

    def step(self) -> bool:
        return self.dispatcher.step(self.lease.term)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.store.pass_deadlines()

    def status(self, id_: str) -> str:
        return self.store.command(id_).status


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_waiting_commands_are_put_in_their_order_with_what_the_device_needs(scene: Scene) -> None:
    # Given commands for two devices of the queue, and for one of another
    ids = [scene.ask("hug"), scene.ask("open", "pillow/two"), scene.ask("wake")]
    other = scene.ask("hug", "chair")
    # When they are dispatched
    scene.clock.advance(2)
    assert scene.step() is False
    # Then the queue has each once, in the order in which they were given
    first, *rest = [json.loads(one.body) for one in scene.queue.receive(10, 0)]
    assert first == {
        "id": ids[0],
        "device": "pillow",
        "name": "hug",
        "arguments": {},
        "expires_at": "2026-01-01T00:01:00.000Z",
        "seconds_left": 58.0,
    }
    assert [one["name"] for one in rest] == ["open", "wake"]
    assert [scene.status(id_) for id_ in (*ids, other)] == ["delivered"] * 3 + ["waiting"]
    # And nothing is put again
    assert scene.step() is False and scene.queue.names() == []


def unknown() -> Unavailable:
    return SourceUnavailable("The queue broke off.")


def known() -> Unavailable:
    return QueueFull("The queue is full.")


@pytest.mark.parametrize(
    ("failures", "arrives", "status", "copies"),
    [
        ([None], False, "unanswered", 1),
        ([known()], False, "expired", 0),
        ([StoreUnavailable("The disk is away.")], False, "expired", 0),
        ([unknown()], False, "unanswered", 0),
        ([unknown()], True, "unanswered", 1),
        ([known(), unknown()], False, "unanswered", 0),
        # what was unknown once stays so
        ([unknown(), known()], False, "unanswered", 0),
        ([unknown(), known()], True, "unanswered", 2),
        ([known(), known()], False, "expired", 0),
        ([known(), None], False, "unanswered", 1),
        ([Malformed("It is no text.")], False, "expired", 0),
    ],
)
def test_what_a_command_is_at_its_deadline(
    scene: Scene, failures: list[Exception | None], arrives: bool, status: str, copies: int
) -> None:
    # Given a queue that fails so
    scene.queue.failures, scene.queue.arrives = list(failures), arrives
    id_ = scene.ask()
    # When it is tried so often, and then the deadline passes
    for failure in failures:
        if isinstance(failure, Unavailable):
            with pytest.raises(type(failure)):
                scene.step()
        else:
            scene.step()
    scene.pass_time(60)
    # Then only what certainly was never in the queue has expired
    assert scene.status(id_) == status
    assert len(scene.queue.names()) == copies
    # And it is not put after its deadline
    scene.step()
    assert scene.queue.names() == []


@pytest.mark.parametrize(
    ("point", "copies", "status"),
    [("attempted", 1, "delivered"), ("put", 2, "delivered"), ("noted", 1, "delivered")],
)
def test_a_crash_may_repeat_a_command_and_loses_none(
    scene: Scene, point: str, copies: int, status: str
) -> None:
    # Given a process that ends at this point
    def end(reached: str) -> None:
        if reached == point:
            raise KeyboardInterrupt

    id_ = scene.ask()
    scene.dispatcher._reach = end
    with pytest.raises(KeyboardInterrupt):
        scene.step()
    # When the next one takes over
    scene.dispatcher = scene.another()
    scene.step()
    # Then the device gets it
    assert scene.status(id_) == status
    assert scene.queue.names() == ["hug"] * copies


def test_a_crash_before_the_put_is_not_said_to_be_without_effect(scene: Scene) -> None:
    # Given a process that ended before the put, of which the store cannot know
    def end(reached: str) -> None:
        raise KeyboardInterrupt

    id_ = scene.ask()
    scene.dispatcher._reach = end
    with pytest.raises(KeyboardInterrupt):
        scene.step()
    # When the next one only finds a queue that is away, and the deadline passes
    scene.dispatcher = scene.another()
    scene.queue.failures = [known()]
    with pytest.raises(QueueFull):
        scene.step()
    scene.pass_time(60)
    # Then it may have been done
    assert scene.status(id_) == "unanswered"


def test_while_the_queue_is_away_commands_wait_and_health_says_so(scene: Scene) -> None:
    # Given a queue that is away, and two commands
    scene.queue.failures = [known(), known()]
    first, second = scene.ask(expires=60), scene.ask(expires=120)
    failed: list[Exception] = []
    for _ in range(2):
        try:
            scene.step()
        except Unavailable as error:
            failed.append(error)
            scene.dispatcher._note_failure(error)
    # Then they wait, and the problem is named once
    assert [scene.status(first), scene.status(second)] == ["waiting", "waiting"]
    (problem,) = scene.problems.current()
    assert (problem.kind, problem.subject) == ("commands-away", "commands hugs")
    assert "Commands wait, because their queue takes none" in problem.sentence
    assert problem.count == 2
    # And what comes to its deadline has expired, and what is left is put once the queue is back
    scene.pass_time(60)
    while scene.step():
        pass
    assert [scene.status(first), scene.status(second)] == ["expired", "delivered"]
    assert scene.problems.current() == []


def test_the_store_learns_of_a_put_that_it_could_not_note(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a store that is away when the command has just been put
    id_ = scene.ask()
    with monkeypatch.context() as patch:

        def away(*arguments: object) -> None:
            raise StoreUnavailable("The disk is away.")

        patch.setattr(scene.store, "end_dispatch", away)
        with pytest.raises(StoreUnavailable):
            scene.step()
    # When it is back
    scene.step()
    # Then it is noted, and the command is not put twice
    assert scene.status(id_) == "delivered" and scene.queue.names() == ["hug"]


@pytest.fixture
def open_azure(azure: FakeAzure) -> Iterator[Callable[..., AzureQueue]]:
    opened: list[AzureQueue] = []

    def open_queue(connection: str = azure.connection) -> AzureQueue:
        environ = {"AZURE_STORAGE_CONNECTION_STRING": connection}
        context = SourceContext(lambda: pytest.fail("no store"), Settings(), environ, lambda: 0)
        queue = open_source("azure-queue:hugs", context)
        assert isinstance(queue, AzureQueue)
        opened.append(queue)
        return queue

    yield open_queue
    for one in opened:
        one.close()
    opened.clear()


def over_azure(scene: Scene, queue: AzureQueue) -> None:
    scene.dispatcher.queue = queue


def test_azure_drops_a_command_at_its_deadline(
    scene: Scene, azure: FakeAzure, open_azure: Callable[..., AzureQueue]
) -> None:
    over_azure(scene, open_azure())
    scene.ask("hug", expires=1.5)
    scene.ask("wake", expires=60)
    scene.step()
    # It keeps whole seconds: a command stays a little longer, and its device refuses it
    found = {
        json.loads(one.text)["name"]: one.expires - one.inserted for one in azure.queues["hugs"]
    }
    assert found == {"hug": 2, "wake": 60}


@pytest.mark.parametrize(
    ("kind", "status", "code", "expected"),
    [
        ("busy", 503, "ServerBusy", "unanswered"),
        ("busy", 500, "InternalError", "unanswered"),
        ("busy", 403, "AuthorizationFailure", "expired"),
        ("busy", 404, "QueueBeingDeleted", "expired"),
        ("busy", 429, "TooManyRequests", "expired"),
        ("reset", 0, "", "unanswered"),
        ("lost", 0, "", "unanswered"),
        ("page", 200, "", "unanswered"),
    ],
)
def test_only_what_azure_refused_has_expired(
    scene: Scene,
    azure: FakeAzure,
    open_azure: Callable[..., AzureQueue],
    kind: str,
    status: int,
    code: str,
    expected: str,
) -> None:
    # Given a service that fails so from the second request on
    over_azure(scene, open_azure())
    scene.ask()
    scene.step()
    azure.fail(kind, "send", 9, status=status, code=code)  # type: ignore[arg-type]
    id_ = scene.ask()
    with pytest.raises(SourceUnavailable):
        scene.step()
    scene.pass_time(60)
    assert scene.status(id_) == expected


def test_what_never_left_has_expired(
    scene: Scene, open_azure: Callable[..., AzureQueue], azure: FakeAzure
) -> None:
    # Given an address where nothing listens
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        connection = azure.connection.replace(f":{azure._port}/", f":{port}/")
        over_azure(scene, open_azure(connection))
        id_ = scene.ask()
        with pytest.raises(SourceUnavailable, match="cannot be reached"):
            scene.step()
    scene.pass_time(60)
    assert scene.status(id_) == "expired"


# Which queue a device has


@pytest.mark.parametrize(
    ("device", "source", "queue"),
    [
        ("pillow", None, "a:1"),
        ("pillow", "queue", "a:1"),
        ("floor2/lamp", "queue", "a:2"),
        ("floor2", "queue", "a:3"),
        ("chair", "queue", "a:3"),
        ("chair", "api", None),
        ("chair", None, None),
    ],
)
def test_the_first_pattern_decides_else_the_source(
    device: str, source: str | None, queue: str | None
) -> None:
    routes = CommandRoutes({"pillow": "a:1", "floor2/*": "a:2"}, {"queue": "a:3"})
    assert routes.queue_of(device, source) == queue
    assert routes.queues == ["a:1", "a:2", "a:3"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"source": ("embedded:a?commands=embedded:a",)}, "is a source and a command queue"),
        (
            {"source": ("embedded:a",), "command_queues": {"*": "embedded:a"}},
            "is a source and a command queue",
        ),
        ({"source": ("embedded:a?commands=embedded:",)}, "lacks the queue's name"),
        ({"command_queues": {"*": "pigeon:a"}}, "There is no source"),
        (
            {"command_queues": {"a": "azure-queue:a?warm=1", "b": "azure-queue:a"}},
            "is a command queue twice",
        ),
    ],
)
def test_queues_that_cannot_be_are_refused_at_the_start(
    settings: dict[str, object], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")
    runtime = Runtime(Settings(store="memory:", **settings))  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match=sentence):
        runtime.open_sources()
    runtime.stop()


def test_a_stop_that_comes_before_an_attempt_is_not_slept_over(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a dispatcher that is stopped just as it forgets the news so far
    scene.dispatcher._news = news = threading.Event()

    def clear() -> None:
        scene.dispatcher.stop()
        threading.Event.clear(news)

    waits: list[float] = []
    monkeypatch.setattr(news, "clear", clear)
    monkeypatch.setattr(news, "wait", waits.append)
    # when it serves, then it does not wait for more news
    scene.dispatcher._serve(scene.lease)
    assert waits == []


def test_one_that_stands_by_is_told_of_the_lease_and_a_stop_ends_its_wait(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that says when a lease is free; without that a dispatcher asks every hour
    monkeypatch.setattr(lease_standby, "TOLD", 3600.0)
    notices = LeaseNotices(scene.store)
    dispatcher = scene.dispatcher
    dispatcher.start()
    lease, told = notices.next()
    assert lease == command_lease(ADDRESS)
    # when the lease is free, then it has it, and puts what was asked
    scene.lease.release()
    asked = scene.ask()
    told()
    wait_for(lambda: scene.status(asked) == "delivered")
    # and one that still waits ends at its stop
    second = scene.another()
    second.start()
    notices.next()
    for one in (second, dispatcher):
        one.stop()
        one.join(20)
        assert not one._thread.is_alive()


def test_a_device_with_a_queue_takes_its_commands_only_from_there() -> None:
    runtime = Runtime(
        Settings(store="memory:", command_queues={"pillow": "embedded:hugs"}), VirtualClock()
    )
    for device in ("pillow", "chair"):
        runtime.queue.send(b'{"device":"%b","state":{}}' % device.encode())
    consumer = runtime.add_consumer(*runtime.outbox.open("embedded:queue"))
    lease = runtime.store.lease("queue")
    assert lease is not None
    consumer.step_now(lease)
    runtime.begin_command(new_command("pillow", "hug"))
    chair = runtime.begin_command(new_command("chair", "hug"))
    with pytest.raises(WrongWay, match="go into its command queue"):
        runtime.hand_out("pillow")
    assert [one.id for one in runtime.hand_out("chair")] == [chair.id]
    runtime.stop()
