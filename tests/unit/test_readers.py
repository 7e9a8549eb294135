"""Who viewers are, and what becomes of them when their rights change: on a fake loop."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from statecast.access import secret_tokens
from statecast.access.credentials import Credentials
from statecast.access.directory import AccessDirectory
from statecast.access.grants import Grants
from statecast.access.policy import AccessPolicy, Rules
from statecast.access.reader import READS_EVERYTHING, READS_NOTHING, Reader
from statecast.access.records import AccessRecord, RecordKind
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.http.head import RequestHead
from statecast.model import Position
from statecast.realtime.authenticator import (
    ASK_AGAIN,
    BUSY,
    LIMIT,
    NO_ANSWER,
    Authenticator,
    Found,
    NotAdmitted,
    Outcome,
    Visit,
)
from statecast.realtime.readers import ENDED, TAKEN_AWAY, Admission, Readers
from statecast.stores.changes import Changes, ReadCursor
from tests.fakes.broadcast_harness import BroadcastHarness, FakeClient
from tests.fakes.fake_loop import FakeLoop

SECRET = "s" * secret_tokens.SECRET_CHARACTERS
DIGEST = secret_tokens.digest(SECRET)
NOW = 1_800_000_000_000
HEAD = RequestHead("GET", "/socket.io/", b"EIO=4&t=a", {b"cookie": (b"s=1",)}, secure=False)


def key(name: str) -> Visit:
    return Visit(Credentials(bearer=f"sk_{name}_{SECRET}"))


SESSION = Visit(Credentials(session=f"s1.{SECRET}"))
LOCAL_VISIT = Visit(Credentials(local=True))
REMOTE_VISIT = Visit(Credentials())


class Page(FakeClient):
    """A client that knows why it was disconnected."""

    ended: str | None = None

    def end(self, sentence: str) -> None:
        self.ended = sentence
        self.cut()

    def gone(self) -> list[str]:
        """The devices of which it was told that it may see them no longer."""
        self.read()
        return [
            item["device"]
            for name, payload in self.received
            if name == "states"
            for item in payload["states"]
            if item.get("gone") == "forbidden"
        ]


class Scene:
    """A broadcaster, a store's records, and readers whose threads run when the test says so."""

    def __init__(
        self,
        *,
        ask: Callable[[RequestHead, str], Any] | None = None,
        rules: Rules | None = None,
        inline: bool = True,
    ) -> None:
        self.harness = BroadcastHarness()
        self.loop: FakeLoop = self.harness.loop
        self.now = NOW
        self.records: dict[tuple[str, str], AccessRecord] = {}
        """As the store has them."""
        self.change = 0
        self.policy = AccessPolicy(rules or Rules(), lambda: self, lambda: self.now)
        self.authenticator = Authenticator(
            self.policy,
            lambda: self,
            threads=1,
            ask=lambda: ask,
            inline=inline,
            clock=self.loop.time,
        )
        self.readers = Readers(
            self.policy,
            self.authenticator,
            AccessDirectory(lambda: self.now),
            self.harness.broadcaster.regrant,
            credentials_of=lambda head, address: Credentials(),
            clock=lambda: self.now,
            monotonic=self.loop.time,
        )
        self.harness.broadcaster.on_access(self.readers.on_access)
        self.readers.start(self.loop)  # type: ignore[arg-type]
        for device in ("smith/pillow", "smith/lamp", "jones/pillow"):
            self.harness.store.commit(device, {"n": 1})
        self.harness.tick()

    def access_record(self, kind: RecordKind, id_: str, /) -> AccessRecord | None:
        return self.records.get((kind, id_))

    def put(self, kind: RecordKind, id_: str, body: Mapping[str, Any] | None) -> AccessRecord:
        """Commit a record; the process reads it with the next ``deliver``."""
        self.change += 1
        record = self.records[kind, id_] = AccessRecord(kind, id_, body, self.change)
        return record

    def put_key(self, name: str, grants: Mapping[str, str], **more: Any) -> AccessRecord:
        return self.put("key", name, {"digest": DIGEST, "grants": grants, **more})

    def deliver(self, *records: AccessRecord, reset: bool = False) -> None:
        """The process reads these, and what else was committed, in one snapshot."""
        store, broadcaster = self.harness.store, self.harness.broadcaster
        changes = store.read(ReadCursor(broadcaster.position.offset))
        snapshot = Changes(changes.position, changes.cursor, changes.updates, access=records)
        broadcaster.on_changes(snapshot, None, {}, reset)
        self.loop.settle()

    def admit(self, page: Page, visit: Visit) -> NotAdmitted | None:
        decisions: list[Admission | NotAdmitted] = []
        self.readers.admit(visit, decisions.append)
        (decision,) = decisions
        if isinstance(decision, NotAdmitted):
            return decision
        self.readers.add(page, decision)
        return None

    def page(self, visit: Visit, *patterns: str) -> Page:
        """A page that was admitted, watches, and has everything."""
        page = Page(self.harness, list(patterns or ("*",)))
        page.reader = READS_NOTHING
        assert self.admit(page, visit) is None
        page.watch()
        self.loop.settle()
        page.read()
        return page


