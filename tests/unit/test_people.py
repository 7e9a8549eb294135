"""Users, sessions, keys and share links, over a store in memory."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from statecast.access import passwords, secret_tokens
from statecast.access.credentials import Credentials
from statecast.access.grants import Grants
from statecast.access.keys import Keys
from statecast.access.policy import AccessPolicy, Rules
from statecast.access.sessions import MOST_SESSIONS, Sessions
from statecast.access.shares import Shares
from statecast.access.users import User, Users
from statecast.errors import Conflict, Malformed, NotAuthenticated, NotFound
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing.values import VirtualClock

PASSWORD = "correct horse battery"
OTHER = "staple of the horse"


class Place:
    """A store with what is in it, and a policy that reads it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(Limits(), self.clock)
        self.users = Users(self.store, self.clock)
        self.sessions = Sessions(self.store, self.clock, hours=2)
        self.keys = Keys(self.store, self.clock)
        self.shares = Shares(self.store, self.clock)
        self.policy = AccessPolicy(Rules(), lambda: self.store, self.clock)

    def sign_in(self, name: str = "ada", password: str = PASSWORD) -> str:
        user = self.users.verify(name, password)
        assert user is not None
        return self.sessions.begin(user)

    def who(self, **given: Any) -> str:
        return self.policy.identify(Credentials(**given)).sender

    def audit(self) -> list[tuple[str, str, str, str]]:
        rows = reversed(self.store.audit_rows())
        return [(one.by, one.action, one.target, one.detail) for one in rows]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(passwords, "METHOD", "scrypt:1024:8:1")  # the real one takes 0.1 s
    return Place()


# Users


def test_a_user_is_added_and_signs_in(place: Place) -> None:
    # given Ada
    place.users.add("Ada", PASSWORD, "editor", ["nurses", "attic", "nurses"], by="machine")
    now = place.clock()
    assert place.users.all() == [User("ada", "editor", ("attic", "nurses"), now, now)]
    # when she signs in, however she writes her name
    for name in ("ada", "ADA", "\uff21da"):
        session = place.sign_in(name)
        # then requests with her cookie are hers
        assert place.who(session=session) == "user ada"
    # and with a wrong one they are of no one
    assert place.users.verify("ada", OTHER) is None
    assert place.users.verify("bob", PASSWORD) is None
    assert place.users.verify("", PASSWORD) is None


def test_what_is_kept_of_a_password_is_no_password(place: Place) -> None:
    place.users.add("ada", PASSWORD, "viewer", by="machine")
    record = place.store.access_record("user", "ada")
    assert record is not None
    assert PASSWORD not in repr(record)
    assert PASSWORD not in repr(place.store.audit_rows())


def test_a_user_that_does_not_exist_costs_a_hash_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.users.add("ada", PASSWORD, "viewer", by="machine")
    checked = []

    def counting(known: str, password: str) -> bool:
        checked.append(known.partition("$")[0])
        return False

    monkeypatch.setattr(passwords, "check_password_hash", counting)
    for name in ("ada", "bob", "", "a b"):
        assert place.users.verify(name, OTHER) is None
    assert len(checked) == 4


def test_a_password_gets_todays_hash_at_the_next_sign_in(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.users.add("ada", PASSWORD, "viewer", by="machine")
    old = place.sign_in()
    monkeypatch.setattr(passwords, "METHOD", "scrypt:2048:8:1")
    # when she signs in after the parameters have changed
    place.sign_in()
    record = place.store.access_record("user", "ada")
    assert record is not None and record.body is not None
    assert record.body["password"].startswith("scrypt:2048:8:1$")
    # then her password is the same, and so are her other sessions
    assert place.who(session=old) == "user ada"
    assert place.users.verify("ada", PASSWORD) is not None


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "10 to 1,000 characters"),
        ("x" * 1_001, "10 to 1,000 characters"),
        ("PassWord123", "among the first"),
        ("aaaaaaaaaaaa", "among the first"),
        ("ada1234567", "more than the name"),
        ("98765432109", "more than the name"),
    ],
)
def test_passwords_that_are_not_taken(place: Place, password: str, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        place.users.add("ada", password, "viewer", by="machine")
    assert place.users.all() == []
    assert place.audit() == []


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "x" * 65, "\x00"])
def test_names_that_are_not_taken(place: Place, name: str) -> None:
    with pytest.raises(Malformed, match="The name of a user"):
        place.users.add(name, PASSWORD, "viewer", by="machine")


def test_roles_and_groups_that_do_not_exist(place: Place) -> None:
    with pytest.raises(
        Malformed, match="There is no role “boss”; there are viewer, editor, operator, none"
    ):
        place.users.add("ada", PASSWORD, "boss", by="machine")
    with pytest.raises(Malformed, match="at most 16 groups"):
        place.users.add("ada", PASSWORD, "viewer", [str(n) for n in range(17)], by="machine")


