"""Signed tokens: which count, and a table of those that do not."""

from __future__ import annotations

import base64
import json
import re
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask

from statecast import Statecast
from statecast.access.credentials import MAX_TOKEN, TOO_LONG, Credentials
from statecast.access.identity import Identity
from statecast.access.policy import AccessPolicy, Rules
from statecast.access.signed_tokens import NO_KEY, SENTENCES, WRONG
from statecast.access.token_rules import TokenRules, check
from statecast.access.token_verifier import open_verifier
from statecast.errors import BadSetting, NotAuthenticated
from statecast.flask import runtime_of
from statecast.http import credentials
from statecast.http.head import RequestHead
from statecast.model import Change
from statecast.problems import Problems
from statecast.settings import Settings
from tests.identity_provider import AUDIENCE, ISSUER, Provider, by_hmac, claims, encoded, public_jwk

PROVIDER, ATTACKER = Provider(), Provider()
SECRET = "an example of thirty-two random bytes, or more"
NOW, YEARS = int(time.time()), 10**8
"""The time at the import, and seconds: a test may run long after it."""
LEEWAY = 30.0


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("provider") / "jwks.json"
    path.write_bytes(PROVIDER.jwks())
    return path


def rules(keys: Path | None, **changed: Any) -> TokenRules:
    by = {"jwks": str(keys)} if keys else {"secret": SECRET}
    return TokenRules(
        **({"issuer": ISSUER, "audience": (AUDIENCE,), "leeway": LEEWAY} | by | changed)
    )


class Refusals:
    """A policy that trusts the provider, and what it logs."""

    def __init__(self, token_rules: TokenRules) -> None:
        self.notes: list[tuple[str, str]] = []
        self.policy = AccessPolicy(
            Rules(),
            lambda: pytest.fail("a signed token needs no record"),
            lambda: NOW * 1000,
            verifier=open_verifier(token_rules, Problems()),
            note=lambda address, sentence: self.notes.append((address, sentence)),
        )

    def identify(self, bearer: str, address: str = "192.0.2.1") -> Identity:
        return self.policy.identify(Credentials(local=True, bearer=bearer, address=address))

    def identify_sent(self, token: str) -> Identity:
        """The token as a client sends it."""
        field = b"Bearer " + token.encode("utf-8", "surrogatepass")
        head = RequestHead("GET", "/", b"", {b"authorization": (field,)}, secure=True)
        return self.policy.identify(credentials.of_head(head, "192.0.2.1"))


# Tokens that count


@pytest.mark.parametrize(
    ("token", "found"),
    [
        (
            lambda: PROVIDER.token(exp=NOW + YEARS),
            Identity("token", "ada", expires_at=(NOW + YEARS + 30) * 1000),
        ),
        (
            lambda: PROVIDER.token(
                "ES256", PROVIDER.ec, "e1", exp=NOW + YEARS, groups=["b", "a", "b"]
            ),
            Identity("token", "ada", ("a", "b"), expires_at=(NOW + YEARS + 30) * 1000),
        ),
        (
            lambda: PROVIDER.token(aud=["other", AUDIENCE], exp=NOW + YEARS),
            Identity("token", "ada", expires_at=(NOW + YEARS + 30) * 1000),
        ),
        (lambda: PROVIDER.token(groups="b a"), ("a", "b")),
        (lambda: PROVIDER.token(groups=["a", 5, "", None, "x" * 257, "b\n"]), ("a",)),
        (
            lambda: PROVIDER.token(groups=[f"{n:03}" for n in range(300)]),
            tuple(f"{n:03}" for n in range(200)),
        ),
        (lambda: PROVIDER.token(groups={"a": 1}), ()),
        (lambda: PROVIDER.token(nbf=NOW + 5), ()),
        (lambda: PROVIDER.token(exp=10**15), ()),
    ],
)
def test_a_good_token_names_the_user(
    keys_file: Path, token: Callable[[], str], found: Identity | tuple[str, ...]
) -> None:
    server = Refusals(rules(keys_file))
    one = server.identify_sent(token())
    assert (one if isinstance(found, Identity) else one.groups) == found
    assert one.name == "ada" and one.expires_at is not None and not server.notes


