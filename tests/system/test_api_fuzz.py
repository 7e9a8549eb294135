"""REST against its own OpenAPI document, by schemathesis: no 5xx, no status that is not documented.

It also compares bodies, headers and content types with the document, and repeats what it has found
in chains of requests. `make fuzz-api` tries many more requests, other ones each time.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from flask import Response, request

from statecast.access.grants import Grants
from statecast.flask import create_app, runtime_of
from statecast.runtime import Runtime
from statecast.server.server import BackgroundServer
from statecast.settings import Settings
from statecast.stores.changes import ReadCursor
from tests.unit.test_openapi import operations

CONFIG = Path(__file__).parent / "schemathesis.toml"
EXAMPLES = int(os.environ.get("TEST_STATECAST_FUZZ_EXAMPLES", "0"))
"""Of each operation in a long campaign, with a seed of its own; 0: a short one, always the same."""
SHORT = 12
OTHER = {"X-Forwarded-For": "192.0.2.7"}
"""Of a request that a trusted proxy passes on for another machine."""
ALL = "read command send write"

TIMEOUT = 150 + 20 * EXAMPLES
"""Seconds for one campaign, many times what it takes."""

pytestmark = pytest.mark.timeout(TIMEOUT + 30)


class Site:
    """A server with a device, its commands and its history, and a document of it that is strict."""

    def __init__(self, folder: Path, store: str) -> None:
        settings = Settings(
            store=store,
            port=0,
            others_may=(),
            trusted_proxy=("127.0.0.1",),
            page_rate_limit=1e6,
            connect_rate_limit=1e6,
            write_rate_limit=1e6,
            log_level="error",
        )
        self.folder = folder
        self.app = create_app(settings)
        self.server = BackgroundServer(self.runtime, self.app)

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.app)

    def start(self) -> None:
        self.server.start()
        self.add("pillow", "calm")

    def add(self, device: str, mood: str) -> None:
        """A device with a history, a state and a command, in which ``mood`` stands."""
        address = f"{self.server.address}/api/devices/{device}"
        for one in ("happy", mood):
            requests.put(address, json={"mood": one}, timeout=10).raise_for_status()
        command = {"name": "hug", "arguments": {"mood": mood}, "expires": 86_400}
        requests.post(f"{address}/commands", json=command, timeout=10).raise_for_status()

    def campaign(self, headers: dict[str, str] | None = None, *options: str) -> Outcome:
        """Try every operation of the document, or those that ``options`` name."""
        document = requests.get(f"{self.server.address}/api/openapi.json", timeout=10).json()
        (self.folder / "openapi.json").write_text(json.dumps(strict(document)))
        report, exchanges = self.folder / "report.json", self.folder / "exchanges.har"
        many = ["--max-examples", str(EXAMPLES), "--seed", str(secrets.randbelow(2**32))]
        few = ["--max-examples", str(SHORT), "--generation-deterministic"]
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
            *(str(self.folder / "openapi.json"), "--url", self.server.address),
            *("--continue-on-failure", "--report-json-path", str(report), "--no-color"),
            *("--report-har-path", str(exchanges)),
            *(many if EXAMPLES else few),
            *options,
            *(
                word
                for name, value in (headers or {}).items()
                for word in ("-H", f"{name}:{value}")
            ),
        ]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=TIMEOUT
        )
        return Outcome(
            done.returncode,
            done.stdout + done.stderr,
            json.loads(report.read_text()),
            said(json.loads(exchanges.read_text())),
        )

    def everything(self) -> tuple[Any, ...]:
        """What the store holds that a request could have changed."""
        store = self.runtime.store
        return (
            store.read(ReadCursor()).updates,
            store.commands(None, limit=1_000),
            store.quarantine_count(),
        )


class Outcome(NamedTuple):
    status: int
    text: str
    report: dict[str, Any]
    said: str
    """All that the server said: heads and bodies of its responses."""

    @property
    def failures(self) -> set[tuple[str, str]]:
        return {
            (one["type"], operation)
            for one in self.report["failures"]
            for operation in one["operations"]
        }


def said(archive: dict[str, Any]) -> str:
    """The responses in an HTTP archive."""
    return "\n".join(json.dumps(one["response"]) for one in archive["log"]["entries"])


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The document, where no object has members that it does not name: so a new one is noticed."""

    def closed(schema: Any) -> Any:
        if isinstance(schema, list):
            return [closed(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        found = {name: closed(one) for name, one in schema.items()}
        if isinstance(schema.get("properties"), dict):
            found.setdefault("additionalProperties", False)
        return found

    return {
        **document,
        "paths": closed(document["paths"]),
        "components": {
            **document["components"],
            "schemas": closed(document["components"]["schemas"]),
        },
    }


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, f"sqlite:///{tmp_path}/states.db")
    made.start()
    yield made
    made.server.stop()


def test_what_this_machine_may_ask_is_answered_as_documented(site: Site) -> None:
    outcome = site.campaign()
    assert outcome.status == 0, outcome.text
    # and it tried every operation, with requests that were accepted
    report = outcome.report
    document = requests.get(f"{site.server.address}/api/openapi.json", timeout=10).json()
    everything = {route for route, _ in operations(document)}
    assert report["complete"] and report["operations"]["tested"] == len(everything)
    accepted = {
        route
        for route, phases in report["valid_rates"].items()
        if any(phase["accepted"] for phase in phases.values())
    }
    assert accepted == everything


def test_what_another_machine_asks_is_refused_as_documented(site: Site) -> None:
    # given a server where nothing says what others may do
    mood = secrets.token_hex(8)
    site.add("pillow", mood)
    before = site.everything()
    outcome = site.campaign(OTHER, "--phases", "examples,coverage")
    # then it refuses in documented words, and nothing of it had an effect
    assert outcome.status == 0, outcome.text
    assert site.everything() == before
    assert mood not in outcome.said


def test_a_key_finds_only_what_it_may_read(site: Site) -> None:
    # given a device of somebody else, with a name and a state that no one can guess
    name, mood, own = (secrets.token_hex(8) for _ in range(3))
    site.add(f"smith/{name}", mood)
    site.add("pillow", own)
    hidden = site.runtime.store.get(f"smith/{name}")
    # when a key tries everything that may do everything, but not there
    grants = Grants.of({"pillow": ALL, "own/*": ALL})
    key = site.runtime.rights.keys.create("guest", grants, by="test")
    bearer = {"Authorization": f"Bearer {key}"}
    outcome = site.campaign(bearer, "--phases", "fuzzing,stateful")
    # then it is answered as documented
    assert outcome.status == 0, outcome.text
    # and in lists, states, histories, commands, events and errors there is nothing of the other
    assert name not in outcome.said and mood not in outcome.said
    assert own in outcome.said
    assert site.runtime.store.get(f"smith/{name}") == hidden


LIES: dict[str, Callable[[Response], None]] = {
    "/api/devices": lambda response: response.set_data(b'{"devices": []}'),
    "/api/changes": lambda response: setattr(response, "status_code", 418),
    "/api/commands": lambda response: setattr(response, "content_type", "text/plain"),
}


def test_a_lie_is_found(tmp_path: Path) -> None:
    # given a server whose answers differ from its document
    site = Site(tmp_path, "memory:")

    @site.app.after_request
    def lie(response: Response) -> Response:
        if request.method == "GET" and request.path in LIES:
            LIES[request.path](response)
        return response

    # when it is tried with the requests that are the same each time
    site.start()
    try:
        names = [word for path in LIES for word in ("--include-path", path)]
        outcome = site.campaign(None, "--phases", "coverage", *names)
    finally:
        site.server.stop()
    # then each lie is named
    assert outcome.status == 1
    assert outcome.failures >= {
        ("JsonSchemaError", "GET /api/devices"),
        ("UndefinedStatusCode", "GET /api/changes"),
        ("UndefinedContentType", "GET /api/commands"),
    }
