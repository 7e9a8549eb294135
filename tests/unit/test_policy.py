"""The one decision: tables of who somebody is and what that one may do, without a store."""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statecast.access import secret_tokens
from statecast.access.actions import Action
from statecast.access.credentials import MAX_TOKEN, TOO_LONG, Credentials
from statecast.access.grants import EVERYTHING, NOTHING, Grants
from statecast.access.identity import ANONYMOUS, LOCAL, Identity
from statecast.access.policy import DEEDS, AccessPolicy, Rules, from_application
from statecast.access.records import AccessRecord, RecordKind
from statecast.errors import NotAuthenticated
from statecast.runtime import Runtime
from statecast.settings import Settings

NO_RULES = Rules()
NOW = 1_800_000_000_000
SECRET = "s" * secret_tokens.SECRET_CHARACTERS
OTHER = "o" * secret_tokens.SECRET_CHARACTERS
DIGEST = secret_tokens.digest(SECRET)


class HeldRecords:
    """Records in a dict; it notes which were asked for."""

    def __init__(self, bodies: Mapping[tuple[str, str], Any]) -> None:
        self.bodies = dict(bodies)
        self.asked: list[tuple[str, str]] = []

    def access_record(self, kind: RecordKind, id_: str, /) -> AccessRecord | None:
        self.asked.append((kind, id_))
        if (kind, id_) not in self.bodies:
            return None
        return AccessRecord(kind, id_, self.bodies[kind, id_], 1)


USER = {"password": "$argon2id$", "password_set_at": 5, "role": "viewer", "groups": ["family"]}
BODIES: dict[tuple[str, str], Any] = {
    ("key", "pillow-1"): {"digest": DIGEST, "grants": {"pillow": "send"}, "expires_at": None},
    ("key", "with_under_score"): {"digest": DIGEST, "grants": {"*": "read"}},
    ("key", "old"): {"digest": DIGEST, "grants": {"*": "read"}, "expires_at": NOW},
    ("key", "young"): {"digest": DIGEST, "grants": {"*": "read"}, "expires_at": NOW + 1},
    ("key", "revoked"): None,
    ("key", "odd"): {"digest": DIGEST, "grants": {"*": "fly"}},
    ("key", "odder"): {"digest": DIGEST, "grants": {"*": "read"}, "expires_at": "soon"},
    ("key", "no-digest"): {"grants": {"*": "read"}},
    ("share", "a1"): {"digest": DIGEST, "grants": {"pillow": "read write"}, "expires_at": NOW + 9},
    ("user", "ada"): USER,
    ("session", "s1"): {
        "digest": DIGEST,
        "user": "ada",
        "password_set_at": 5,
        "expires_at": NOW + 9,
    },
    ("session", "s2"): {
        "digest": DIGEST,
        "user": "ada",
        "password_set_at": 4,
        "expires_at": NOW + 9,
    },
    ("session", "s3"): {
        "digest": DIGEST,
        "user": "bob",
        "password_set_at": 5,
        "expires_at": NOW + 9,
    },
    ("session", "s4"): {"digest": DIGEST, "user": "ada", "password_set_at": 5, "expires_at": NOW},
    ("session", "s5"): {"digest": DIGEST, "expires_at": NOW + 9},
}
PILLOW = Grants.of({"pillow": "send"})
SHOWN = Grants.of({"pillow": "read"})
KEY = Identity("key", "pillow-1", own=PILLOW, records=(("key", "pillow-1"),))
ADA = Identity(
    "user",
    "ada",
    ("family",),
    "viewer",
    expires_at=NOW + 9,
    records=(("session", "s1"), ("user", "ada")),
)


def made(
    rules: Rules = NO_RULES, bodies: Mapping[tuple[str, str], Any] = BODIES
) -> tuple[AccessPolicy, HeldRecords, list[tuple[str, str]]]:
    """A policy, its records, and what it logs."""
    records, notes = HeldRecords(bodies), list[tuple[str, str]]()
    policy = AccessPolicy(
        rules,
        lambda: records,
        lambda: NOW,
        note=lambda address, sentence: notes.append((address, sentence)),
    )
    return policy, records, notes


# Who it is


