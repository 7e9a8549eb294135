"""What every store must keep about commands: a wish is not a fact."""

from __future__ import annotations

from typing import Any

from statecast.commands.life import Command
from statecast.commands.request import new_command
from statecast.errors import LeaseLost, NotFound, NotTaken, Refused, TooManyCommands
from statecast.model import Answer, Change, Outcome, Speaker
from statecast.stores.changes import COMMANDS_PAGE, ReadCursor
from statecast.stores.contract import Store
from statecast.stores.leases import command_lease
from statecast.stores.totals import Committed
from statecast.testing.store_fixture import DAY, StoreFixture, state_of
from statecast.testing.values import START, message, raises

LIFE: dict[tuple[str, ...], str] = {
    (): "waiting",
    ("hand out",): "delivered",
    ("hand out", "hand out"): "delivered",
    ("deadline",): "expired",
    ("deadline", "hand out"): "expired",
    ("deadline", "done"): "expired",
    ("done",): "done",
    ("refused",): "refused",
    ("hand out", "done"): "done",
    ("hand out", "refused"): "refused",
    ("hand out", "done", "deadline"): "done",
    ("hand out", "done", "refused"): "done",
    ("hand out", "done", "done"): "done",
    ("hand out", "refused", "done"): "refused",
    ("hand out", "deadline"): "unanswered",
    ("hand out", "deadline", "hand out"): "unanswered",
    ("hand out", "deadline", "done"): "done",
    ("hand out", "deadline", "refused"): "refused",
    ("hand out", "deadline", "done", "refused"): "done",
    ("hand out", "deadline", "refused", "done"): "refused",
    ("hand out", "deadline", "deadline"): "unanswered",
    # the way into its device's queue
    ("attempt",): "waiting",
    ("attempt", "put"): "delivered",
    ("attempt", "not put"): "waiting",
    ("attempt", "attempt", "put"): "delivered",
    ("attempt", "done"): "done",
    ("attempt", "done", "put"): "done",
    ("attempt", "refused", "not put"): "refused",
    ("attempt", "deadline"): "unanswered",
    ("attempt", "deadline", "put"): "unanswered",
    ("attempt", "deadline", "not put"): "unanswered",
    ("attempt", "deadline", "done"): "done",
    ("attempt", "not put", "deadline"): "expired",
    ("attempt", "not put", "attempt", "deadline"): "unanswered",
    ("attempt", "put", "deadline"): "unanswered",
    ("deadline", "attempt"): "expired",
    ("hand out", "attempt", "not put", "deadline"): "unanswered",
}
"""What happens to a command, and what it is then."""


READABLE: dict[tuple[str, ...], list[int]] = {
    ("*",): [4, 3, 2, 1, 0],
    ("pillow",): [0],
    ("pillow", "smith/*"): [4, 2, 0],
    ("smith/*",): [4, 2],
    ("lamp", "smith/a/*"): [4],
    ("smith",): [1],
    ("smith/a",): [],
    (): [],
    tuple(f"other-{number}" for number in range(2_000)): [],
}
"""Patterns, and which of five commands are of devices that they match, newest first."""