@pytest.mark.parametrize(
    ("user", "groups", "more", "found"),
    [
        ("oid", "roles", {"oid": "5-6", "roles": ["a"]}, ("5-6", ("a",))),
        ("sub", "realm_access.roles", {"realm_access": {"roles": ["a"]}}, ("ada", ("a",))),
        ("sub", "https://a.example/roles", {"https://a.example/roles": ["a"]}, ("ada", ("a",))),
        ("sub", "realm_access.roles", {"realm_access": ["roles"]}, ("ada", ())),
        ("sub", "realm_access.roles", {}, ("ada", ())),
    ],
)
def test_the_settings_say_which_claims_name_user_and_groups(
    keys_file: Path, user: str, groups: str, more: dict[str, Any], found: Any
) -> None:
    server = Refusals(rules(keys_file, user_claim=user, groups_claim=groups))
    one = server.identify(PROVIDER.token(**more))
    assert (one.name, one.groups) == found


def test_clocks_may_differ_by_the_leeway(keys_file: Path) -> None:
    server = Refusals(rules(keys_file, leeway=2 * YEARS))
    assert server.identify(PROVIDER.token(exp=NOW - YEARS, iat=NOW - YEARS)).name == "ada"
    assert server.identify(PROVIDER.token(nbf=NOW + YEARS, iat=NOW + YEARS)).name == "ada"
    with pytest.raises(NotAuthenticated, match="expired"):
        server.identify(PROVIDER.token(exp=NOW - 3 * YEARS))