@pytest.mark.parametrize(
    ("brought", "found"),
    [
        (Credentials(), ANONYMOUS),
        (Credentials(local=True), LOCAL),
        (Credentials(bearer=f"sk_pillow-1_{SECRET}"), KEY),
        (Credentials(local=True, bearer=f"sk_pillow-1_{SECRET}"), KEY),
        (Credentials(session=f"s1.{SECRET}"), ADA),
        (Credentials(local=True, session=f"s1.{SECRET}"), ADA),
        # a token counts before a cookie, a cookie before a proxy
        (Credentials(bearer=f"sk_pillow-1_{SECRET}", session=f"s1.{SECRET}"), KEY),
        (Credentials(session=f"s1.{SECRET}", proxy_user="eve"), ADA),
        (Credentials(proxy_user="eve"), Identity("proxy", "eve")),
        (
            Credentials(local=True, proxy_user="eve", proxy_groups=("b", "a", "b")),
            Identity("proxy", "eve", ("a", "b")),
        ),
        # a session that has ended is as none: the browser still has the cookie
        *((Credentials(session=f"{one}.{SECRET}"), ANONYMOUS) for one in ("s2", "s3", "s4", "s5")),
        (Credentials(session=f"s1.{OTHER}"), ANONYMOUS),
        (Credentials(session="s1."), ANONYMOUS),
        (Credentials(session="s1"), ANONYMOUS),
        (Credentials(session="." + SECRET), ANONYMOUS),
        (Credentials(session=f"nowhere.{SECRET}", local=True), LOCAL),
        (Credentials(session="s1." + "s" * 1_000), ANONYMOUS),
    ],
)
def test_who_a_request_is_of(brought: Credentials, found: Identity) -> None:
    policy, _, notes = made()
    assert policy.identify(brought) == found
    assert notes == []


def test_a_key_with_an_underscore_in_its_name_is_taken_apart_at_the_secret() -> None:
    policy, _, _ = made()
    for secret in ("_" * 43, "a_" * 21 + "a", "-" * 43):
        bodies = {("key", "a_b"): {"digest": secret_tokens.digest(secret), "grants": {"*": "read"}}}
        policy, _, _ = made(bodies=bodies)
        assert policy.identify(Credentials(bearer=f"sk_a_b_{secret}")).name == "a_b"


@pytest.mark.parametrize(
    "bearer",
    [
        f"sk_pillow-1_{OTHER}",
        f"sk_pillow-1_{SECRET[1:]}",
        f"sk_pillow-1_{SECRET}s",
        f"sk_pillow-1{SECRET}",
        f"sk__{SECRET}",
        f"sk_{SECRET}",
        "sk_",
        "sk",
        f"sk_old_{SECRET}",
        f"sk_revoked_{SECRET}",
        f"sk_odd_{SECRET}",
        f"sk_odder_{SECRET}",
        f"sk_no-digest_{SECRET}",
        f"sk_nowhere_{SECRET}",
        f"sh_pillow-1_{SECRET}",  # a share link that has the id of a key
        f"sk_a1_{SECRET}",  # and a key that has the id of a share link
        f"SK_pillow-1_{SECRET}",
        f"sk_pillow-1_{DIGEST[:43]}",
        DIGEST,
        f"s1.{SECRET}",  # a session's cookie is no token
        "a.b.c",  # signed tokens are not set up
        "x" * 8_192,
        "é_\ud800_" + SECRET,
        f"sk_{'n' * 300}_{SECRET}",
    ],
)
@pytest.mark.parametrize("local", [False, True])
def test_a_wrong_token_is_refused_with_one_line_of_the_log(bearer: str, local: bool) -> None:
    # Given a request with a token that is none, also from this machine and with a good session
    policy, _, notes = made()
    brought = Credentials(local, bearer, session=f"s1.{SECRET}", address="192.0.2.1")
    # Then it is not taken for another one's request, and the line does not have the token
    with pytest.raises(NotAuthenticated) as refused:
        policy.identify(brought)
    assert [address for address, _ in notes] == ["192.0.2.1"]
    for text in (str(refused.value), notes[0][1], repr(brought)):
        assert bearer not in text and SECRET not in text and "pillow" not in text