SMITHS = {"smith/pillow", "smith/lamp"}
EVERY = SMITHS | {"jones/pillow"}


# Who comes


@pytest.mark.parametrize(
    ("rules", "visit", "devices", "refusal"),
    [
        (Rules(), LOCAL_VISIT, EVERY, None),
        (Rules(trust_local=False), LOCAL_VISIT, None, (401, "No one is signed in")),
        (Rules(), REMOTE_VISIT, None, (401, "No one is signed in")),
        (Rules(public_read=("jones/*",)), REMOTE_VISIT, {"jones/pillow"}, None),
        (Rules(allow_public=True), REMOTE_VISIT, EVERY, None),
        (Rules(), key("smiths"), SMITHS, None),
        (Rules(public_read=("jones/*",)), key("smiths"), EVERY, None),
        (Rules(), key("nothing"), None, (403, "The key “nothing” may not see states")),
        (Rules(), key("revoked"), None, (401, "The token is wrong")),
        (Rules(), Visit(Credentials(local=True, bearer="x")), None, (401, "The token is wrong")),
        (Rules(), Visit(Credentials(problem="Two tokens.")), None, (401, "Two tokens.")),
        (Rules(), SESSION, EVERY, None),
    ],
)
def test_who_comes_sees_what_is_allowed(
    rules: Rules, visit: Visit, devices: set[str] | None, refusal: tuple[int, str] | None
) -> None:
    scene = Scene(rules=rules)
    scene.put_key("smiths", {"smith/*": "read"})
    scene.put_key("nothing", {})
    scene.put("key", "revoked", None)
    scene.put("user", "ada", {"password_set_at": 5, "role": "viewer"})
    scene.put("session", "s1", {"digest": DIGEST, "user": "ada", "password_set_at": 5})
    if refusal is None:
        assert set(scene.page(visit).states) == devices
        return
    page = Page(scene.harness, ["*"])
    page.reader = READS_NOTHING
    refused = scene.admit(page, visit)
    assert refused is not None
    assert refused.status == refusal[0]
    assert refusal[1] in refused.sentence
    assert page.reader is READS_NOTHING


def test_who_brings_nothing_costs_no_thread_and_no_entry() -> None:
    scene = Scene(rules=Rules(allow_public=True), inline=False)
    for visit, reader in ((LOCAL_VISIT, READS_EVERYTHING), (REMOTE_VISIT, None)):
        page = scene.page(visit)
        assert page.reader is reader or page.reader.reads_everything
    assert scene.page(REMOTE_VISIT).reader is scene.page(REMOTE_VISIT).reader
    assert not [one for one in threading.enumerate() if one.name == "identify"]