def test_the_only_key_needs_no_id(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(PROVIDER.jwks("RSA"))
    assert Refusals(rules(path)).identify(PROVIDER.token(kid=...)).name == "ada"


def test_a_shared_secret() -> None:
    server = Refusals(rules(None))
    assert server.identify(PROVIDER.token("HS256", SECRET, ...)).name == "ada"
    assert server.identify(PROVIDER.token("HS256", SECRET, "any")).name == "ada"


# Tokens that do not


def forged(header: Any, payload: Any = None, signature: Any = b"x" * 256) -> str:
    return f"{encoded(header)}.{encoded(payload or claims())}.{encoded(signature)}"


def changed(part: int, value: str) -> str:
    parts = PROVIDER.token().split(".")
    parts[part] = value
    return ".".join(parts)


def public(encoding: Encoding, key: Any = PROVIDER.rsa) -> bytes:
    found: bytes = key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    return found


def by_public(secret: bytes, kid: str = "r1", algorithm: str = "HS256") -> str:
    header = {"alg": algorithm, "typ": "JWT", "kid": kid}
    return by_hmac(secret, header, claims(), algorithm.replace("HS", "sha"))


def by_attacker(**header: Any) -> str:
    return by_key(ATTACKER.rsa, {"alg": "RS256", "kid": "r1"} | header)


def by_key(key: Any, header: dict[str, Any]) -> str:
    """Signed by the library, with the header of the attacker."""
    return jwt.encode(claims(), key, algorithm=header["alg"], headers=header)


def flipped(token: str) -> str:
    head, payload, signature = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[0] ^= 1
    return f"{head}.{payload}.{encoded(bytes(raw))}"


def der(token: str) -> str:
    """An ES256 signature in the form of certificates."""
    head, payload, signature = token.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    numbers = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    return f"{head}.{payload}.{encoded(encode_dss_signature(*numbers))}"


def other_curve() -> str:
    return PROVIDER.token("ES384", ec.generate_private_key(ec.SECP384R1()), "e1")


def claimed(**different: Any) -> Callable[[], str]:
    """A token that the provider has signed, with other claims."""
    return lambda: PROVIDER.token(**different)


R1 = {"alg": "RS256", "kid": "r1"}
EXPIRED, EARLY, AUDIENCES, ISSUERS, LACKING = SENTENCES.values()
NO_USER = "names no user"
KINDS: dict[str, tuple[Callable[[], str], str]] = {
    # the algorithm
    "none without a signature": (lambda: forged({"alg": "none", "kid": "r1"}, signature=b""), ""),
    "none with a signature": (lambda: forged({"alg": "none", "kid": "r1"}), WRONG),
    "none without a key id": (lambda: forged({"alg": "none"}), NO_KEY),
    "None": (lambda: forged({"alg": "None", "kid": "r1"}), WRONG),
    "NONE": (lambda: forged({"alg": "NONE", "kid": "r1"}), WRONG),
    "nOnE": (lambda: forged({"alg": "nOnE", "kid": "r1"}), WRONG),
    "no algorithm": (lambda: forged({"kid": "r1"}), WRONG),
    "null as algorithm": (lambda: forged({"alg": None, "kid": "r1"}), WRONG),
    "a list as algorithm": (lambda: forged({"alg": ["RS256"], "kid": "r1"}), WRONG),
    "the algorithm in lower case": (
        lambda: changed(0, encoded({"alg": "rs256", "kid": "r1"})),
        WRONG,
    ),
    # key confusion
    "HS256 by the public key": (lambda: by_public(public(Encoding.PEM)), WRONG),
    "HS256 by the key without its last line": (
        lambda: by_public(public(Encoding.PEM).strip()),
        WRONG,
    ),
    "HS256 by the key in binary": (lambda: by_public(public(Encoding.DER)), WRONG),
    "HS256 by the modulus": (
        lambda: by_public(public_jwk(PROVIDER.rsa, "r1")["n"].encode()),
        WRONG,
    ),
    "HS256 by the document of keys": (lambda: by_public(PROVIDER.jwks()), WRONG),
    "HS256 by the key for ES256": (
        lambda: by_public(public(Encoding.PEM, PROVIDER.ec), "e1"),
        WRONG,
    ),
    "HS256 by nothing": (lambda: by_public(b""), WRONG),
    "HS256 by the issuer": (lambda: by_public(ISSUER.encode()), WRONG),
    "HS256 by the key id": (lambda: by_public(b"r1"), WRONG),
    "HS384 by the public key": (lambda: by_public(public(Encoding.PEM), algorithm="HS384"), WRONG),
    "HS512 by the public key": (lambda: by_public(public(Encoding.PEM), algorithm="HS512"), WRONG),
    "RS384 by the right key": (lambda: by_key(PROVIDER.rsa, R1 | {"alg": "RS384"}), WRONG),
    "RS512 by the right key": (lambda: by_key(PROVIDER.rsa, R1 | {"alg": "RS512"}), WRONG),
    "PS256 by the right key": (lambda: by_key(PROVIDER.rsa, R1 | {"alg": "PS256"}), WRONG),
    "ES256 with the id of another kind": (
        lambda: PROVIDER.token("ES256", PROVIDER.ec, "r1"),
        WRONG,
    ),
    "RS256 with the id of another kind": (lambda: PROVIDER.token(kid="e1"), WRONG),
    "ES384": (other_curve, WRONG),
    "EdDSA": (lambda: PROVIDER.token("EdDSA", ed25519.Ed25519PrivateKey.generate()), WRONG),
    # other keys
    "another RSA key": (by_attacker, WRONG),
    "another EC key": (lambda: ATTACKER.token("ES256", ATTACKER.ec, "e1"), WRONG),
    "a key in the token": (lambda: by_attacker(jwk=public_jwk(ATTACKER.rsa, "r1")), WRONG),
    "an address of keys": (lambda: by_attacker(jku="https://evil.example/jwks"), WRONG),
    "an address of certificates": (lambda: by_attacker(x5u="https://evil.example/"), WRONG),
    "a certificate in the token": (lambda: by_attacker(x5c=["MIIB"]), WRONG),
    "an unknown key id": (lambda: by_attacker(kid="other"), NO_KEY),
    "no key id where there are two": (lambda: PROVIDER.token(kid=...), NO_KEY),
    "a path as key id": (lambda: by_public(b"", "../../../../dev/null"), NO_KEY),
    "SQL as key id": (lambda: by_public(b"x", "' UNION SELECT 'x"), NO_KEY),
    "an empty key id": (lambda: changed(0, encoded(R1 | {"kid": ""})), WRONG),
    "a number as key id": (lambda: changed(0, encoded(R1 | {"kid": 1})), WRONG),
    "a list as key id": (lambda: changed(0, encoded(R1 | {"kid": ["r1"]})), WRONG),
    "a long key id": (lambda: by_attacker(kid="r" * 257), WRONG),
    "a critical extension": (lambda: by_key(PROVIDER.rsa, R1 | {"crit": ["exp"], "exp": 1}), WRONG),
    "an unencoded payload": (lambda: changed(0, encoded(R1 | {"b64": False})), WRONG),
    # the signature
    "a changed signature": (lambda: flipped(PROVIDER.token()), WRONG),
    "half a signature": (lambda: PROVIDER.token()[:-170], WRONG),
    "no signature": (lambda: changed(2, ""), WRONG),
    "a signature of zeros": (
        lambda: forged({"alg": "ES256", "kid": "e1"}, signature=bytes(64)),
        WRONG,
    ),
    "a signature in DER": (lambda: der(PROVIDER.token("ES256", PROVIDER.ec, "e1")), WRONG),
    "the signature of another token": (
        lambda: changed(2, PROVIDER.token(sub="eve").split(".")[2]),
        WRONG,
    ),
    "a changed payload": (lambda: changed(1, encoded(claims(sub="eve"))), WRONG),
    "a changed header": (lambda: changed(0, encoded(R1 | {"typ": "at+jwt"})), WRONG),
    # what it says
    "expired": (claimed(exp=NOW - 600, iat=NOW - 900), EXPIRED),
    "expired beyond the leeway": (claimed(exp=NOW - 60, iat=NOW - 90), EXPIRED),
    "expired in 1970": (claimed(exp=0), EXPIRED),
    "expires never": (claimed(exp=...), LACKING),
    "expires at null": (claimed(exp=None), LACKING),
    "expires at a word": (claimed(exp="soon"), WRONG),
    "expires at no number": (claimed(exp=float("nan")), WRONG),
    "expires at infinity": (claimed(exp=float("inf")), WRONG),
    "expires at a list": (claimed(exp=[NOW + YEARS]), WRONG),
    "not valid yet": (claimed(nbf=NOW + YEARS), EARLY),
    "made tomorrow": (claimed(iat=NOW + 86_400), EARLY),
    "for another program": (claimed(aud="other"), AUDIENCES),
    "for several other programs": (claimed(aud=["other", "statecast2"]), AUDIENCES),
    "for no program": (claimed(aud=...), LACKING),
    "for an empty list": (claimed(aud=[]), LACKING),
    "for a number": (claimed(aud=5), AUDIENCES),
    "for a list with a number": (claimed(aud=[5, "statecast"]), AUDIENCES),
    "for a program in other letters": (claimed(aud="Statecast"), AUDIENCES),
    "of another issuer": (claimed(iss="https://evil.example/"), ISSUERS),
    "of an issuer without its slash": (claimed(iss=ISSUER.rstrip("/")), ISSUERS),
    "of an issuer with more": (claimed(iss=ISSUER + ".evil.example"), ISSUERS),
    "of no issuer": (claimed(iss=...), LACKING),
    "of a list of issuers": (claimed(iss=[ISSUER]), ISSUERS),
    "of no user": (claimed(sub=...), NO_USER),
    "of an empty user": (claimed(sub=""), NO_USER),
    "of a user with a line break": (claimed(sub="ada\noperator"), NO_USER),
    "of a user of 257 characters": (claimed(sub="a" * 257), NO_USER),
    # the form
    "two parts": (lambda: PROVIDER.token().rpartition(".")[0], ""),
    "four parts": (lambda: PROVIDER.token() + ".x", ""),
    "an encrypted token": (lambda: "a.b.c.d.e", ""),
    "dots": (lambda: "..", ""),
    "padding": (lambda: PROVIDER.token() + "==", WRONG),
    "other base64": (lambda: changed(2, PROVIDER.token().split(".")[2][:-1] + "+"), WRONG),
    "a space": (lambda: PROVIDER.token().replace(".", ". ", 1), ""),
    "a line break": (lambda: PROVIDER.token() + "\n.", ""),
    "a NUL": (lambda: PROVIDER.token().replace(".", "\0.", 1), ""),
    "no ASCII": (lambda: PROVIDER.token().replace(".", "é.", 1), ""),
    "half a character": (lambda: PROVIDER.token() + "\ud800", ""),
    "a header that is no JSON": (lambda: changed(0, encoded("{alg")), WRONG),
    "a header that is no text": (lambda: changed(0, encoded(b"\xff\xfe")), WRONG),
    "a header that is a list": (lambda: changed(0, encoded([R1])), WRONG),
    "a header of depth": (lambda: changed(0, encoded("[" * 3_000)), WRONG),
    "a header that says it twice": (
        lambda: changed(0, encoded('{"alg":"RS256","alg":"none","kid":"r1"}')),
        WRONG,
    ),
    "a payload that is no JSON": (lambda: changed(1, encoded("{sub")), WRONG),
    "huge": (lambda: PROVIDER.token(more="x" * MAX_TOKEN), TOO_LONG),
    "huge and nothing else": (lambda: "a." + "b" * MAX_TOKEN + ".c", TOO_LONG),
}


def test_there_are_sixty_kinds() -> None:
    assert len(KINDS) >= 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_of_this_kind_is_refused_with_one_line_of_the_log(
    keys_file: Path, kind: str
) -> None:
    make, expected = KINDS[kind]
    server, token = Refusals(rules(keys_file)), make()
    # When it is sent, or comes in a connect packet
    for identify in (server.identify_sent, server.identify):
        server.notes.clear()
        with pytest.raises(NotAuthenticated) as refused:
            identify(token)
        # Then one line says why, without the token and what is in it
        assert [address for address, _ in server.notes] == ["192.0.2.1"]
        line = server.notes[0][1]
        assert line == str(refused.value) and (expected in line)
        assert not any(part in line for part in token.split(".") if len(part) > 3)
        assert "evil" not in line and "operator" not in line


@pytest.mark.parametrize("kind", ["RS256", "none", "another secret", "HS384", "public key"])
def test_a_shared_secret_does_not_make_other_tokens_good(kind: str) -> None:
    token = {
        "RS256": lambda: PROVIDER.token(),
        "none": lambda: forged({"alg": "none"}),
        "another secret": lambda: PROVIDER.token("HS256", SECRET + "!", ...),
        "HS384": lambda: PROVIDER.token("HS384", SECRET + "..", ...),
        "public key": lambda: by_public(public(Encoding.PEM)),
    }[kind]()
    with pytest.raises(NotAuthenticated, match=WRONG):
        Refusals(rules(None)).identify(token)


def test_a_token_is_refused_where_none_is_trusted() -> None:
    server = Refusals(TokenRules())
    with pytest.raises(NotAuthenticated):
        server.identify(PROVIDER.token())


# Over HTTP


@pytest.fixture(scope="module")
def app(keys_file: Path) -> Iterator[Flask]:
    app = Flask("host")
    Statecast(
        app,
        store="memory:",
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        jwt_jwks=str(keys_file),
        rights={"user:ada": {"pillow": "read"}},
    )
    yield app
    runtime_of(app).stop()


NO_FIELD = {"a line break", "a NUL"}
"""Kinds of which no server makes a field."""


@pytest.mark.parametrize(
    ("number", "kind"), list(enumerate(kind for kind in KINDS if kind not in NO_FIELD))
)
def test_each_kind_is_refused_by_rest_with_401(
    app: Flask, number: int, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = KINDS[kind][0]()
    field = token.encode("utf-8", "replace").decode("latin-1")
    # When it is sent by a client of its own address
    answer = app.test_client().get(
        "/api/devices",
        headers={"Authorization": f"Bearer {field}"},
        environ_overrides={"REMOTE_ADDR": f"192.0.2.{number}"},
    )
    # Then the answer says why, and so does one line, and neither has the token
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["WWW-Authenticate"]
    (line,) = [one.getMessage() for one in caplog.records]
    assert f"192.0.2.{number}: {answer.get_json()['detail']}" in line
    for part in token.split("."):
        assert len(part) < 4 or part not in line + answer.get_data(as_text=True)


def test_a_good_token_reads_what_the_table_says(app: Flask) -> None:
    runtime = runtime_of(app)
    for device in ("pillow", "lamp"):
        runtime.store.edit(Change(device, "merge", {"n": 1}))
    headers = {"Authorization": f"Bearer {PROVIDER.token()}"}
    client = app.test_client()
    found = client.get("/api/devices", headers=headers).get_json()
    assert [one["device"] for one in found["devices"]] == ["pillow"]
    other = {"Authorization": f"Bearer {PROVIDER.token(sub='eve')}"}
    assert client.get("/api/devices/pillow", headers=other).status_code in (403, 404)
    # and it is never taken from an address
    outside = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.1"}}
    for name in ("token", "access_token", "authorization", "bearer", "jwt"):
        path = f"/api/devices/pillow?{name}={PROVIDER.token()}"
        assert client.get(path, **outside).status_code in (400, 401)  # type: ignore[arg-type]


# The settings


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (rules(None, issuer=""), "need jwt_issuer and jwt_audience"),
        (rules(None, audience=()), "need jwt_issuer and jwt_audience"),
        (rules(None, jwks="https://id.example/keys"), "set one of the two"),
        (TokenRules(issuer=ISSUER, audience=("a",)), "set one of the two"),
        (TokenRules(jwks="keys.json"), "need jwt_issuer and jwt_audience"),
        (rules(None, algorithms=("RS256",)), "jwt_algorithms RS256 does not fit"),
        (rules(Path("keys.json"), algorithms=("HS256", "RS256")), "jwt_algorithms HS256 does not"),
        (rules(None, secret="s" * 31), "at least 32 random bytes"),
        (rules(None, secret="s" * 64), "at least 32 random bytes"),
        (rules(None, secret="secretsecretsecretsecretsecretsecret"), "at least 32 random bytes"),
        (rules(None, secret=public(Encoding.PEM).decode()), "use jwt_jwks"),
        (rules(None, secret="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ"), "use jwt_jwks"),
    ],
)
def test_settings_that_trust_too_much_or_nothing(given: TokenRules, sentence: str) -> None:
    with pytest.raises(BadSetting, match=sentence) as refused:
        open_verifier(given, Problems())
    assert given.secret == "" or given.secret not in str(refused.value) + repr(given)