def test_only_digests_are_compared_and_only_by_compare_digest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a secret whose digest notes each way in which it is compared
    compared: list[tuple[bytes, bytes]] = []
    hashed: list[str] = []
    digest = secret_tokens.digest

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    class Guarded(str):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared by ==")

    def counted(secret: str) -> str:
        hashed.append(secret)
        return digest(secret)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    monkeypatch.setattr(secret_tokens, "digest", counted)
    bodies = {
        key: body | {"digest": Guarded(body["digest"])}
        for key, body in BODIES.items()
        if body and "digest" in body
    }
    for name, right in (("pillow-1", True), ("nowhere", False)):
        compared.clear(), hashed.clear()
        policy, _, _ = made(bodies=bodies)
        # When a key comes, with an id that exists or does not
        if right:
            policy.identify(Credentials(bearer=f"sk_{name}_{SECRET}"))
        else:
            with pytest.raises(NotAuthenticated):
                policy.identify(Credentials(bearer=f"sk_{name}_{SECRET}"))
        # Then both cost one hash and one comparison of digests of the same length
        assert hashed == [SECRET]
        (left, known), *others = compared
        assert not others and left == DIGEST.encode() and len(known) == len(left)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (None, None),
        ({}, Identity("app")),
        ({"pillow": "read"}, Identity("app", own=SHOWN)),
        (SHOWN, Identity("app", own=SHOWN)),
        (("ada", {"pillow": "read"}), Identity("app", "ada", own=SHOWN)),
        (NOTHING, Identity("app")),
        # what is no table of rights allows nothing
        (True, Identity("app")),
        ("*", Identity("app")),
        (["*"], Identity("app")),
        ({"*": "everything"}, Identity("app")),
        ({"a*": "read"}, Identity("app")),
        ({5: "read"}, Identity("app")),
        (("ada", True), Identity("app", "ada")),
    ],
)
def test_what_the_application_answers(answer: Any, found: Identity | None) -> None:
    assert from_application(answer) == found
    policy, _, _ = made()
    here = Credentials(local=True)
    assert policy.identify(here, lambda: answer) == (LOCAL if found is None else found)


def test_the_application_is_asked_only_if_no_credential_says_who_it_is() -> None:
    policy, _, _ = made()
    for brought in (
        Credentials(bearer=f"sk_pillow-1_{SECRET}"),
        Credentials(session=f"s1.{SECRET}"),
        Credentials(proxy_user="eve"),
    ):
        assert policy.identify(brought, lambda: pytest.fail("asked")).kind != "app"


# What it is worth now


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({}, ADA),
        ({("user", "ada"): USER | {"role": "editor"}}, dataclasses.replace(ADA, role="editor")),
        (
            {("user", "ada"): USER | {"groups": ["b", "a"]}},
            dataclasses.replace(ADA, groups=("a", "b")),
        ),
        (
            {("user", "ada"): USER | {"grants": {"pillow": "send"}}},
            dataclasses.replace(ADA, own=PILLOW),
        ),
        ({("user", "ada"): None}, None),
        (
            {
                ("user", "ada"): {"role": "operator"},
                ("session", "s1"): {"user": "ada", "expires_at": NOW + 9},
            },
            None,
        ),
        ({("user", "ada"): USER | {"password_set_at": 6}}, None),
        ({("user", "ada"): USER | {"grants": {"pillow": "fly"}}}, None),
        ({("session", "s1"): None}, None),
        ({("session", "s1"): {"user": "ada", "password_set_at": 5, "expires_at": NOW}}, None),
        ({("key", "pillow-1"): None}, ADA),
    ],
)
def test_a_user_is_judged_by_what_is_known_now(
    changed: dict[tuple[str, str], Any], kept: Identity | None
) -> None:
    policy, store, _ = made()
    assert policy.judge(ADA, HeldRecords(BODIES | changed)) == kept
    assert store.asked == []


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (BODIES["key", "pillow-1"], KEY),
        (None, None),
        ({"grants": {"*": "read"}}, dataclasses.replace(KEY, own=Grants.of({"*": "read"}))),
        ({"grants": {}}, dataclasses.replace(KEY, own=NOTHING)),
        ({"grants": {"pillow": "send"}, "expires_at": NOW}, None),
        (
            {"grants": {"pillow": "send"}, "expires_at": NOW + 1},
            dataclasses.replace(KEY, expires_at=NOW + 1),
        ),
        ({"grants": None}, None),
    ],
)
def test_a_key_is_judged_by_what_is_known_now(body: Any, kept: Identity | None) -> None:
    policy, _, _ = made()
    assert policy.judge(KEY, HeldRecords({("key", "pillow-1"): body})) == kept
    assert policy.judge(KEY, HeldRecords({})) is None


def test_what_rests_on_no_record_lasts_until_it_expires() -> None:
    policy, _, _ = made()
    for one in (ANONYMOUS, LOCAL, Identity("token", "ada", expires_at=NOW + 1)):
        assert policy.judge(one, HeldRecords({})) == one
    assert policy.judge(Identity("token", "ada", expires_at=NOW), HeldRecords({})) is None


# What it may do

TABLE = Settings(
    rights={
        "user:ada": {"ada/*": "write"},
        "group:family": {"smith/*": "read command"},
        "role:viewer": {"lamp": "command"},
        "key:pillow-1": {"pillow": "read"},
        "everyone": {"hall": "read"},
    }
).rights
FAMILY = Identity("proxy", "bob", ("family", "others"))


