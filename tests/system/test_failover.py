"""A replica is promoted that lacks the last changes: every page shows what is true now.

Replication is asynchronous, and is cut a moment before the primary dies. What was committed in that
moment, and shown, is gone. With `acknowledge_after` it is still in its queue, and comes back.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from drill import STATECAST_JS, Devices, Plan, Viewers
from server_process import HERE, ServerProcess

import nginx_server
from child_process import started
from postgres_server import USER, PostgresServer
from statecast import strict_json
from statecast.stores import open_store
from statecast.stores.limits import Limits
from statecast.testing import oracle
from statecast.testing.azure import FakeAzure
from tests.conftest import installed
from tools import system_parts
from waiting import wait_for as wait_until

VIEWERS = 12
BEFORE, LOST, AFTER = range(200), range(200, 260), range(260, 400)
VISIBILITY = 30
PLAN = Plan(messages=400, per_second=0, viewers=VIEWERS, every=0, lasts=0, faults=())


class Replica(PostgresServer):
    """A physical copy of a primary, which follows it."""

    def __init__(self, program: str, primary: PostgresServer) -> None:
        self.primary = primary
        super().__init__(program)

    def _initialise(self) -> None:
        command = [
            *(self._programs / "pg_basebackup", "--pgdata", self.folder / "data"),
            *("--host", self.primary.folder, "--username", USER, "--write-recovery-conf"),
            *("--checkpoint=fast", "--no-sync"),
        ]
        made = subprocess.run(command, capture_output=True, text=True, cwd="/", **self.options)
        assert made.returncode == 0, made.stdout + made.stderr

    def has_all(self) -> bool:
        """Whether it has replayed what the primary has written."""
        with self.primary.connect() as there, self.connect() as here:
            (written,) = there.execute("SELECT pg_current_wal_lsn()").fetchone() or (None,)
            behind = here.execute(
                "SELECT pg_wal_lsn_diff(%s, pg_last_wal_replay_lsn()) > 0", (written,)
            )
            return behind.fetchone() == (False,)

    def stop_following(self) -> None:
        """What the primary writes from now on does not come here any more."""
        with self.connect() as here:
            here.execute("ALTER SYSTEM SET primary_conninfo = ''")
            here.execute("SELECT pg_reload_conf()")
            wait_until(
                lambda: here.execute("SELECT count(*) FROM pg_stat_wal_receiver").fetchone() == (0,)
            )

    def promote(self) -> None:
        """It is the primary when this returns."""
        with self.connect() as here:
            assert here.execute("SELECT pg_promote(true, 60)").fetchone() == (True,)


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    server = PostgresServer(installed(system_parts.POSTGRESQL))
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def azure(azure: FakeAzure) -> FakeAzure:
    azure.queues["pillow"] = []
    return azure


class Scene:
    """Two servers with a queue outside of the store, and their viewers."""

    def __init__(
        self, primary: PostgresServer, replica: Replica, database: str, azure: FakeAzure
    ) -> None:
        hosts = f"host={primary.folder},{replica.folder}&target_session_attrs=read-write"
        self.url = f"postgresql://{USER}@/{database}?{hosts}"
        self.azure = azure
        self.devices = Devices(self.url, PLAN, seed=1)
        self.viewers: Viewers
        self.servers: list[ServerProcess] = []

    def start(self, stack: ExitStack, folder: Path, nginx: str, node: Any, late: int) -> None:
        source = f"azure-queue:pillow?visibility_timeout={VISIBILITY}&acknowledge_after={late}"
        flags = ("--port", "0", "--trusted-proxy", "127.0.0.1", "--no-long-polling")
        for _ in range(2):
            server = ServerProcess(
                folder,
                *flags,
                *("--store", self.url, "--source", f"{source}&warm=0.05&idle=0.1"),
                AZURE_STORAGE_CONNECTION_STRING=self.azure.connection,
            )
            stack.callback(server.kill)
            self.servers.append(server)
        (folder / "nginx").mkdir()
        addresses = [server.address for server in self.servers]
        front = stack.enter_context(nginx_server.before_several(nginx, folder / "nginx", addresses))
        command = [node.program, HERE / "drill_viewers.mjs", front, str(VIEWERS)]
        process = stack.enter_context(
            started(
                [*command, STATECAST_JS.as_uri(), "the store may lose"],
                env=node.variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        self.viewers = Viewers(process, VIEWERS)

    def ended(self) -> Iterator[str]:
        """Stop the servers; what each has printed."""
        for server in self.servers:
            assert server.terminate() == 143
            yield "".join(server.output)

    def say(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.azure.put("pillow", strict_json.encode(self.devices.message(number)).decode())

    def stored(self) -> dict[str, bytes]:
        store = open_store(self.url, Limits(), begin_epoch=False)
        try:
            return {one.device: one.state for one in store.devices() if one.state}
        finally:
            store.close()

    def wait_until_it_holds(self, *numbers: Sequence[int]) -> None:
        """Messages whose commit failed are hidden until the time of the queue has passed."""

        def holds() -> bool:
            if self.holds(*numbers):
                return True
            self.azure.advance(VISIBILITY + 1)
            return False

        wait_until(holds)

    def holds(self, *numbers: Sequence[int]) -> bool:
        """Whether the store is what the oracle makes of these messages."""
        states = {name: strict_json.decode(state) for name, state in self.stored().items()}
        return states == self.folded({one for some in numbers for one in some})

    def folded(self, numbers: set[int]) -> dict[str, Any]:
        states: dict[str, Any] = {}
        said = [one for number, one in enumerate(self.devices.sent) if number in numbers]
        for _, message in sorted(said, key=lambda one: one[0]):
            device = message["device"]
            states[device] = oracle.merged(states.get(device), message["state"])
        return states

    def shown(self) -> float:
        """Wait until every viewer shows the store; for how many seconds."""
        took, report = self.viewers.wait_for(self.stored())
        assert (report["differences"], report["wrong"]) == ([], [])
        assert report["joined"] == VIEWERS
        return took


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("late", "is_busy"),
    [(0, False), (0, True), (VISIBILITY // 2, True)],
    ids=["devices are silent", "devices go on", "acknowledge_after"],
)
def test_after_a_failover_every_page_shows_what_is_true_now(
    late: int,
    is_busy: bool,
    primary: PostgresServer,
    azure: FakeAzure,
    nginx: str,
    node: Any,
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        # given a replica, and two servers whose viewers show what the devices said
        database = primary.create()
        open_store(primary.url(database), Limits()).close()
        replica = Replica(installed(system_parts.POSTGRESQL), primary)
        stack.callback(replica.remove)
        replica.start()
        scene = Scene(primary, replica, database, azure)
        scene.start(stack, tmp_path, nginx, node, late)
        scene.say(BEFORE)
        wait_until(lambda: scene.holds(BEFORE))
        wait_until(replica.has_all)
        # when it falls behind; what is said then is committed, shown, and deleted from its queue
        replica.stop_following()
        scene.say(LOST)
        wait_until(lambda: scene.holds(BEFORE, LOST))
        scene.shown()
        if not late:
            wait_until(lambda: not azure.queues["pillow"])
        # and the primary dies, and the replica takes its place
        primary.kill()
        if is_busy:  # so the new history is longer than the old one before anybody asks
            scene.say(AFTER)
        replica.promote()
        # then every page shows what the new one has
        if not is_busy:
            took = scene.shown()
            assert scene.holds(BEFORE)
            print(f"\nshown {took:.1f} s after the promotion")
            scene.say(AFTER)
        # and what is said later counts; just what the replica lacked is lost, or nothing
        if late:
            scene.wait_until_it_holds(BEFORE, LOST, AFTER)
        else:
            scene.wait_until_it_holds(BEFORE, AFTER)
        print(f"\nshown {scene.shown():.1f} s later")
        # and the servers have said what is gone
        said = "".join(scene.ended())
        assert f"The store was set back: it lacks the last {len(LOST)} changes" in said