def test_without_the_library_a_sentence_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "statecast.access.signed_tokens", None)
    with pytest.raises(BadSetting, match=r"Signed tokens need PyJWT: pip install .*tokens"):
        open_verifier(rules(None), Problems())


def test_no_keys_in_the_document_that_are_unsafe(tmp_path: Path) -> None:
    # Given keys that are too short, private, for encryption, of another curve, or shared secrets
    short = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
    curve = ec.generate_private_key(ec.SECP384R1())
    good = public_jwk(PROVIDER.rsa, "good")
    document = {
        "keys": [
            public_jwk(short, "short"),
            public_jwk(curve, "curve"),
            public_jwk(PROVIDER.rsa, "encryption", use="enc"),
            public_jwk(PROVIDER.rsa, "other-algorithm", alg="PS256"),
            public_jwk(PROVIDER.rsa, "private", d="AQAB"),
            {"kty": "oct", "kid": "shared", "k": encoded(SECRET)},
            {"kty": "RSA", "kid": "empty"},
            {"kty": "RSA", "kid": "odd", "n": 5, "e": "AQAB"},
            {"kty": 5, "kid": "odder"},
            "text",
            good,
        ]
    }
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(document))
    server = Refusals(rules(path))
    # Then only the good one counts, and tokens by the others are refused
    assert server.identify(PROVIDER.token(kid="good")).name == "ada"
    for kid in ("encryption", "other-algorithm", "private", "short", "curve", "empty", "odd"):
        with pytest.raises(NotAuthenticated, match=NO_KEY):
            server.identify(PROVIDER.token(kid=kid))
    with pytest.raises(NotAuthenticated, match=NO_KEY):
        server.identify(PROVIDER.token("HS256", SECRET, "shared"))


def test_the_settings_of_the_how_to_are_complete() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "identity-provider.md"
    blocks = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    found = [Settings(**tomllib.loads(block)) for block in blocks]
    tokens = [one for one in found if one.jwt_issuer]
    assert (
        tokens and any(one.rights for one in found) and any(one.proxy_user_header for one in found)
    )
    for one in tokens:
        check(TokenRules(one.jwt_issuer, one.jwt_audience, one.jwt_jwks, one.jwt_secret))