@pytest.mark.parametrize(
    ("rules", "identity", "expected"),
    [
        (Rules(), ANONYMOUS, {}),
        (Rules(), LOCAL, {"*": "read command send write operate"}),
        (Rules(public_read=("a/*",)), ANONYMOUS, {"a/*": "read"}),
        (Rules(public_read=("a/*",)), KEY, {"a/*": "read", "pillow": "send"}),
        (Rules(allow_public=True), ANONYMOUS, {"*": "read"}),
        (Rules(allow_public=True, others_may=("write",)), ANONYMOUS, {"*": "read write"}),
        (Rules(others_may=("write",)), ANONYMOUS, {}),
        (
            Rules(allow_public=True, others_may=("operate",)),
            KEY,
            {"*": "read operate", "pillow": "send"},
        ),
        (Rules(), KEY, {"pillow": "send"}),
        (Rules(table=TABLE), KEY, {"pillow": "read send"}),  # not what everyone may: no person
        (Rules(), ADA, {"*": "read"}),
        (
            Rules(table=TABLE),
            ADA,
            {"*": "read", "ada/*": "write", "smith/*": "command", "lamp": "command"},
        ),
        (Rules(), FAMILY, {}),
        (Rules(table=TABLE), FAMILY, {"smith/*": "read command", "hall": "read"}),
        (Rules(table=TABLE), Identity("token", "ada"), {"ada/*": "write", "hall": "read"}),
        (Rules(table=TABLE), Identity("app", "ada"), {"ada/*": "write", "hall": "read"}),
        (Rules(table=TABLE), Identity("app"), {"hall": "read"}),
        (Rules(table=TABLE), Identity("share", "ada", own=SHOWN), {"pillow": "read"}),
        (Rules(table=TABLE), Identity("key", "ada"), {}),
        (Rules(table=TABLE), ANONYMOUS, {}),
        (Rules(), Identity("user", "x", role="editor"), {"*": "read command write"}),
        (Rules(), Identity("user", "x", role="operator"), EVERYTHING.as_table()),
        (Rules(), Identity("user", "x", role="king"), {}),
        # who names himself is that one, also with a name that means something elsewhere
        (Rules(table=TABLE), Identity("proxy", "everyone"), {"hall": "read"}),
        (Rules(table=TABLE), Identity("token", "x", ("user:ada",)), {"hall": "read"}),
    ],
)
def test_what_somebody_may_do(rules: Rules, identity: Identity, expected: dict[str, str]) -> None:
    policy, _, _ = made(rules)
    assert policy.grants(identity).as_table() == Grants.of(expected).as_table()
    for action in Action:
        for device in ("pillow", "ada/1", "smith/pillow", "hall", "lamp", None):
            assert policy.allow(identity, action, device) == Grants.of(expected).allows(
                action, device
            )


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (Identity("user", "ada"), {"a": "read", "b": "write"}),  # the store folds names
        (Identity("user", "zoë"), {"z": "read"}),
        (Identity("token", "ada"), {"b": "write"}),  # those of a provider are as it writes them
        (Identity("token", "Ada"), {"a": "read"}),
        (Identity("proxy", "ADA"), {}),
        (Identity("key", "ada"), {}),
    ],
)
def test_names_of_users_are_compared_as_the_store_keeps_them(
    identity: Identity, expected: dict[str, str]
) -> None:
    table = {"user:Ada": {"a": "read"}, "user:ada": {"b": "write"}, "user:ZOE\u0308": {"z": "read"}}
    policy, _, _ = made(Rules(table=Settings(rights=table).rights))
    assert policy.grants(identity) == Grants.of(expected)


def test_this_machine_is_trusted_unless_a_setting_says_otherwise() -> None:
    policy, _, _ = made(Rules(trust_local=False))
    assert policy.identify(Credentials(local=True)) == ANONYMOUS


def test_a_share_link_only_shows() -> None:
    policy, _, _ = made()
    found = policy.identify(Credentials(bearer=f"sh_a1_{SECRET}"))
    assert found.own == SHOWN and found.expires_at == NOW + 9


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize(
    "identity", [ANONYMOUS, KEY, ADA, FAMILY, Identity("share", "a1"), Identity("app")]
)
@pytest.mark.parametrize("allow_public", [False, True])
def test_a_refusal_says_what_to_do_and_names_no_device(
    action: Action, identity: Identity, allow_public: bool
) -> None:
    policy, _, _ = made(Rules(table=TABLE, allow_public=allow_public))
    sentence = policy.refusal(identity, action)
    assert DEEDS[action] in sentence and sentence.endswith(".")
    assert not any(device in sentence for device in ("smith/", "ada/", "hall", "lamp"))