def test_the_rest_is_found_out_on_a_thread_within_a_time_limit() -> None:
    # given an application that does not answer, and one thread
    asked, answers = threading.Event(), threading.Event()

    def ask(head: RequestHead, address: str) -> Any:
        asked.set()
        answers.wait(10)
        return {"smith/*": "read"}

    scene = Scene(ask=ask, inline=False)
    decisions: list[Any] = []
    scene.readers.admit(Visit(Credentials(), HEAD), decisions.append)
    assert asked.wait(10)
    assert decisions == []
    # when the time is over, then it is not let in, and the late answer changes nothing
    scene.loop.advance(LIMIT)
    assert decisions == [NotAdmitted(503, NO_ANSWER, 1)]
    answers.set()
    scene.loop.take_call()
    assert len(decisions) == 1
    scene.readers.close()


def test_when_too_many_wait_the_newest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statecast.realtime.authenticator.BACKLOG", 0)
    answers = threading.Event()
    scene = Scene(ask=lambda head, address: answers.wait(10), inline=False)
    decisions: list[Any] = []
    for _ in range(2):
        scene.readers.admit(Visit(Credentials(), HEAD), decisions.append)
    assert decisions == [NotAdmitted(503, BUSY, 1)]
    answers.set()
    scene.loop.take_call()
    scene.readers.close()


# Records that change


@pytest.mark.parametrize(
    ("grants", "gone", "left"),
    [
        ({"smith/*": "read"}, ["jones/pillow"], SMITHS),
        ({"smith/pillow": "read", "jones/*": "read"}, ["smith/lamp"], EVERY - {"smith/lamp"}),
        ({"*": "read"}, [], EVERY),
        ({"*": "write"}, ["jones/pillow", "smith/lamp", "smith/pillow"], set()),
        ({"*": "read write"}, [], EVERY),
    ],
)
def test_what_may_no_longer_be_seen_is_told_once_and_nothing_after(
    grants: dict[str, str], gone: list[str], left: set[str]
) -> None:
    # given a page that sees everything, and one beside it with another key
    scene = Scene()
    scene.deliver(scene.put_key("k", {"*": "read"}), scene.put_key("other", {"*": "read"}))
    page, beside = scene.page(key("k")), scene.page(key("other"))
    # when its rights shrink and every device changes, in one snapshot
    for device in EVERY:
        scene.harness.store.commit(device, {"n": 2})
    scene.deliver(scene.put_key("k", grants))
    # then it is told of each device that left, and nothing of their change
    assert sorted(page.gone()) == gone
    assert set(page.states) == left
    assert all(item["state"] == {"n": 2} for item in page.states.values())
    assert page.ended is None
    # and later changes reach only the other
    page.received.clear()
    scene.harness.store.commit("jones/pillow", {"n": 3})
    scene.deliver()
    page.read()
    beside.read()
    assert bool([name for name, _ in page.received if name == "states"]) == ("jones/pillow" in left)
    assert beside.gone() == []
    assert beside.states["jones/pillow"]["state"] == {"n": 3}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda scene: scene.put("key", "k", None), ENDED),
        (lambda scene: scene.put_key("k", {}), TAKEN_AWAY),
        (lambda scene: scene.put_key("k", {"*": "fly"}), ENDED),
        (lambda scene: scene.put_key("k", {"*": "read"}, expires_at=NOW), ENDED),
    ],
)
def test_who_has_nothing_left_is_disconnected(
    change: Callable[[Scene], AccessRecord], sentence: str
) -> None:
    scene = Scene()
    scene.deliver(scene.put_key("k", {"*": "read"}), scene.put_key("other", {"*": "read"}))
    page, beside = scene.page(key("k")), scene.page(key("other"))
    scene.harness.store.commit("jones/pillow", {"n": 2})
    scene.deliver(change(scene))
    assert page.ended == sentence
    assert page.reader is READS_NOTHING
    assert page.states["jones/pillow"]["state"] == {"n": 1}
    assert beside.ended is None


