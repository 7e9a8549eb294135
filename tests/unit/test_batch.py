"""What one commit does with its messages."""

from __future__ import annotations

from statecast.model import Refusal
from statecast.stores.batch import Batch, DeviceState, devices_of, events_of
from statecast.stores.counters import Counters
from statecast.testing import change, message
from statecast.testing.values import START

DAY = 24 * 3_600_000


def batch(loaded: dict[str, DeviceState] | None = None, counters: Counters | None = None) -> Batch:
    """A commit a minute after START."""
    return Batch("queue", 1, START + 60_000, DAY, counters or Counters(), 1_000, loaded or {})


def later(before: Batch) -> Batch:
    """The next commit, over the devices that the last one has left in the store."""
    for loaded in before.loaded.values():
        loaded.touched = loaded.visible = loaded.newly_seen = False
        loaded.key = 1
    return batch(before.loaded, before.counters)


def test_each_touched_device_is_written_once_and_each_version_has_a_row() -> None:
    one = batch()
    for number, device in enumerate(("a", "b", "a")):
        one.add(message(f"m{number}", change(device, {"n": number}), sent_at=START + number))
    written = one.flush()
    assert [(loaded.record.device, loaded.offset, loaded.state) for loaded in written] == [
        ("b", 2, b'{"n":1}'),
        ("a", 3, b'{"n":2}'),
    ]
    assert [
        (version.offset, version.row.version, version.row.change) for version in one.versions
    ] == [
        (1, 1, b'{"n":0}'),
        (2, 1, b'{"n":1}'),
        (3, 2, b'{"n":2}'),
    ]
    assert one.counters.history_rows == 3
    assert one.counters.history_bytes == sum(version.size for version in one.versions)
    assert (one.result().applied, one.result().versions) == (3, 3)
    update = written[1].update()
    assert (update.version, update.cause.id, update.source) == (2, "m2", "queue")


def test_an_id_counts_once_and_arrival_is_counted_where_the_queue_does_not() -> None:
    one = batch()
    one.known_ids = {"known"}
    for one_message in (
        message("known", change()),
        message("a", change(state={"n": 1})),
        message("a", change()),
    ):
        one.add(one_message)
    one.add(message("b", change("chair"), order=77))
    assert (one.duplicates, one.applied, one.new_ids) == (2, 2, ["a", "b"])
    assert one.counters.arrival == 1


def test_an_event_counts_once_per_device() -> None:
    one = batch()
    one.known_events = {("pillow", "old")}
    one.add(message("a", change(event_id="old"), change(event_id="new"), change(event_id="new")))
    one.add(message("b", change("chair", event_id="new")))
    assert (one.applied, one.duplicates) == (2, 2)
    key = change(event_id="new").event_key
    assert one.new_events == [("pillow", key), ("chair", key)]


def test_two_events_with_one_id_that_say_different_things_are_two() -> None:
    one = batch()
    one.add(
        message("a", change(state={"n": 1}, event_id="e"), change(state={"n": 2}, event_id="e"))
    )
    one.add(message("b", change(state={"n": 1}, event_id="e")))
    assert (one.applied, one.duplicates, len(one.new_events)) == (2, 1, 2)


def test_a_refused_item_is_quarantined_with_its_body_and_its_event_is_not_known() -> None:
    one = batch()
    huge = change("pillow", {"t": "x" * 70_000}, event_id="e")
    one.add(
        message(
            "a", change("pillow", {"n": 1}), huge, refusals=(Refusal("It is not JSON.", b"{", 2),)
        )
    )
    assert [(row.id, row.item, row.at) for row in one.quarantine] == [
        ("a", 1, one.now),
        ("a", 2, one.now),
    ]
    assert "65536" in one.quarantine[0].reason and one.quarantine[0].body.startswith(
        b'{"device":"pillow"'
    )
    assert (one.new_events, one.counters.quarantine_rows) == ([], 2)
    assert one.result().quarantined == 2


def test_only_a_sighting_without_a_version_is_counted() -> None:
    first = batch()
    first.add(message("a", change("pillow", {"n": 1})))
    first.flush()
    second = later(first)
    second.add(message("b", change("pillow", {"n": 1}), sent_at=START + 5))
    (loaded,) = second.flush()
    assert (loaded.visible, loaded.seen, second.counters.seen, loaded.update().seen_at) == (
        False,
        1,
        1,
        START + 5,
    )
    assert (loaded.offset, loaded.cause.id, second.versions) == (1, "a", [])
    third = later(second)
    third.add(message("c", change("pillow", {"n": 2}), sent_at=START + 6))
    third.add(message("d", change("pillow", {"n": 2}, by="user"), sent_at=START + 9))
    (loaded,) = third.flush()
    assert (loaded.seen, third.counters.seen) == (1, 1)


def test_a_removed_device_is_a_tombstone_until_it_returns() -> None:
    first = batch()
    first.add(message("a", change("pillow", {"n": 1})))
    first.add(message("b", change("pillow", kind="delete"), sent_at=START + 1))
    (loaded,) = first.flush()
    assert (loaded.state, loaded.removed_at, loaded.offset, first.versions[-1].row.change) == (
        None,
        first.now,
        2,
        None,
    )
    second = later(first)
    second.add(message("c", change("pillow", {"n": 2}), sent_at=START + 2))
    (loaded,) = second.flush()
    assert (loaded.state, loaded.removed_at, loaded.record.version) == (b'{"n":2}', None, 3)


def test_a_removal_of_an_unknown_device_is_kept_for_late_messages() -> None:
    one = batch()
    one.add(message("a", change("pillow", kind="delete"), sent_at=START + 9))
    one.add(message("b", change("pillow", {"n": 1}), sent_at=START))
    (loaded,) = one.flush()
    assert (loaded.offset, loaded.state, loaded.removed_at, one.versions) == (0, None, one.now, [])


def test_changes_below_the_floor_are_counted_as_dropped() -> None:
    one = batch()
    one.add(message("a", change("pillow", {"n": 1}), sent_at=START))
    one.add(message("b", change("pillow", {"m": 1}), sent_at=START - 2 * DAY))
    assert (one.applied, one.dropped, one.result().dropped) == (1, 1, 1)


def test_devices_and_events_of_messages() -> None:
    messages = [
        message("a", change("pillow", event_id="e"), change("chair")),
        message("b", change("pillow")),
    ]
    assert devices_of(messages) == {"pillow", "chair"}
    key = change("pillow", event_id="e").event_key
    assert events_of(messages) == [("pillow", key), ("pillow", "e")]