def test_who_has_no_role_may_what_the_table_says(place: Place) -> None:
    place.users.add("ada", PASSWORD, "none", by="machine")
    session = Credentials(session=place.sign_in())
    assert not place.policy.grants(place.policy.identify(session))
    table = {"user:ada": Grants.of({"smith/*": "read"})}
    policy = AccessPolicy(Rules(table=table), lambda: place.store, place.clock)
    assert policy.grants(policy.identify(session)) == Grants.of({"smith/*": "read"})


def test_a_name_is_taken_once(place: Place) -> None:
    place.users.add("ada", PASSWORD, "viewer", by="machine")
    with pytest.raises(Conflict, match="There is a user “ada” already"):
        place.users.add("ADA", OTHER, "operator", by="machine")
    assert place.users.verify("ada", PASSWORD) is not None


def test_a_new_password_ends_the_sessions_of_the_old_one(place: Place) -> None:
    place.users.add("ada", PASSWORD, "viewer", by="machine")
    old = place.sign_in()
    place.users.set_password("ada", OTHER, by="machine")
    assert place.who(session=old) == "anonymous"
    assert place.users.verify("ada", PASSWORD) is None
    assert place.who(session=place.sign_in("ada", OTHER)) == "user ada"


def test_a_new_role_holds_for_open_sessions(place: Place) -> None:
    place.users.add("ada", PASSWORD, "viewer", by="machine")
    session = Credentials(session=place.sign_in())
    place.users.set_role("ada", "editor", ["nurses"], by="machine")
    identity = place.policy.identify(session)
    assert (identity.role, identity.groups) == ("editor", ("nurses",))


def test_a_removed_user_is_no_one(place: Place) -> None:
    place.users.add("ada", PASSWORD, "viewer", by="machine")
    session = place.sign_in()
    place.users.remove("ada", by="machine")
    assert place.who(session=session) == "anonymous"
    assert place.users.all() == []
    for call in (
        lambda: place.users.remove("ada", by="machine"),
        lambda: place.users.set_password("ada", OTHER, by="machine"),
        lambda: place.users.set_role("ada", "viewer", by="machine"),
    ):
        with pytest.raises(NotFound, match="There is no user “ada”"):
            call()
    # and who gets the name later does not get the session
    place.clock.advance(1)
    place.users.add("ada", OTHER, "operator", by="machine")
    assert place.who(session=session) == "anonymous"


def test_one_operator_stays(place: Place) -> None:
    place.users.add("ada", PASSWORD, "operator", by="machine")
    place.users.add("bob", PASSWORD, "editor", by="machine")
    with pytest.raises(Conflict, match="the last operator"):
        place.users.remove("ada", by="user ada")
    with pytest.raises(Conflict, match="the last operator"):
        place.users.set_role("ada", "editor", by="user ada")
    place.users.set_role("ada", "operator", ["attic"], by="user ada")
    # when there is another one
    place.users.set_role("bob", "operator", by="user ada")
    place.users.remove("ada", by="user ada")
    # then that one is the last
    with pytest.raises(Conflict):
        place.users.remove("bob", by="user bob")


# Sessions


def test_a_session_ends_with_its_time_or_when_it_is_ended(place: Place) -> None:
    place.users.add("ada", PASSWORD, "viewer", by="machine")
    first, second = place.sign_in(), place.sign_in()
    assert first != second
    place.sessions.end(first)
    assert (place.who(session=first), place.who(session=second)) == ("anonymous", "user ada")
    place.clock.advance(2 * 3600 - 1)
    assert place.who(session=second) == "user ada"
    place.clock.advance(1)
    assert place.who(session=second) == "anonymous"


def test_a_user_has_so_many_sessions_at_most(place: Place) -> None:
    for name in ("ada", "bob"):
        place.users.add(name, PASSWORD, "viewer", by="machine")
    bob = place.sign_in("bob")
    first, second, *others = [place.sign_in() for _ in range(MOST_SESSIONS + 1)]
    assert place.who(session=first) == "anonymous"
    assert {place.who(session=one) for one in (second, *others)} == {"user ada"}
    assert place.who(session=bob) == "user bob"
    assert len(place.store.access_records("session")) == MOST_SESSIONS + 1


def test_only_who_has_the_cookie_ends_a_session(place: Place) -> None:
    place.users.add("ada", PASSWORD, "viewer", by="machine")
    session = place.sign_in()
    id_ = session.partition(".")[0]
    for wrong in ("", id_, f"{id_}.", f"{id_}.{'x' * 43}", f".{session}", session + "x"):
        place.sessions.end(wrong)
        assert place.who(session=wrong) == "anonymous"
    assert place.who(session=session) == "user ada"


