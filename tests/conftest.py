"""What tests may need of the machine: Chromium, curl, the npm packages.

Missing means skipped, with the sentence that says what brings it, and failed in CI.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import inheritance
import leftovers
from azurite_server import Azurite
from postgres_server import PostgresServer
from statecast.broadcast.broadcaster import Broadcaster
from statecast.realtime import handlers
from statecast.server import readiness, wsgi
from statecast.stores import open_store
from statecast.testing.azure import FakeAzure
from statecast.threads import ThreadPool
from tests.fakes.fake_loop import FastForwardLoop, settle
from tools import browser as chromium_on_this_machine
from tools import javascript, system_parts

ROOT = Path(__file__).resolve().parent.parent

inheritance.clean()

POOLS = ("asyncio_", "handler", "readiness", "uvloop_", "wsgi")
"""Threads that a pool of a wider scope starts when it first needs them; its own scope counts
them."""


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> leftovers.Folders:
    """Where a test may leave no file: the folder for temporary files, and in CI the clone.

    Elsewhere somebody may be at work in the clone meanwhile.
    """
    leftovers.adopt_orphans()
    leftovers.open_lasting_files()
    temporary = tmp_path_factory.mktemp("temporary")
    leftovers.private_folder(temporary)
    return leftovers.Folders(ROOT if os.environ.get("CI") == "true" else None, temporary)


@pytest.fixture(autouse=True, scope="module")
def module_leaves_nothing(
    request: pytest.FixtureRequest, folders: leftovers.Folders
) -> Iterator[None]:
    yield from leaves_nothing_behind(request.node, folders)


@pytest.fixture(autouse=True)
def test_leaves_nothing(
    request: pytest.FixtureRequest, folders: leftovers.Folders
) -> Iterator[None]:
    yield from leaves_nothing_behind(request.node, folders, POOLS)


@pytest.fixture(autouse=True)
def pools(test_leaves_nothing: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ends the threads of pools that a test made without a server, which would end them."""
    made: list[ThreadPool] = []

    class Noted(ThreadPool):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            made.append(self)

    for user in (handlers, readiness, wsgi):
        monkeypatch.setattr(user, "ThreadPool", Noted)
    yield
    for pool in made:
        pool.close()


