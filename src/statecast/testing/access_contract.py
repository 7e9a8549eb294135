"""What every store keeps of users, keys, share links and sessions, and of who did what."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from statecast.access.records import AccessRecord, AuditEntry, RecordKind
from statecast.commands.request import new_command
from statecast.errors import Conflict, DevicesFull, TooManyCommands
from statecast.model import Change, Refusal
from statecast.stores.changes import ReadCursor
from statecast.stores.contract import Store
from statecast.testing.store_fixture import StoreFixture
from statecast.testing.values import change, message, refused

DAY_MS = 86_400_000
KEY = {"digest": "ab", "grants": {"pillow": "send"}, "expires_at": None}


def kept(store: Store, kind: RecordKind | None = None) -> list[tuple[str, str]]:
    return [(one.kind, one.id) for one in store.access_records(kind)]


class AccessContract(StoreFixture):
    """Records of who may do what, and the audit."""

    def test_a_record_is_kept_replaced_and_removed(self) -> None:
        store = self.store()
        assert store.access_record("key", "pillow-1") is None
        # when a key is made, changed and removed
        made = store.put_access("key", "pillow-1", KEY)
        changed = store.put_access("key", "pillow-1", {**KEY, "expires_at": 5})
        # then each is a change of its own, and the newest one holds
        assert made.change < changed.change
        assert store.access_record("key", "pillow-1") == changed
        assert changed.body == {**KEY, "expires_at": 5}
        removed = store.put_access("key", "pillow-1", None)
        # and what remains is a mark, which is in no list
        assert removed.body is None
        assert store.access_record("key", "pillow-1") == removed
        assert kept(store) == []

    def test_records_are_listed_by_kind_and_id(self) -> None:
        store = self.store()
        for kind, id_ in (("user", "b"), ("user", "a"), ("key", "c"), ("share", "Ada É")):
            store.put_access(kind, id_, {})  # type: ignore[arg-type]
        assert kept(store) == [("key", "c"), ("share", "Ada É"), ("user", "a"), ("user", "b")]
        assert kept(store, "user") == [("user", "a"), ("user", "b")]
        assert kept(store, "session") == []

    def test_what_was_changed_meanwhile_is_not_overwritten(self) -> None:
        store = self.store()
        first = store.put_access("user", "ada", {"role": "viewer"}, expected=0)
        with pytest.raises(Conflict):
            store.put_access("user", "ada", {"role": "operator"}, expected=0)
        second = store.put_access("user", "ada", {"role": "editor"}, expected=first.change)
        with pytest.raises(Conflict):
            store.put_access("user", "ada", None, expected=first.change)
        store.put_access("user", "ada", None, expected=second.change)
        with pytest.raises(Conflict):
            store.put_access("user", "ada", {}, expected=second.change)
        assert store.access_record("user", "ada").body is None  # type: ignore[union-attr]
        store.put_access("user", "ada", {"role": "viewer"}, expected=0)  # a new one of that name

    def test_a_guard_sees_the_records_of_the_kind_and_may_refuse(self) -> None:
        store = self.store()
        store.put_access("key", "a", KEY)
        ada = store.put_access("user", "ada", {})
        seen: list[AccessRecord] = []
        store.put_access("user", "bob", {}, guard=seen.extend)
        assert seen == [ada]

        def refuse(users: Sequence[AccessRecord]) -> None:
            raise Conflict(f"There are {len(users)}.")

        with pytest.raises(Conflict, match="There are 2"):
            store.put_access("user", "ada", None, guard=refuse)
        assert store.access_record("user", "ada") == ada

    def test_a_refused_change_leaves_nothing(self) -> None:
        store = self.store()
        first = store.put_access("user", "ada", {})
        with pytest.raises(Conflict):
            store.put_access(
                "user", "ada", None, expected=7_000, audit=AuditEntry("machine", "x", "ada")
            )
        assert store.audit_rows() == []
        assert store.read(ReadCursor(access=0)).access == [first]

    def test_readers_get_the_records_that_changed_after_their_cursor(self) -> None:
        store = self.store()
        # given a reader that has what there was
        first = store.put_access("key", "a", KEY)
        store.put_access("key", "b", KEY)
        whole = store.read(ReadCursor(access=0))
        assert [(one.id, one.change) for one in whole.access] == [
            ("a", first.change),
            ("b", whole.cursor.access),
        ]
        # when one is removed and another comes
        store.put_access("key", "a", None)
        store.put_access("user", "ada", {})
        # then it gets these, and nothing twice
        news = store.read(whole.cursor)
        assert [(one.id, one.body is None) for one in news.access] == [("a", True), ("ada", False)]
        assert store.read(news.cursor).access == []
        # and a reader that does not ask gets none
        assert store.read(ReadCursor()).access == []

    def test_a_snapshot_has_the_rights_under_which_its_states_came(self) -> None:
        store = self.store()
        cursor = store.read(ReadCursor(access=0)).cursor
        for number in range(1, 5):
            # given a right that was taken away, or given, before a state was committed
            store.put_access("key", "a", None if number % 2 else KEY)
            self.say(store, {"n": number})
            # when a reader sees the state
            found = store.read(cursor)
            # then it has the right too
            assert [update.version for update in found.updates] == [number]
            assert [record.body is None for record in found.access] == [bool(number % 2)]
            cursor = found.cursor

    def test_a_session_is_forgotten_a_day_after_it_has_expired(self) -> None:
        store = self.store()
        now = self.clock()
        store.put_access("session", "old", {"user": "ada", "expires_at": now + 1_000})
        store.put_access("session", "ended", {"user": "ada", "expires_at": now + 1_000})
        store.put_access("session", "ended", None)
        store.put_access("key", "expired", {**KEY, "expires_at": now + 1_000})
        self.clock.advance(DAY_MS / 1000)
        store.put_access("session", "new", {"user": "ada", "expires_at": now + 9 * DAY_MS})
        assert store.access_record("session", "old") is not None
        self.clock.advance(2)
        store.put_access("session", "newer", {"user": "ada", "expires_at": now + 9 * DAY_MS})
        assert store.access_record("session", "old") is None
        assert store.access_record("session", "ended") is None
        assert kept(store) == [("key", "expired"), ("session", "new"), ("session", "newer")]

    def test_the_audit_says_who_did_what_newest_first(self) -> None:
        store = self.store()
        store.note(AuditEntry("machine", "user created", "ada", "editor"))
        self.clock.advance(1)
        store.put_access("key", "a", KEY, audit=AuditEntry("user ada", "key created", "a"))
        newest, oldest = store.audit_rows()
        assert (newest.by, newest.action, newest.target, newest.detail) == (
            "user ada",
            "key created",
            "a",
            "",
        )
        assert newest.at == oldest.at + 1_000 == self.clock()
        assert store.audit_rows(before=newest.number) == [oldest]
        assert store.audit_rows(limit=1) == [newest]
        assert store.audit_rows(by="machine") == [oldest]

    def test_the_audit_is_bounded(self) -> None:
        store = self.store(audit_rows=3)
        for number in range(5):
            store.note(AuditEntry("machine", "edit", str(number)))
        assert [one.target for one in store.audit_rows()] == ["4", "3", "2"]

    def test_everyday_actions_push_out_no_entry_about_rights(self) -> None:
        # Given a bound of three entries, and five about rights among many edits
        store = self.store(audit_rows=3)
        for number in range(5):
            store.note(AuditEntry("machine", "key created", f"k{number}"))
            for edit in range(4):
                store.note(AuditEntry("user ada", "edit", f"{number}.{edit}"))
        # Then the newest three of each are there, in the order of their numbers
        rows = store.audit_rows()
        assert [one.target for one in rows] == ["4.3", "4.2", "4.1", "k4", "k3", "k2"]
        assert store.audit_rows(before=rows[2].number, limit=2) == rows[3:5]

    def test_a_forgotten_device_leaves_only_the_mark_of_its_removal(self) -> None:
        store = self.store()
        # given two devices with a past of every kind
        for device in ("pillow", "lamp"):
            for number in range(3):
                self.say(store, {"secret": f"{device} {number}"}, device, event_id=f"e{number}")
            store.begin_command(new_command(device, "hug", None))
            bad = Refusal("It is no state.", device.encode(), None, device)
            self.number += 1
            store.commit("queue", 1, [message(f"m{self.number}", refusals=(bad,))])
            store.edit(change(device, by="user"), audit=AuditEntry("user ada", "edit", device))
        # when one is removed and forgotten
        store.edit(Change("pillow", "delete", {}, by="user"))
        while store.forget_device("pillow", most=2):
            pass
        # then nothing but its removal is left of it
        assert store.history("pillow") == []
        assert store.commands("pillow") == []
        assert store.quarantined(device="pillow") == []
        removed = store.get("pillow")
        assert removed is not None and removed.state is None
        assert [one.target for one in store.audit_rows()] == ["lamp", "forgotten"]
        # and the other is as it was
        assert len(store.history("lamp")) == 3
        assert len(store.commands("lamp")) == 1
        assert store.quarantine_count() == len(store.quarantined(device="lamp")) == 1
        assert store.sizes().history_rows == 3
        assert store.check() == []
        # and a device of that name begins again
        self.say(store, {"new": True})
        assert [row.version for row in store.history("pillow")] == [5]

    @pytest.mark.parametrize("received", range(5))
    def test_messages_are_removed_from_a_queue_wherever_they_are(self, received: int) -> None:
        store = self.store()
        queue, other = store.queue("queue"), store.queue("other")
        # given messages of which some are in flight, beside another queue
        other.append([b"pillow 9"])
        queue.append([b"pillow 1", b"lamp", b"pillow 2", b"door"])
        held = queue.acknowledge_and_receive({}, received, 30_000)
        # when some are removed
        assert queue.remove(lambda one: one.body.startswith(b"pillow")) == 2
        # then the rest stays as it was, and counts
        assert queue.size() == (2, 8)
        assert other.size() == (1, 8)
        rest = queue.acknowledge_and_receive({}, 10, 30_000)
        assert [one.body for one in (*held, *rest) if one.body in (b"lamp", b"door")] == [
            b"lamp",
            b"door",
        ]
        assert [one for one in rest if one.body.startswith(b"pillow")] == []
        # and to acknowledge what is gone changes nothing more
        for one in (*held, *rest):
            queue.acknowledge_and_receive({one.receipt: [one.id]}, 0, 30_000)
        assert queue.size() == (0, 0)
        assert queue.next_visible() is None
        assert store.check() == []

    def test_a_queue_of_many_messages_is_looked_through(self) -> None:
        queue = self.store().queue("queue")
        queue.append([b"%d" % number for number in range(2_500)])
        assert queue.remove(lambda one: one.body.endswith(b"7")) == 250
        assert queue.size()[0] == 2_250

    def test_a_forgotten_device_is_in_no_words_of_the_audit(self) -> None:
        store = self.store()
        said = {
            "read pillow": "read forgotten",
            "read send pillow, read lamp": "read send forgotten, read lamp",
            "read lamp, read pillow": "read lamp, read forgotten",
            "pillow": "forgotten",
            "read pillow/left": "read pillow/left",
            "read pillow/*": "read pillow/*",
            "read my-pillow": "read my-pillow",
            "merge": "merge",
        }
        for detail in said:
            store.note(AuditEntry("machine", "key created", "a", detail))
        store.note(AuditEntry("machine", "edit", "pillow", "merge"))
        gone = [store.forget_device("pillow"), store.forget_device("pillow")]
        found = store.audit_rows()
        assert [one.detail for one in found[:0:-1]] == list(said.values())
        assert (found[0].target, found[0].detail) == ("forgotten", "merge")
        assert gone == [5, 0]
        assert store.check() == []

    def test_a_forgotten_person_is_named_nowhere(self) -> None:
        store = self.store()
        kinds = ("user", "token", "proxy", "app")
        # given what Ada did by each way of signing in, what Adam did, and a key of her name
        for who in [*(f"{kind} ada" for kind in kinds), "user adam", "key ada"]:
            audit = AuditEntry(who, "edit", "pillow", "merge")
            store.edit(change(state={"by": who}, by="user"), sender=who, audit=audit)
            store.begin_command(new_command("pillow", "hug", by=who.split()[1], asker=who))
        store.put_access("user", "ada", {}, audit=AuditEntry("machine", "user added", "ada"))
        store.put_access("user", "ada", None, audit=AuditEntry("machine", "user removed", "ada"))
        # when she is forgotten in small steps
        while store.forget_person("ada", most=1):
            pass
        # then no entry of a person has her name, and the others are as they were
        expected = [*(f"{kind} forgotten" for kind in kinds), "user adam", "key ada"]
        assert store.access_record("user", "ada") is None
        assert [row.cause.sender for row in store.history("pillow")][::-1] == expected
        asked = [one.by for one in store.commands()][::-1]
        assert asked == [*["forgotten"] * 4, "adam", "forgotten"]
        assert [one.asker for one in store.commands()][::-1] == expected
        assert [(one.by, one.target) for one in store.audit_rows()][::-1] == [
            *((who, "pillow") for who in expected),
            ("machine", "forgotten"),
            ("machine", "forgotten"),
        ]
        assert store.forget_person("ada") == 0
        assert store.check() == []
        assert store.scrub()

    def test_a_person_or_device_called_forgotten_is_forgotten_too(self) -> None:
        store = self.store()
        audit = AuditEntry("user forgotten", "edit", "forgotten", "read forgotten")
        store.edit(change("forgotten", {"n": 1}, by="user"), audit=audit)
        store.edit(Change("forgotten", "delete", {}, by="user"))
        assert store.forget_device("forgotten") == 2
        assert store.forget_device("forgotten") == store.forget_person("forgotten") == 0

    def test_a_reader_learns_of_each_session_of_a_forgotten_user(self) -> None:
        """The mark of the user has the name, so it goes at once; those of the sessions stay."""
        store = self.store()
        body = {"user": "ada", "expires_at": self.clock() + DAY_MS}
        store.put_access("user", "ada", {})
        store.put_access("session", "s1", body)
        cursor = store.read(ReadCursor(access=0)).cursor
        store.put_access("user", "ada", None)
        store.put_access("session", "s1", None)
        assert store.forget_person("ada") == 0
        assert [(one.id, one.body) for one in store.read(cursor).access] == [("s1", None)]

    def test_the_mark_of_a_removed_key_is_kept_for_thirty_days(self) -> None:
        store = self.store()
        store.put_access("key", "a", KEY)
        store.put_access("key", "a", None)
        self.clock.advance(30 * DAY_MS / 1000)
        store.put_access("key", "b", KEY)
        assert store.access_record("key", "a") is not None
        self.clock.advance(1)
        store.put_access("key", "c", KEY)
        assert store.access_record("key", "a") is None

    def test_what_is_done_stands_in_the_audit_and_what_is_refused_does_not(self) -> None:
        store = self.store(max_devices=1, max_open_commands=1)
        ada = {
            name: AuditEntry("user ada", name, "pillow")
            for name in ("edit", "command", "replay", "drop")
        }
        # given a device, and two messages in quarantine
        store.commit("queue", 1, [refused("b1"), refused("b2")])
        # when Ada does each thing
        store.edit(change(state={"mood": "calm"}, by="user"), audit=ada["edit"])
        hug = new_command("pillow", "hug", key="click 1")
        asked = store.begin_command(hug, audit=ada["command"])
        first, second = store.quarantined()
        store.replay(first.number, message("b1", change(state={"n": 1})), 1, audit=ada["replay"])
        store.drop(second.number, audit=ada["drop"])
        # then each stands there once
        assert [one.action for one in store.audit_rows()] == ["drop", "replay", "command", "edit"]
        # and a repeated request is the same thing
        assert store.begin_command(hug, audit=ada["command"]) == asked
        # and what is refused does not
        with pytest.raises(DevicesFull):
            store.edit(Change("other", "merge", {"n": 1}, by="user"), audit=ada["edit"])
        with pytest.raises(TooManyCommands):
            store.begin_command(new_command("pillow", "hug", None), audit=ada["command"])
        assert len(store.audit_rows()) == 4
