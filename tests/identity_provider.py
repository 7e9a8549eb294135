"""An identity provider for tests: its keys, its tokens, and what an attacker makes of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

ISSUER, AUDIENCE = "https://id.example/", "statecast"


def encoded(value: Any) -> str:
    """One part of a token: a value as JSON, or bytes and text as they are."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changed: Any) -> dict[str, Any]:
    """Those of a good token. ``...`` removes one."""
    now = int(time.time())
    found = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600} | changed
    return {name: value for name, value in found.items() if value is not ...}


class Provider:
    """Two keys, ``r1`` for RS256 and ``e1`` for ES256."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self.ec = ec.generate_private_key(ec.SECP256R1())

    def token(
        self, algorithm: str = "RS256", key: Any = None, kid: Any = "r1", **changed: Any
    ) -> str:
        """A token as the provider makes it, or as an attacker does with the library."""
        header = {} if kid is ... else {"kid": kid}
        payload = json.dumps(claims(**changed)).encode()
        return jwt.PyJWS().encode(payload, key or self.rsa, algorithm=algorithm, headers=header)

    def jwks(self, *kinds: str) -> bytes:
        """The document with the public keys."""
        keys = [public_jwk(self.rsa, "r1"), public_jwk(self.ec, "e1")]
        return json.dumps(
            {"keys": [one for one in keys if not kinds or one["kty"] in kinds]}
        ).encode()


def public_jwk(key: PrivateKeyTypes, kid: str, **more: Any) -> dict[str, Any]:
    kinds: dict[type, Any] = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
    }
    algorithm = next(one for kind, one in kinds.items() if isinstance(key, kind))
    found: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)  # type: ignore[union-attr]
    found.pop("key_ops", None)
    return found | {"kid": kid, "use": "sig"} | more


def by_hmac(secret: bytes, header: dict[str, Any], payload: dict[str, Any], hash_: str) -> str:
    """A token signed by HMAC without the library, which refuses public keys as secrets."""
    signed = f"{encoded(header)}.{encoded(payload)}"
    digest = hmac.new(secret, signed.encode(), getattr(hashlib, hash_)).digest()
    return f"{signed}.{encoded(digest)}"