def test_a_right_that_grows_shows_what_changed_long_before() -> None:
    scene = Scene()
    scene.deliver(scene.put_key("k", {"smith/*": "read"}))
    page = scene.page(key("k"), "jones/pillow", "smith/*")
    assert set(page.states) == SMITHS
    for number in range(5):
        scene.harness.store.commit("smith/lamp", {"n": number})
        scene.deliver()
    page.read()
    page.received.clear()
    scene.deliver(scene.put_key("k", {"*": "read"}))
    page.read()
    assert set(page.states) == EVERY
    ((_, payload),) = [one for one in page.received if one[0] == "states"]
    assert [item["device"] for item in payload["states"]] == ["jones/pillow"], "and nothing twice"
    # and after a cut its position holds
    page.cut()
    assert page.watch()["reset"] is False


def test_a_position_from_before_the_rights_grew_holds_no_longer() -> None:
    scene = Scene()
    scene.deliver(scene.put_key("k", {"smith/*": "read"}))
    page = scene.page(key("k"))
    page.cut()
    scene.deliver(scene.put_key("k", {"*": "read"}))
    assert scene.admit(page, key("k")) is None
    assert page.watch()["reset"] is True
    scene.loop.settle()
    page.read()
    assert set(page.states) == EVERY


def test_a_page_that_is_told_only_of_what_left_has_a_position_that_holds() -> None:
    """Rights that shrink and grow at once: cut after the first message, it must get the rest."""
    scene = Scene()
    scene.deliver(scene.put_key("k", {"smith/*": "read"}))
    page = scene.page(key("k"))
    broadcaster = scene.harness.broadcaster
    record = scene.put_key("k", {"smith/lamp": "read", "jones/*": "read"})
    scene.readers.on_access([record], False)
    page.read()  # what left; the loop has not sent yet what came
    assert set(page.states) == {"smith/lamp"}
    page.cut()
    scene.loop.settle()
    assert page.watch()["reset"] is False
    scene.loop.settle()
    page.read()
    assert set(page.states) == {"smith/lamp", "jones/pillow"}
    assert page.position == Position("e1", broadcaster.position.offset)


@pytest.mark.parametrize("capacity", [100, 1])
def test_a_page_that_lags_starts_over_when_its_rights_change(capacity: int) -> None:
    scene = Scene()
    scene.deliver(scene.put_key("k", {"*": "read"}))
    page = scene.page(key("k"))
    # given a page whose transport is full
    page.capacity = capacity
    scene.harness.store.commit("smith/lamp", {"n": 2})
    scene.deliver()
    scene.harness.store.commit("jones/pillow", {"n": 2})
    scene.deliver(scene.put_key("k", {"smith/*": "read"}))
    page.read()
    scene.loop.settle()
    page.read()
    assert set(page.states) == SMITHS
    assert page.states["smith/lamp"]["state"] == {"n": 2}


def test_only_those_concerned_are_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    scene.deliver(*(scene.put_key(f"k{number}", {"*": "read"}) for number in range(50)))
    pages = [scene.page(key(f"k{number}")) for number in range(50)]
    judged: list[str] = []
    judge = scene.policy.judge
    monkeypatch.setattr(
        scene.policy,
        "judge",
        lambda identity, records: judged.append(identity.name) or judge(identity, records),
    )
    scene.deliver(scene.put_key("k7", {"smith/*": "read"}))
    scene.deliver()
    assert judged == ["k7"]
    assert [number for number, page in enumerate(pages) if page.gone()] == [7]


def test_a_user_is_judged_by_both_of_its_records() -> None:
    scene = Scene()
    user = {"password_set_at": 5, "role": "viewer"}
    session = {"digest": DIGEST, "user": "ada", "password_set_at": 5}
    scene.deliver(scene.put("user", "ada", user), scene.put("session", "s1", session))
    page = scene.page(SESSION)
    assert set(page.states) == EVERY
    # a role that is taken away
    scene.deliver(scene.put("user", "ada", {**user, "role": "", "grants": {"smith/*": "read"}}))
    assert page.gone() == ["jones/pillow"]
    # a new password ends the sessions of the old one
    scene.deliver(scene.put("user", "ada", {**user, "password_set_at": 6}))
    assert page.ended == ENDED


