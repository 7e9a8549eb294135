"""Command queues in the test kit: what is asked of a device is in its queue at once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flask import Flask

from statecast import Statecast
from statecast.errors import BadSetting
from statecast.testing.app_under_test import AppUnderTest

QUEUE = "azure-queue:pillow-commands"


@pytest.fixture
def kit() -> Iterator[AppUnderTest]:
    app = Flask("house")
    live = Statecast(app, source="azure-queue:pillow", command_queues={"pillow": QUEUE})
    app.add_url_rule("/hug", "hug", lambda: live.command("pillow", "hug").id, methods=["POST"])
    one = AppUnderTest(app)
    one.start()
    yield one
    one.stop()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_command_goes_through_the_queue_and_back(kit: AppUnderTest, restarted: bool) -> None:
    # Given a pillow with a command queue in Azure, which the test does not need
    kit.source.put({"device": "pillow", "state": {"mood": "calm"}})
    kit.settle()
    if restarted:
        kit.restart()
    # When a person hugs it
    id_ = kit.client.post("/hug").text
    # Then the command is in its queue, and counts as delivered
    (message,) = kit.command_queue(QUEUE).receive(10, 0)
    assert json.loads(message.body)["id"] == id_
    assert kit.runtime.store.command(id_).status == "delivered"
    # And when the pillow answers, it is done
    kit.source.put({"device": "pillow", "command": id_, "outcome": "done"})
    kit.settle()
    assert kit.runtime.store.command(id_).status == "done"


def test_a_queue_that_the_settings_do_not_name(kit: AppUnderTest) -> None:
    with pytest.raises(BadSetting, match="no command queue 'azure-queue:other'"):
        kit.command_queue("azure-queue:other")