@pytest.mark.parametrize(
    ("rules", "held", "expected"),
    [
        (Rules(), (), False),
        (Rules(), ("session",), False),
        (Rules(allow_public=True), (), False),
        (Rules(table=TABLE), (), True),
        (Rules(public_read=("*",)), (), True),
        (Rules(names_people=True), (), True),
        *((Rules(), (kind,), True) for kind in ("user", "key", "share")),
    ],
)
def test_what_counts_as_set_up(rules: Rules, held: tuple[RecordKind, ...], expected: bool) -> None:
    policy, _, _ = made(rules)
    assert policy.is_set_up(lambda kind: kind in held) is expected


def test_the_store_has_the_records(tmp_path: Path) -> None:
    # Given an app, and a key in its store
    runtime = Runtime(Settings(store=f"sqlite:///{tmp_path / 'a.db'}"))
    try:
        runtime.store.put_access("key", "pillow-1", BODIES["key", "pillow-1"])
        bearer = Credentials(bearer=f"sk_pillow-1_{SECRET}", address="192.0.2.1")
        # Then the key counts until it is revoked, and rights that change are seen
        found = runtime.rights.policy.identify(bearer)
        assert found == KEY and runtime.rights.policy.allow(found, Action.SEND, "pillow")
        runtime.store.put_access("key", "pillow-1", BODIES["key", "pillow-1"] | {"grants": {}})
        assert runtime.rights.policy.judge(found, runtime.store) == dataclasses.replace(
            KEY, own=NOTHING
        )
        runtime.store.put_access("key", "pillow-1", None)
        assert runtime.rights.policy.judge(found, runtime.store) is None
        with pytest.raises(NotAuthenticated):
            runtime.rights.policy.identify(bearer)
    finally:
        runtime.stop()


@pytest.mark.parametrize(
    ("auth", "bearer"),
    [
        (None, ""),
        ("sk_a_b", ""),
        ({}, ""),
        ({"token": None}, ""),
        ({"token": ["sk_"]}, ""),
        ({"token": "the application's own"}, ""),
        ({"token": "a.b.c"}, ""),  # signed tokens are not set up: it is the application's
        ({"token": f"sk_pillow-1_{SECRET}"}, f"sk_pillow-1_{SECRET}"),
        ({"token": f"sh_a1_{SECRET}", "more": 1}, f"sh_a1_{SECRET}"),
        ({"token": "sk_forged"}, "sk_forged"),
    ],
)
def test_the_token_of_a_connect_packet(auth: Any, bearer: str) -> None:
    policy, _, _ = made()
    assert policy.with_auth(Credentials(session="x"), auth).bearer == bearer
    long = policy.with_auth(Credentials(), {"token": "sk_" + "x" * MAX_TOKEN})
    assert long.problem == TOO_LONG and not long.bearer


@pytest.mark.parametrize(
    ("token", "kept"),
    [
        ("foobar", ""),
        ("a.b.c", ""),  # signed tokens are not set up
        ("sk_forged", "sk_forged"),
        (f"sh_a1_{SECRET}", f"sh_a1_{SECRET}"),
    ],
)
def test_a_viewer_may_have_a_token_of_the_application_in_its_headers(token: str, kept: str) -> None:
    policy, _, _ = made()
    assert policy.with_auth(Credentials(bearer=token), {}).bearer == kept
    assert policy.with_auth(Credentials(bearer=token), {"token": "sk_a"}).bearer == "sk_a"


SHAPES = st.sampled_from(
    [f"sk_pillow-1_{SECRET}", f"sh_a1_{SECRET}", f"s1.{SECRET}", "a.b.c", "sk_", "", "{}.{}.{}"]
)
TEXTS = st.text(st.characters(), max_size=60)


@settings(deadline=None)
@given(SHAPES, TEXTS, st.integers(0, 70))
def test_whatever_is_sent_is_a_known_one_or_refused(shape: str, noise: str, at: int) -> None:
    """Also NUL, half characters and names that a store cannot have."""
    token = shape[:at] + noise + shape[at:]
    runtime = RUNTIME
    for brought in (
        Credentials(bearer=token, local=True),
        Credentials(session=token),
        runtime.rights.policy.with_auth(Credentials(), {"token": token}),
    ):
        try:
            found = runtime.rights.policy.identify(brought)
        except NotAuthenticated:
            continue
        assert found == ANONYMOUS or (found == LOCAL and token == "")


RUNTIME = Runtime(
    Settings(
        store="memory:",
        jwt_issuer="https://id.example/",
        jwt_audience=("statecast",),
        jwt_secret="an example of thirty-two random bytes, or more",
    )
)
