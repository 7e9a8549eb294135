"""The certificate and the key of the server's TLS, read from their files and examined.

The standard library reads no dates of a certificate by itself. So the certificate is presented once
to a client in memory, which trusts it: that tells its dates, and what browsers would refuse.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from statecast.errors import BadSetting
from statecast.settings import Settings

DAY = 86_400.0
WARN_DAYS = 14
WARN_PART = 0.2
"""A certificate is due with so many days left, or this part of its life: some live for six days,
and programs that renew begin with a third of its life left."""

# https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
NOT_YET_VALID = 9
EXPIRED = 10


@dataclass(frozen=True, slots=True)
class Files:
    """Where the certificate and the key are."""

    certificate: Path
    """The chain, in PEM: the server's own certificate first."""
    key: Path


@dataclass(frozen=True, slots=True)
class LoadedCertificate:
    """A certificate that can be used, with what is to be said about it."""

    context: ssl.SSLContext
    """For new connections."""
    begins: float | None
    """Seconds since 1970; None where clients would refuse it, see ``fault``."""
    expires: float | None
    fault: str
    """The reason why clients refuse it; empty if it is good."""
    has_expired: bool

    def days_left(self, now: float) -> int | None:
        """Whole days until it expires; None if that is not known."""
        return None if self.expires is None else int((self.expires - now) // DAY)

    def lasts(self, now: float) -> str:
        """How long it can be used; only where that is known."""
        assert self.expires is not None
        left = self.days_left(now)
        days = "day" if left == 1 else "days"
        return f"The TLS certificate is valid for {left} {days}, until {_date(self.expires)}."

    def warning(self, now: float) -> str:
        """What is to be done about it, in a sentence; empty if nothing."""
        if self.has_expired or (self.expires is not None and self.expires <= now):
            return "The TLS certificate has expired, and browsers refuse it; renew it."
        if self.fault:
            return f"Browsers will refuse the TLS certificate: {self.fault}."
        if self.expires is None or self.begins is None:
            return ""
        left = self.expires - now
        if left >= min(WARN_DAYS * DAY, WARN_PART * (self.expires - self.begins)):
            return ""
        return f"The TLS certificate expires on {_date(self.expires)}, and was not renewed yet."


def files(settings: Settings) -> Files | None:
    """None without TLS. Raises BadSetting."""
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise BadSetting(
            "TLS needs the certificate and its key; set both `tls_cert` (--tls-cert) and "
            "`tls_key` (--tls-key), or neither."
        )
    if not settings.tls_cert:
        if settings.hsts_days:
            raise BadSetting(
                "Browsers take HSTS from HTTPS only; set `tls_cert` and `tls_key` too, or let your "
                "proxy send it and leave `hsts_days` out."
            )
        return None
    return Files(Path(settings.tls_cert), Path(settings.tls_key))


def refuse_expired(settings: Settings) -> None:
    """At the start, where somebody reads it. Raises BadSetting, also for files of no use."""
    found = files(settings)
    if found is not None and load(found).has_expired:
        raise BadSetting(
            f"The certificate in {found.certificate} has expired, and browsers refuse it; renew it."
        )


def load(found: Files) -> LoadedCertificate:
    """A context of its own for each certificate: one that failed half-way is thrown away.

    Raises BadSetting.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # costs the server more than the client
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(found.certificate, found.key, password=_no_password)
        return _examined(context, found.certificate)
    except ssl.SSLError as error:
        raise BadSetting(_unusable(found, error)) from None
    except OSError as error:
        raise BadSetting(_unreadable(found, error)) from None


def _examined(context: ssl.SSLContext, certificate: Path) -> LoadedCertificate:
    """What a client finds that trusts nothing but this certificate. Raises OSError."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # its issuer is unknown here
    client.load_verify_locations(certificate)
    try:
        presented = _present(context, client)
    except ssl.SSLCertVerificationError as error:
        expired = error.verify_code == EXPIRED
        fault = error.verify_message
        if error.verify_code == NOT_YET_VALID:
            fault += " (is the clock of this machine right?)"
        return LoadedCertificate(context, None, None, fault, expired)
    begins, expires = (
        float(ssl.cert_time_to_seconds(str(presented[name]))) for name in ("notBefore", "notAfter")
    )
    return LoadedCertificate(context, begins, expires, "", False)


def _present(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    """The certificate as the client sees it. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client.wrap_bio(to_client, to_server)
    answers = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (asks, answers, asks, answers, asks):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    presented: dict[str, object] = dict(asks.getpeercert() or {})
    return presented


def _no_password() -> bytes:
    """Asked for where the key is encrypted. OpenSSL itself would wait at the terminal."""
    raise BadSetting(
        "The TLS key is encrypted, and the server asks for no password when it starts; name a key "
        "without one (--tls-key)."
    )


def _unreadable(found: Files, error: OSError) -> str:
    """OpenSSL's errors name no file."""
    for file in (found.certificate, found.key):
        try:
            with file.open("rb"):
                pass
        except OSError as reason:
            return f"The TLS file {os.fspath(file)} cannot be read: {reason.strerror}."
    return f"The TLS files cannot be read: {error.strerror}."


def _unusable(found: Files, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"The key in {found.key} is not that of the certificate in {found.certificate}."
    return (
        f"{found.certificate} and {found.key} must be a certificate and its key in PEM "
        f"({error.reason or 'nothing was found in them'})."
    )


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