# Keys and share links


def test_a_key_is_shown_once_and_does_what_it_may(place: Place) -> None:
    token = place.keys.create(
        "pillow-1", Grants.of({"pillow": "send read"}), seconds=60, by="machine"
    )
    assert token.startswith("sk_pillow-1_")
    assert place.who(bearer=token) == "key pillow-1"
    assert place.policy.grants(place.policy.identify(Credentials(bearer=token))) == Grants.of(
        {"pillow": "read send"}
    )
    record = place.store.access_record("key", "pillow-1")
    assert token[-43:] not in repr(record) + repr(place.store.audit_rows())
    (listed,) = place.keys.all()
    assert listed.grants == Grants.of({"pillow": "read send"})
    assert listed.expires_at == place.clock() + 60_000
    place.clock.advance(60)
    with pytest.raises(NotAuthenticated):
        place.who(bearer=token)


def test_a_revoked_key_is_refused_and_its_name_is_free(place: Place) -> None:
    first = place.keys.create("a", Grants.of({"*": "read"}), by="machine")
    with pytest.raises(Conflict, match="There is a key “a” already"):
        place.keys.create("a", Grants.of({"*": "read"}), by="machine")
    place.keys.revoke("a", by="machine")
    with pytest.raises(NotFound):
        place.keys.revoke("a", by="machine")
    second = place.keys.create("a", Grants.of({"*": "read"}), by="machine")
    assert place.who(bearer=second) == "key a"
    with pytest.raises(NotAuthenticated):
        place.who(bearer=first)


@pytest.mark.parametrize("name", ["", "-a", "a b", "ä", "a/b", "x" * 65])
def test_names_of_keys_that_are_not_taken(place: Place, name: str) -> None:
    with pytest.raises(Malformed, match="The name of a key"):
        place.keys.create(name, Grants.of({"*": "read"}), by="machine")


def test_a_key_without_rights_is_none(place: Place) -> None:
    with pytest.raises(Malformed, match="may do nothing"):
        place.keys.create("a", Grants(), by="machine")


def test_only_compare_digest_compares_secrets(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = place.keys.create("a_b", Grants.of({"*": "read"}), by="machine")
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def recording(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(secret_tokens.hmac, "compare_digest", recording)
    assert place.who(bearer=token) == "key a_b"
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), "sk_other_" + token[-43:]):
        with pytest.raises(NotAuthenticated):
            place.who(bearer=wrong)
    # one comparison each, of digests, also for a key that does not exist
    assert [len(one) for pair in compared for one in pair] == [64] * 6


def test_a_share_link_shows_its_devices_and_nothing_else(place: Place) -> None:
    token = place.shares.create("smith/*", 7 * 86_400, by="user ada")
    identity = place.policy.identify(Credentials(bearer=token))
    assert identity.kind == "share"
    assert place.policy.grants(identity) == Grants.of({"smith/*": "read"})
    (listed,) = place.shares.all()
    assert (listed.pattern, listed.by) == ("smith/*", "user ada")
    place.shares.revoke(listed.id, by="user ada")
    with pytest.raises(NotAuthenticated):
        place.who(bearer=token)
    assert place.shares.all() == []
    for pattern, seconds in (("a*", 1.0), ("a", 0.0), ("a", 1e12), ("a", float("nan"))):
        with pytest.raises(Malformed):
            place.shares.create(pattern, seconds, by="user ada")


def test_the_audit_says_who_did_what(place: Place) -> None:
    place.users.add("ada", PASSWORD, "operator", by="machine")
    session = place.sign_in()
    place.keys.create("k", Grants.of({"a": "read send", "b/*": "write"}), by="user ada")
    place.keys.revoke("k", by="user ada")
    place.users.add("bob", PASSWORD, "viewer", by="user ada")
    place.users.set_role("bob", "editor", by="user ada")
    place.users.set_password("bob", OTHER, by="user ada")
    place.users.remove("bob", by="user ada")
    place.sessions.end(session)
    assert place.audit() == [
        ("machine", "user added", "ada", "operator"),
        ("user ada", "signed in", "ada", ""),
        ("user ada", "key created", "k", "read send a, write b/*"),
        ("user ada", "key revoked", "k", ""),
        ("user ada", "user added", "bob", "viewer"),
        ("user ada", "role set", "bob", "editor"),
        ("user ada", "password set", "bob", ""),
        ("user ada", "user removed", "bob", ""),
        ("user ada", "signed out", "ada", ""),
    ]