@pytest.mark.parametrize(
    ("before", "seen", "admitted"),
    [
        ("read", "read", True),
        ("read", None, False),  # revoked here already, while the thread still saw the key
        (None, "read", True),  # created a moment ago; the process has not read it yet
    ],
)
def test_between_the_thread_and_the_loop_the_newer_counts(
    before: str | None, seen: str | None, admitted: bool
) -> None:
    scene = Scene()
    if before is None:
        scene.put_key("k", {"*": "read"})
    else:
        scene.deliver(scene.put_key("k", {"*": before}))
        if seen is None:
            # the record changes after the thread has looked
            found = scene.records["key", "k"]
            scene.deliver(AccessRecord("key", "k", None, found.change + 1))
    page = Page(scene.harness, ["*"])
    page.reader = READS_NOTHING
    assert (scene.admit(page, key("k")) is None) is admitted


def test_a_store_that_was_set_back_brings_back_the_rights_of_then() -> None:
    scene = Scene()
    old = scene.put_key("k", {"*": "read"})
    scene.deliver(old, scene.put_key("new", {"*": "read"}))
    page, newer = scene.page(key("k")), scene.page(key("new"))
    scene.deliver(
        AccessRecord("key", "k", {**(old.body or {}), "grants": {"smith/*": "read"}}, 1), reset=True
    )
    page.read()
    assert set(page.states) <= SMITHS
    assert newer.ended == ENDED


# Time


def test_what_expires_ends_before_what_is_committed_after() -> None:
    scene = Scene()
    scene.deliver(
        scene.put_key("k", {"*": "read"}, expires_at=NOW + 60_000),
        scene.put_key("longer", {"*": "read"}, expires_at=NOW + 60_001),
    )
    page, longer = scene.page(key("k")), scene.page(key("longer"))
    scene.now = NOW + 60_000
    scene.harness.store.commit("smith/lamp", {"n": 2})
    scene.deliver()
    assert page.ended == ENDED
    assert page.states["smith/lamp"]["state"] == {"n": 1}
    longer.read()
    assert longer.states["smith/lamp"]["state"] == {"n": 2}
    # and without any change, with the next beat
    scene.now += 1
    scene.harness.broadcaster._apply_access((), False)
    assert longer.ended == ENDED


def test_a_renewed_sign_in_goes_on_and_one_that_is_refused_changes_nothing() -> None:
    scene = Scene()
    scene.deliver(
        scene.put_key("k", {"*": "read"}, expires_at=NOW + 1_000),
        scene.put_key("next", {"smith/*": "read"}, expires_at=NOW + 9_000),
    )
    page = scene.page(key("k"))
    refused = scene.admit(page, Visit(Credentials(bearer="sk_next_" + "x" * 43)))
    assert refused is not None
    assert set(page.states) == EVERY
    assert scene.admit(page, key("next")) is None
    scene.loop.settle()
    assert page.gone() == ["jones/pillow"]
    scene.now = NOW + 1_000
    scene.deliver()
    assert page.ended is None
    scene.now = NOW + 9_000
    scene.deliver()
    assert page.ended == ENDED


# What only the application knows


class Application:
    """Answers what the test says, and counts."""

    def __init__(self) -> None:
        self.answer: Any = ("ada", {"*": "read"})
        self.asked = 0

    def __call__(self, head: RequestHead, address: str) -> Any:
        self.asked += 1
        return self.answer


def test_an_application_is_asked_again_after_a_minute() -> None:
    application = Application()
    scene = Scene(ask=application)
    page = scene.page(Visit(Credentials(), HEAD))
    assert set(page.states) == EVERY
    application.answer = ("ada", {"smith/*": "read"})
    scene.loop.advance(ASK_AGAIN - 1)
    scene.deliver()
    assert page.gone() == []
    scene.loop.advance(1)
    scene.deliver()
    assert page.gone() == ["jones/pillow"]
    assert application.asked == 2