@pytest.fixture(autouse=True)
def no_viewer_lost_what_it_had(
    request: pytest.FixtureRequest, test_leaves_nothing: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Fails where a viewer asked for everything again, because a patch was not of what it had.

    That is a defect, unless the test plants one: marker ``requests_resets``. It sees the servers
    in the process of the tests.
    """
    asked = 0
    watch = Broadcaster.watch

    def counted(broadcaster: Broadcaster, viewer: Any, request: Any) -> dict[str, Any]:
        nonlocal asked
        before = broadcaster.counts()["requested_resets"]
        answer = watch(broadcaster, viewer, request)
        asked += int(broadcaster.counts()["requested_resets"] - before)
        return answer

    monkeypatch.setattr(Broadcaster, "watch", counted)
    yield
    if asked and request.node.get_closest_marker("requests_resets") is None:
        pytest.fail(f"{asked} requests of viewers that had lost what they had", pytrace=False)


def leaves_nothing_behind(
    node: pytest.Item, folders: leftovers.Folders, lazy: tuple[str, ...] = ()
) -> Iterator[None]:
    before = leftovers.Leftovers(folders, lazy)
    yield
    if found := before.found():
        pytest.fail(f"{node.nodeid} left behind: {'; '.join(found)}", pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function with the marker ``asyncio`` on a loop of its own.

    It is asyncio's whatever ran before: uvicorn below 0.36 makes every later loop of the process
    one of uvloop. ``fast_forward=True``: a loop that never waits, but lets its time pass.
    """
    marker = pyfuncitem.get_closest_marker("asyncio")
    if marker is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def test() -> None:
        await pyfuncitem.obj(**arguments)
        await settle()

    fast_forward = marker.kwargs.get("fast_forward", False)
    loop_factory = FastForwardLoop if fast_forward else asyncio.SelectorEventLoop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(test())
    return True


def missing(sentence: str) -> None:
    """Ends the test: a silent skip in CI would be a promise that nobody checks."""
    if os.environ.get("CI") == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


@dataclass(frozen=True)
class Node:
    """Node, with the packages of ``tests/package.json`` in ``modules``."""

    program: str
    modules: Path

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which ``require("socket.io-client")`` finds the packages."""
        # Programs of Node (tsc, prettier) would leave a cache of compiled code in the temporary
        # folder.
        cache = {"NODE_DISABLE_COMPILE_CACHE": "1"}
        return os.environ | cache | {"NODE_PATH": str(self.modules)}

    def run(self, *arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Waits for the end.

        For a process that talks with the test use ``program`` and ``variables``.
        """
        command = [self.program, *map(str, arguments)]
        return subprocess.run(
            command, env=self.variables, capture_output=True, text=True, timeout=timeout
        )


@pytest.fixture(scope="session")
def node() -> Node:
    found = javascript.find(ROOT)
    if not found:
        missing(javascript.missing())
    return Node(str(found), javascript.modules(ROOT))


@pytest.fixture(scope="session")
def azurite_program() -> list[str | Path]:
    """The command that starts Azurite's queues; ``azurite_server`` knows its options."""
    found = javascript.find(ROOT, javascript.AZURITE)
    if not found:
        missing(javascript.missing(javascript.AZURITE))
    return [
        str(found),
        javascript.modules(ROOT, javascript.AZURITE) / "azurite/dist/src/queue/main.js",
    ]


@pytest.fixture(scope="module")
def azurite(azurite_program: list[str | Path]) -> Iterator[Azurite]:
    server = Azurite(azurite_program)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def azure() -> Iterator[FakeAzure]:
    """A queue service in this process, without any queue."""
    service = FakeAzure()
    service.start()
    yield service
    service.stop()


def installed(program: system_parts.Program) -> str:
    found = program.find()
    if not found and program in system_parts.OPTIONAL:
        pytest.skip(program.missing())
    if not found:
        missing(program.missing())
    return str(found)


@pytest.fixture(scope="session")
def curl() -> str:
    """The path of curl, for tests of the documents that use it; others need no curl."""
    return installed(system_parts.CURL)


@pytest.fixture(scope="session")
def systemd_analyze() -> str:
    return installed(system_parts.SYSTEMD_ANALYZE)


@pytest.fixture(scope="session")
def c_compiler() -> str:
    return installed(system_parts.C_COMPILER)


@pytest.fixture(scope="session")
def faketime() -> str:
    """The path of faketime, for processes with a clock of their own."""
    return installed(system_parts.FAKETIME)


@pytest.fixture(scope="session")
def promtool() -> str:
    return installed(system_parts.PROMTOOL)


@pytest.fixture(scope="session")
def nginx() -> str:
    return installed(system_parts.NGINX)


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that the tests of a module share; each takes a database of its own.

    One per module, not per session, because it is a process: it takes half a second.
    """
    server = PostgresServer(installed(system_parts.POSTGRESQL))
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def haproxy() -> str:
    return installed(system_parts.HAPROXY)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_store(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Makes the URL of a new store, given the folder of the test. Tests run on each kind."""
    if request.param == "sqlite":
        return lambda folder: f"sqlite:///{folder / 'statecast.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return lambda folder: server.url(server.create(lambda url: open_store(url).close()))


@pytest.fixture
def store_url(
    new_store: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The URL of a new store, which the processes of the test use as well."""
    url = new_store(tmp_path)
    monkeypatch.setenv("STATECAST_STORE", url)
    return url


@pytest.fixture(scope="session")
def pgbouncer() -> str:
    return installed(system_parts.PGBOUNCER)


@pytest.fixture(scope="session")
def firefox() -> str:
    """The path of Firefox's program; ``browser.firefox`` drives it."""
    return installed(system_parts.FIREFOX)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser's program."""
    return installed(system_parts.CHROMIUM)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A headless Chromium, driven by Playwright's synchronous interface.

    Each test makes contexts of its own. One browser per module, not per session: while Playwright
    runs, its loop occupies this thread; no test could use asyncio.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = chromium_on_this_machine.options()
        launched = playwright.chromium.launch(executable_path=chromium, args=options, headless=True)
        yield launched
        launched.close()


@pytest.fixture
def eyes(browser: Any, here: Any) -> Iterator[Any]:
    """A browser that looks at the site of the test's module; see ``tests.browser.site``."""
    from tests.browser.site import looking

    with looking(browser, here) as made:
        yield made