class CommandContract(StoreFixture):
    """The life of commands."""

    def ask(self, store: Store, name: str = "hug", device: str = "pillow", **more: Any) -> Command:
        return store.begin_command(new_command(device, name, **more))

    def answer(
        self,
        store: Store,
        command: str,
        outcome: Outcome = "done",
        *,
        device: str = "pillow",
        by: Speaker = "device",
        reason: str | None = None,
        state: dict[str, Any] | None = None,
    ) -> Committed:
        """Commit a new message of the device that answers."""
        self.number += 1
        said = Answer(command, outcome, reason)
        one = Change(device, "merge", state or {}, by=by, answer=said)
        return store.commit("queue", 1, [message(f"m{self.number}", one, sent_at=self.clock())])

    def test_the_life_of_a_command(self) -> None:
        store = self.store()
        for steps, status in LIFE.items():
            # given a command of a device of its own
            device = "pillow/" + ("-".join(steps).replace(" ", "_") or "new")
            id_ = self.ask(store, device=device, expires=60).id
            lease = store.lease(command_lease(device))
            assert lease is not None
            # when this happens to it
            for step in steps:
                if step == "hand out":
                    store.hand_out(device)
                elif step == "attempt":
                    self.begin_dispatch(store, lease.term, device)
                elif step in ("put", "not put"):
                    put, not_put = ([id_], []) if step == "put" else ([], [id_])
                    store.end_dispatch(device, lease.term, put, not_put)
                elif step == "deadline":
                    self.clock.advance(61)
                    store.pass_deadlines()
                else:
                    self.answer(store, id_, "done" if step == "done" else "refused", device=device)
            # then it is that
            assert store.command(id_).status == status, steps

    def test_what_is_open_is_counted_and_the_oldest_comes_first(self) -> None:
        store = self.store()
        assert store.open_commands() == (0, [])
        began = self.clock()
        for device in ("b", "a", "b", "c"):
            self.ask(store, device=device, expires=60)
            self.clock.advance(1)
        store.hand_out("b")
        ended = self.ask(store, device="d")
        self.answer(store, ended.id, device="d")
        found = store.open_commands(limit=2)
        assert found.number == 4
        assert [tuple(one) for one in found.devices] == [
            ("b", 2, began),
            ("a", 1, began + 1_000),
        ]
        self.clock.advance(61)
        store.pass_deadlines()
        assert store.open_commands().number == 0

    def begin_dispatch(self, store: Store, term: int, device: str) -> list[Command]:
        """Begin to put the commands of one device into the queue of its name."""
        return store.begin_dispatch(device, term, lambda name, _: name == device, 100)

    def test_what_waits_is_dispatched_in_its_order_to_the_queue_of_its_device(self) -> None:
        # Given devices that report through two queues, one device that never did, and a lease
        store = self.store()
        for device, source in (("pillow", "one"), ("chair", "two"), ("lamp", "one")):
            self.number += 1
            change = Change(device, "merge", {"n": 1})
            said = [message(f"m{self.number}", change, sent_at=self.clock())]
            store.commit(source, 1, said)
        asked = [self.ask(store, device=one) for one in ("lamp", "chair", "pillow", "new", "lamp")]
        late = self.ask(store, device="pillow", expires=1)
        self.clock.advance(1)
        lease = store.lease(command_lease("q"))
        assert lease is not None
        # When the commands for the first queue are dispatched
        seen: set[tuple[str, str | None]] = set()

        def belongs(device: str, source: str | None) -> bool:
            seen.add((device, source))
            return source == "one"

        found = store.begin_dispatch("q", lease.term, belongs, 2)
        # Then these are the oldest of its devices, as they were, without what has expired
        assert found == [asked[0], asked[2]]
        assert late.id not in {one.id for one in found}
        # And what was put is no longer among those that wait
        store.end_dispatch("q", lease.term, [asked[0].id], [asked[2].id])
        assert [one.id for one in store.begin_dispatch("q", lease.term, belongs, 9)] == [
            asked[2].id,
            asked[4].id,
        ]
        assert store.command(asked[0].id).status == "delivered"
        assert {("chair", "two"), ("new", None)} <= seen

    def test_an_attempt_is_told_to_no_reader_and_seen_by_the_next_one(self) -> None:
        store = self.store()
        lease = store.lease(command_lease("pillow"))
        assert lease is not None
        cursor = store.read(ReadCursor()).cursor
        asked = self.ask(store)
        cursor = store.read(cursor).cursor
        assert self.begin_dispatch(store, lease.term, "pillow") == [asked]
        assert not store.read(cursor).commands
        # After a crash the next one knows that it may be in the queue
        again = self.begin_dispatch(store, lease.term, "pillow")
        assert [one.attempted_at for one in again] == [START]

    def test_only_the_holder_of_the_lease_dispatches(self) -> None:
        store = self.store()
        self.ask(store)
        lease = store.lease(command_lease("pillow"))
        assert lease is not None
        with raises(LeaseLost):
            self.begin_dispatch(store, lease.term - 1, "pillow")
        with raises(LeaseLost):
            store.end_dispatch("pillow", lease.term - 1, ["a"], [])

    def test_the_open_commands_of_all_devices_are_bounded(self) -> None:
        store = self.store(max_open_commands_in_all=2)
        first = self.ask(store, device="pillow")
        self.ask(store, device="chair")
        with raises(TooManyCommands):
            self.ask(store, device="lamp")
        # a repeated request is no further command
        self.answer(store, first.id)
        self.ask(store, device="lamp", key="k")
        assert self.ask(store, device="lamp", key="k").device == "lamp"
        with raises(TooManyCommands):
            self.ask(store, device="pillow")

    def test_one_asker_has_at_most_half_of_what_may_be_open(self) -> None:
        store = self.store(max_open_commands=5, max_open_commands_in_all=10)
        # given a client that asks as often as it can
        asked = [self.ask(store, asker="key a", key=f"{number}") for number in range(3)]
        assert "is half of what it may have" in self.refused(store, "pillow", "key a")
        # then a repeated request is no further one, and others have the rest
        assert self.ask(store, asker="key a", key="0") == asked[0]
        self.ask(store, asker="anonymous ::1")
        self.ask(store)
        assert "5 open commands already" in self.refused(store, "pillow", "key b")
        # and of all devices together it has half as well
        for device in ("lamp", "chair"):
            self.ask(store, device=device, asker="key a")
        assert "half of what all devices may have" in self.refused(store, "stool", "key a")
        self.ask(store, device="stool", asker="key b")
        # when one of its commands ends, then it may ask again, and no one knows who asked
        self.answer(store, asked[0].id)
        assert store.command(asked[0].id).asker is None
        assert self.ask(store, asker="key a").asker == "key a"

    def refused(self, store: Store, device: str, asker: str) -> str:
        """The sentence with which a command is refused."""
        try:
            self.ask(store, device=device, asker=asker)
        except TooManyCommands as refused:
            return str(refused)
        return ""

    def test_who_asks_alone_of_one_command_is_not_refused(self) -> None:
        store = self.store(max_open_commands=1, max_open_commands_in_all=1)
        assert self.ask(store, asker="key a").is_open

    def test_readers_get_many_changes_page_by_page(self) -> None:
        most = COMMANDS_PAGE + 1
        store = self.store(max_open_commands=most, max_open_commands_in_all=most)
        cursor = store.read(ReadCursor()).cursor
        asked = [self.ask(store) for _ in range(most)]
        first = store.read(cursor)
        assert list(first.commands) == asked[:-1] and not first.has_all_commands
        second = store.read(first.cursor)
        assert list(second.commands) == asked[-1:] and second.has_all_commands

    def test_a_new_command_waits_with_all_that_it_says(self) -> None:
        store = self.store()
        command = self.ask(store, arguments={"strength": 2}, expires=5, by="Ada", key="click 1")
        assert store.command(command.id) == command
        assert (command.device, command.name, command.arguments) == (
            "pillow",
            "hug",
            b'{"strength":2}',
        )
        assert (command.status, command.by, command.created_at, command.expires_at) == (
            "waiting",
            "Ada",
            START,
            START + 5000,
        )
        assert (command.delivered_at, command.ended_at, command.reason) == (None, None, None)
        with raises(NotFound):
            store.command("unknown")

    def test_times_and_the_devices_sentence_are_kept(self) -> None:
        store = self.store()
        id_ = self.ask(store).id
        self.clock.advance(1)
        store.hand_out("pillow")
        self.clock.advance(1)
        store.hand_out("pillow")  # which changes nothing
        self.answer(store, id_, "refused", reason="Too tired.")
        ended = store.command(id_)
        assert (ended.delivered_at, ended.ended_at, ended.reason) == (
            START + 1000,
            START + 2000,
            "Too tired.",
        )

    def test_commands_are_handed_out_in_their_order_until_they_are_at_their_end(self) -> None:
        store = self.store()
        first, second, third = (self.ask(store, name) for name in ("hug", "wake", "sleep"))
        self.ask(store, device="chair")
        # when the device asks, it gets all; after what it has, the rest
        assert [one.name for one in store.hand_out("pillow")] == ["hug", "wake", "sleep"]
        assert [one.id for one in store.hand_out("pillow", after=first.id)] == [second.id, third.id]
        assert [one.id for one in store.hand_out("pillow", limit=1)] == [first.id]
        # and what is answered is not handed out again
        self.answer(store, second.id)
        assert [one.id for one in store.hand_out("pillow")] == [first.id, third.id]
        # and a place that the store does not know is none, as after a restored backup
        assert len(store.hand_out("pillow", after="unknown")) == 2
        assert store.hand_out("lamp") == []

    def test_what_a_device_takes_is_kept_with_it(self) -> None:
        store = self.store()
        # given a device that says what it takes, which is one version with its state
        self.say(store, {"mood": "calm"}, commands=("hug", "open"))
        first = store.get("pillow")
        assert first is not None and (first.commands, first.version) == (("hug", "open"), 1)
        # when it says nothing of it, then that stays; and a late message brings no old list back
        self.say(store, {"mood": "happy"})
        self.say(store, {}, commands=("dance",), time=START - 60_000)
        kept = store.get("pillow")
        assert kept is not None and (kept.commands, kept.version) == (("hug", "open"), 2)
        # and when it takes nothing any more, readers are told by a version
        before = kept.offset
        self.say(store, {}, commands=())
        (told,) = store.read(ReadCursor(offset=before)).updates
        assert (told.commands, told.version, told.state) == ((), 3, kept.state)
        # and a device that was removed and comes again never said anything
        self.say(store, {}, kind="delete")
        self.say(store, {"mood": "calm"})
        new = store.get("pillow")
        assert new is not None and new.commands is None

    def test_a_command_that_is_not_taken_is_refused(self) -> None:
        store = self.store()
        known = store.begin_command(new_command("pillow", "hug", key="click 1"), ["hug", "open"])
        for takes, sentence in (
            (["open", "close"], "“pillow” does not take “hug”; it takes “open”, “close”."),
            ([], "“pillow” takes no commands."),
        ):
            try:
                store.begin_command(new_command("pillow", "hug"), takes)
            except NotTaken as error:
                assert str(error) == sentence
            else:
                raise AssertionError("it was not refused")
            # a repeated request is the command that it began, whatever the device takes now
            again = new_command("pillow", "hug", key="click 1")
            assert store.begin_command(again, takes) == known
        assert [one.id for one in store.commands("pillow")] == [known.id]
        # a device of which nothing is known takes all
        assert store.begin_command(new_command("pillow", "dance"), None).status == "waiting"

    def test_what_a_device_takes_is_read_with_the_command(self) -> None:
        store = self.store()
        # given an asker that read what the device takes, before the device said something else
        self.say(store, {"mood": "calm"})
        before = ["hug"]
        for said, name, is_taken in (
            (None, "hug", True),
            (None, "open", False),
            (("open",), "hug", False),
            (("open",), "open", True),
            ((), "open", False),
        ):
            if said is not None:
                self.say(store, {}, commands=said)
            # when it asks with that, then what the device said last decides
            try:
                store.begin_command(new_command("pillow", name), before)
            except NotTaken:
                assert not is_taken, (said, name)
            else:
                assert is_taken, (said, name)
        # and of a device that was removed and came again nothing is known but the setting
        self.say(store, {}, kind="delete")
        self.say(store, {"mood": "calm"})
        assert store.begin_command(new_command("pillow", "hug"), before).name == "hug"

    def test_nothing_is_handed_out_after_its_deadline(self) -> None:
        store = self.store()
        id_ = self.ask(store, expires=60).id
        self.clock.advance(60)
        assert store.hand_out("pillow") == []
        assert store.command(id_).status == "expired"

    def test_a_deadline_is_told_once(self) -> None:
        store = self.store()
        delivered = self.ask(store, expires=10)
        store.hand_out("pillow")
        waiting = self.ask(store, expires=20)
        assert store.pass_deadlines() == []
        self.clock.advance(10)
        assert [(one.id, one.status) for one in store.pass_deadlines()] == [
            (delivered.id, "unanswered")
        ]
        self.clock.advance(10)
        assert [(one.id, one.status) for one in store.pass_deadlines()] == [(waiting.id, "expired")]
        assert store.pass_deadlines() == []

    def test_an_answer_and_its_state_are_one_commit(self) -> None:
        store = self.store()
        id_ = self.ask(store).id
        store.hand_out("pillow")
        done = self.answer(store, id_, state={"hugged": True})
        assert (done.answered, done.versions, done.quarantined) == (1, 1, 0)
        assert (store.command(id_).status, state_of(store)) == ("done", {"hugged": True})
        # and a repeated answer is no news
        assert self.answer(store, id_).answered == 0

    def test_an_answer_alone_is_a_sign_of_life_and_no_version(self) -> None:
        store = self.store()
        self.say(store, {"mood": "calm"})
        id_ = self.ask(store).id
        self.clock.advance(5)
        assert self.answer(store, id_).versions == 0
        update = store.get("pillow")
        assert update is not None and update.seen_at == START + 5000

    def test_an_answer_counts_only_for_a_command_of_the_device_that_speaks(self) -> None:
        store = self.store()
        id_ = self.ask(store).id
        # when another device, a user, or a message about an unknown command answers
        others = [
            self.answer(store, id_, device="chair", state={"n": 1}),
            self.answer(store, id_, by="user", state={"n": 2}),
            self.answer(store, "unknown", state={"m": 3}),
        ]
        # then the command still waits, the reason is in quarantine, and the states are applied
        assert [(one.answered, one.quarantined) for one in others] == [(0, 1)] * 3
        assert store.command(id_).status == "waiting"
        assert "was not given" in store.quarantined()[0].reason
        assert (state_of(store, "chair"), state_of(store)) == ({"n": 1}, {"n": 2, "m": 3})

    def test_an_answer_counts_in_whatever_order_it_arrives(self) -> None:
        store = self.store()
        id_ = self.ask(store).id
        self.say(store, {"n": 2})
        old = Change(
            "pillow", "merge", {"n": 1}, START - 3 * 86_400_000, answer=Answer(id_, "done")
        )
        done = store.commit("queue", 1, [message("late", old, sent_at=START)])
        assert (done.answered, state_of(store)) == (1, {"n": 2})

    def test_a_message_is_answered_once_however_often_it_is_delivered(self) -> None:
        store = self.store()
        id_ = self.ask(store).id
        one = message("a", Change("pillow", "merge", {}, answer=Answer(id_, "done")))
        assert store.commit("queue", 1, [one, one]).answered == 1
        assert store.commit("queue", 1, [one]).answered == 0

    def test_a_repeated_request_is_one_command(self) -> None:
        store = self.store()
        first = self.ask(store, key="click 1", arguments={"n": 1})
        assert self.ask(store, key="click 1", arguments={"n": 1}) == first
        store.hand_out("pillow")
        assert self.ask(store, key="click 1", arguments={"n": 1}).status == "delivered"
        # also where it has less time left, as after a cut
        later = self.ask(store, key="click 1", arguments={"n": 1}, expires=0.5)
        assert (later.id, later.expires_at) == (first.id, first.expires_at)
        # and another request with the same key is refused
        same = {"arguments": {"n": 1}}
        others: list[dict[str, Any]] = [
            {"arguments": {"n": 2}},
            same | {"device": "chair"},
            same | {"name": "wake"},
            same | {"by": "Ada"},
            same | {"expires": 61},
        ]
        for other in others:
            with raises(Refused):
                self.ask(store, key="click 1", **other)
        assert len(store.commands()) == 1

    def test_the_open_commands_of_a_device_are_bounded(self) -> None:
        store = self.store(max_open_commands=2)
        first = self.ask(store, expires=10)
        self.ask(store)
        with raises(TooManyCommands):
            self.ask(store)
        self.ask(store, device="chair")
        # when one comes to its end, or to its deadline, then there is room
        self.clock.advance(10)
        third = self.ask(store)
        assert store.command(first.id).status == "expired"
        self.answer(store, third.id)
        self.ask(store)
        with raises(TooManyCommands):
            self.ask(store)

    def test_commands_are_those_of_readable_devices(self) -> None:
        # given commands of devices, and of some whose names begin alike
        store = self.store()
        devices = ("pillow", "smith", "smith/b", "smithy/b", "smith/a/b")
        ids = [self.ask(store, device=device).id for device in devices]
        for readable, expected in READABLE.items():
            # then a page has those of the readable ones, as many as it may hold
            found = [one.id for one in store.commands(readable=readable)]
            assert found == [ids[number] for number in expected], readable
            first = [one.id for one in store.commands(readable=readable, limit=1)]
            assert first == found[:1], readable

    def test_commands_are_listed_newest_first(self) -> None:
        store = self.store()
        ids = [self.ask(store, device=device).id for device in ("pillow", "chair", "pillow")]
        assert [one.id for one in store.commands()] == ids[::-1]
        assert [one.id for one in store.commands("pillow")] == [ids[2], ids[0]]
        newest = store.commands(limit=1)[0]
        assert [one.id for one in store.commands(before=newest.number)] == ids[1::-1]
        assert store.commands("lamp") == []

    def test_every_change_of_a_command_has_a_number_of_its_own(self) -> None:
        store = self.store()
        first, second = self.ask(store, expires=10), self.ask(store)
        changes = [first.change, second.change]
        changes += [one.change for one in store.hand_out("pillow")]
        self.answer(store, second.id)
        changes.append(store.command(second.id).change)
        self.clock.advance(10)
        changes += [one.change for one in store.pass_deadlines()]
        assert changes == [1, 2, 3, 4, 5, 6]

    def test_commands_are_forgotten_a_week_after_their_beginning(self) -> None:
        store = self.store()
        old = self.ask(store, expires=1)
        self.clock.advance(7 * DAY)
        kept = self.ask(store)
        assert [one.id for one in store.commands()] == [kept.id, old.id]
        self.clock.advance(1)
        newest = self.ask(store)
        assert [one.id for one in store.commands()] == [newest.id, kept.id]

    def test_beyond_a_number_the_oldest_of_a_device_go_that_are_at_their_end(self) -> None:
        store = self.store(commands_kept=2)
        waiting = self.ask(store)
        chair = self.ask(store, device="chair")
        ended = [self.ask(store) for _ in range(4)]
        for one in ended:
            self.answer(store, one.id)
        newest = self.ask(store)
        assert [one.id for one in store.commands()] == [
            newest.id,
            ended[3].id,
            chair.id,
            waiting.id,
        ]

    def test_readers_learn_of_each_change_of_a_command(self) -> None:
        # given a reader of a store in which something was asked before
        store = self.store()
        old = self.ask(store, expires=5)
        cursor = store.read(ReadCursor()).cursor
        assert not store.read(ReadCursor()).commands
        # when commands begin, are handed out, answered, and come to their deadline
        new = self.ask(store)
        changes = store.read(cursor)
        assert list(changes.commands) == [new]
        store.hand_out("pillow")
        self.clock.advance(5)
        self.answer(store, new.id)
        store.pass_deadlines()
        # then the next read has each as it is now, in the order of their last changes
        after = store.read(changes.cursor)
        assert [(one.id, one.status) for one in after.commands] == [
            (new.id, "done"),
            (old.id, "unanswered"),
        ]
        assert list(store.read(after.cursor).commands) == []

    def test_the_first_command_of_a_store_is_read_too(self) -> None:
        store = self.store()
        cursor = store.read(ReadCursor()).cursor
        first = self.ask(store)
        assert list(store.read(cursor).commands) == [first]