def test_the_pages_of_one_user_share_an_answer_and_another_request_does_not() -> None:
    application = Application()
    scene = Scene(ask=application)
    for query in (b"EIO=4&t=a", b"EIO=4&t=b"):
        scene.page(Visit(Credentials(), HEAD._replace(query_string=query)))
    assert application.asked == 1
    others: list[tuple[RequestHead, str]] = [
        (HEAD._replace(headers={b"cookie": (b"s=2",)}), ""),
        (HEAD._replace(headers={b"authorization": (b"Basic x",), b"cookie": (b"s=1",)}), ""),
        (HEAD._replace(query_string=b"EIO=4&room=2"), ""),
        (HEAD, "192.0.2.7"),
        (HEAD._replace(local=True), ""),
    ]
    for number, (head, address) in enumerate(others):
        scene.page(Visit(Credentials(address=address), head))
        assert application.asked == number + 2
    # an answer is shared for a minute since it was given, not since it was used
    scene.loop.advance(ASK_AGAIN - 1)
    page = scene.page(Visit(Credentials(), HEAD))
    application.answer = ("ada", {"smith/*": "read"})
    scene.loop.advance(1)
    scene.deliver()
    assert page.gone() == ["jones/pillow"]


@pytest.mark.parametrize(("user", "asked"), [("ada", True), (None, True), ("bob", False)])
def test_an_application_says_that_rights_have_changed(user: str | None, asked: bool) -> None:
    application = Application()
    scene = Scene(ask=application)
    page = scene.page(Visit(Credentials(), HEAD))
    application.answer = ("ada", {"smith/*": "read"})
    scene.readers.rights_changed(user)
    scene.loop.settle()
    assert page.gone() == (["jones/pillow"] if asked else [])


class Questions:
    """Questions to an application, which the test answers."""

    def __init__(self, scene: Scene) -> None:
        self.open: list[Callable[[Outcome], None]] = []
        scene.authenticator.identify = self.identify  # type: ignore[method-assign]

    def identify(self, visit: Visit, done: Callable[[Outcome], None]) -> None:
        self.open.append(done)

    def answer(self, outcome: Outcome) -> None:
        self.open.pop(0)(outcome)


