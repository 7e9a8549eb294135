"""What is sent, and to which queue: the same for the server, an app and the commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from statecast.errors import BadSetting, Malformed, TooLarge
from statecast.outbox import check, decoder
from statecast.runtime import Runtime
from statecast.settings import Settings


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Runtime]:
    runtime = Runtime(
        Settings(
            store=f"sqlite:///{tmp_path}/statecast.db", source=("embedded:one", "embedded:two")
        )
    )
    yield runtime
    runtime.stop()


def message(size: int) -> bytes:
    empty = b'{"device":"pillow","state":{"note":""}}'
    return empty[:-3] + b"x" * (size - len(empty)) + empty[-3:]


@pytest.mark.parametrize("size", [65_535, 65_536])
def test_a_message_up_to_the_limit_is_sent(live: Runtime, size: int) -> None:
    assert live.send(message(size)) == "1"


def test_a_message_above_the_limit_is_too_large_and_not_only_malformed(live: Runtime) -> None:
    with pytest.raises(TooLarge, match="65537 bytes"):
        live.send(message(65_537))


def test_a_refusal_names_the_item() -> None:
    with pytest.raises(Malformed, match="Item 1: "):
        check(Settings(), b'[{"device":"pillow","state":{}},{"device":"pillow","state":5}]')


def test_what_is_sent_is_read_as_its_queue_reads_it() -> None:
    # Given a queue whose messages need not name a device
    settings = Settings(source=("embedded:queue?default=pillow",))
    # Then such a message is none to refuse, elsewhere it is
    assert check(settings, b'{"mood":"calm"}') == b'{"mood":"calm"}'
    with pytest.raises(Malformed):
        check(Settings(), b'{"mood":"calm"}')
    assert decoder(Settings(source=())).options.default is None


def test_the_first_queue_gets_what_is_sent(live: Runtime) -> None:
    live.send(message(100))
    queues = [live.outbox.open(url)[0] for url in live.settings.source]
    assert [queue.waiting() for queue in queues] == [1, 0]
    assert live.queue is queues[0]


def test_a_replay_reads_as_the_messages_own_source_does(live: Runtime) -> None:
    assert live.outbox.decoder_for("two")[0] is live.outbox.open("embedded:two")[1]
    assert live.outbox.decoder_for("gone")[1] == 1


def test_a_wrong_source_is_a_sentence(tmp_path: Path) -> None:
    runtime = Runtime(Settings(store="memory:", source=("embedded:queue", "carrier-pigeon:loft")))
    with pytest.raises(BadSetting, match="carrier-pigeon"):
        runtime.open_sources()
    runtime.stop()