@pytest.mark.parametrize("changed", [False, True])
def test_an_application_is_asked_about_a_few_pages_at_a_time(
    monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    """All at once were more than may wait: thousands of pages were disconnected every minute."""
    # given five pages, and an application that is asked about two at once
    monkeypatch.setattr("statecast.realtime.readers.ASKED_AT_ONCE", 2)
    scene = Scene(ask=Application())
    pages = [scene.page(Visit(Credentials(), HEAD)) for _ in range(5)]
    questions = Questions(scene)
    # when it is to be asked about all of them, after a minute or because it says so
    if changed:
        scene.readers.rights_changed(None)
    else:
        scene.loop.advance(ASK_AGAIN)
        scene.deliver()
    # then each answer brings the next question, and all of them stay
    found = scene.policy.identify(Credentials(), lambda: {"smith/*": "read"})
    for left in (2, 2, 2, 2, 1):
        assert len(questions.open) == left
        questions.answer(Found(found, {}, scene.loop.time()))
    scene.loop.settle()
    assert not questions.open
    assert [page.gone() for page in pages] == [["jones/pillow"]] * 5
    assert [page.ended for page in pages] == [None] * 5


def test_rights_that_change_while_the_application_answers_are_asked_for_again() -> None:
    # given a question that is open when rights change once more
    scene = Scene(ask=Application())
    page = scene.page(Visit(Credentials(), HEAD))
    questions = Questions(scene)
    scene.readers.rights_changed(None)
    scene.readers.rights_changed(None)
    # when the first answer tells of the rights before, and the second one of those after
    for grants in ({"*": "read"}, {"smith/*": "read"}):
        found = scene.policy.identify(Credentials(), lambda grants=grants: grants)
        questions.answer(Found(found, {}, scene.loop.time()))
    scene.loop.settle()
    # then the page has those after
    assert page.gone() == ["jones/pillow"]


def test_a_failure_while_rights_are_applied_ends_no_later_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given rights that could not be applied once
    application = Application()
    scene = Scene(ask=application)
    page = scene.page(Visit(Credentials(), HEAD))
    application.answer = ("ada", {"smith/*": "read"})

    def fails(readers: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(scene.readers, "_regrant", fails)
        with pytest.raises(MemoryError):
            scene.readers.rights_changed(None)
    # when they change again, then the application is asked, and they are applied
    application.answer = ("ada", {"jones/*": "read"})
    scene.readers.rights_changed(None)
    scene.loop.settle()
    assert sorted(page.gone()) == ["smith/lamp", "smith/pillow"]


def test_an_answer_that_was_on_its_way_when_rights_changed_is_not_kept() -> None:
    # given an application whose rights change while it answers
    application, changes = Application(), [True]

    def ask(head: RequestHead, address: str) -> Any:
        answer = application(head, address)
        if changes.pop():
            scene.authenticator.forget_answers()
        changes.append(False)
        return answer

    scene = Scene(ask=ask)
    scene.page(Visit(Credentials(), HEAD))
    # when another page of the user comes, then the application is asked; and not for the third
    scene.page(Visit(Credentials(), HEAD))
    scene.page(Visit(Credentials(), HEAD))
    assert application.asked == 2


def test_who_waits_too_long_for_the_question_may_do_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a page that waits until the application has answered about another one, which leaves
    monkeypatch.setattr("statecast.realtime.readers.ASKED_AT_ONCE", 1)
    scene = Scene(ask=Application())
    first, second, third = (scene.page(Visit(Credentials(), HEAD)) for _ in range(3))
    questions = Questions(scene)
    scene.readers.rights_changed(None)
    scene.readers.remove(second)
    # when the answer takes longer than one holds
    scene.loop.advance(ASK_AGAIN + 1)
    questions.answer(NotAdmitted(503, NO_ANSWER, 1))
    # then both are disconnected, and no question is left
    assert (first.ended, second.ended, third.ended) == (NO_ANSWER, None, NO_ANSWER)
    assert not questions.open


def test_an_application_that_gives_no_answer_any_more_allows_nothing() -> None:
    application = Application()
    scene = Scene(ask=application)
    page = scene.page(Visit(Credentials(), HEAD))
    application.answer = None
    scene.loop.advance(ASK_AGAIN)
    scene.deliver()
    assert page.ended is not None


def test_who_leaves_leaves_nothing_behind() -> None:
    scene = Scene(ask=Application())
    scene.deliver(scene.put_key("k", {"*": "read"}, expires_at=NOW + 1_000))
    for visit in (key("k"), Visit(Credentials(), HEAD)):
        page = scene.page(visit)
        scene.readers.remove(page)
        page.cut()
    assert (scene.readers._entries, scene.readers._by_record) == ({}, {})
    scene.now += 1_000
    scene.loop.advance(ASK_AGAIN)
    scene.deliver()
    assert not scene.readers._expiries
    assert not scene.readers._to_ask


def test_pages_whose_rights_change_together_share_what_they_are_told() -> None:
    scene = Scene()
    user = {"password_set_at": 5, "role": "viewer"}
    session = {"digest": DIGEST, "user": "ada", "password_set_at": 5}
    scene.deliver(scene.put("user", "ada", user), scene.put("session", "s1", session))
    pages = [scene.page(SESSION) for _ in range(3)]
    delivered: list[OutgoingMessage] = []
    for page in pages:
        deliver = page.deliver
        page.deliver = lambda message, deliver=deliver: (  # type: ignore[method-assign]
            delivered.append(message),
            deliver(message),
        )
    scene.deliver(scene.put("user", "ada", {**user, "role": "", "grants": {"smith/*": "read"}}))
    scene.deliver(scene.put("user", "ada", user))
    assert len({id(one) for one in delivered}) * 3 == len(delivered)
    for page in pages:
        page.read()
        assert set(page.states) == EVERY


def test_a_reader_is_a_value() -> None:
    reader = Reader(READS_EVERYTHING.identity, Grants.of({"*": "read", "a": "read write"}))
    assert reader.reads_everything
    assert json.dumps(reader.grants.as_table()) == '{"*": "read", "a": "write"}'
