"""The certificate in use, replaced when its files change: without a restart, without a signal.

The files are looked at for a change of their times, sizes or inodes: programs like certbot replace
a link. New files that cannot be used are reported, and the certificate in use stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time

from statecast.errors import BadSetting
from statecast.problems import Problems
from statecast.program import certificate
from statecast.program.certificate import Files, LoadedCertificate
from statecast.settings import Settings

CHECK_INTERVAL = 10.0
"""Seconds between two looks at the files."""

SUBJECT = "server"
DUE, NOT_RENEWED = "certificate-due", "certificate-not-renewed"
"""Kinds of problems."""

Fingerprint = tuple[tuple[int, int, int], ...]

log = logging.getLogger(__name__)


def from_settings(settings: Settings, problems: Problems) -> CertificateRenewal | None:
    """None without TLS. Raises BadSetting."""
    found = certificate.files(settings)
    return None if found is None else CertificateRenewal(found, problems)


class CertificateRenewal:
    """The certificate for new connections; open ones keep theirs."""

    def __init__(self, files: Files, problems: Problems) -> None:
        """Raises BadSetting."""
        self._files = files
        self._problems = problems
        self._fingerprint = self._look()
        self._current: LoadedCertificate = certificate.load(files)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def context(self) -> ssl.SSLContext:
        return self._current.context

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the files now and from now on."""
        self.renew()
        self._timer = loop.call_later(CHECK_INTERVAL, self.start, loop)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def renew(self) -> None:
        """Use the files as they are now, if they have changed and can be used."""
        fingerprint = self._look()
        if fingerprint != self._fingerprint:
            self._replace(fingerprint)
        else:
            self._problems.clear(NOT_RENEWED, SUBJECT)
            self._examine_again()
        self.report(time.time())

    def _examine_again(self) -> None:
        """A certificate that was not valid yet is so later, or once the clock was put right."""
        if self._current.fault:
            with contextlib.suppress(BadSetting):
                self._current = certificate.load(self._files)

    def _replace(self, fingerprint: Fingerprint) -> None:
        try:
            loaded = certificate.load(self._files)
            if loaded.has_expired:
                raise BadSetting(f"The certificate in {self._files.certificate} has expired.")
        except BadSetting as error:
            # The two files are written one after the other: the next look tries again.
            self._problems.report(
                NOT_RENEWED,
                SUBJECT,
                "The renewed TLS certificate cannot be used; the one before stays in use.",
                detail=str(error),
            )
            return
        self._current, self._fingerprint = loaded, fingerprint
        self._problems.clear(NOT_RENEWED, SUBJECT)
        log.info("new connections get the renewed TLS certificate")

    def report(self, now: float) -> None:
        """Say that the certificate in use expires soon, or has, or that this is over.

        ``now`` is in seconds since 1970.
        """
        sentence = self._current.warning(now)
        if not sentence:
            self._problems.clear(DUE, SUBJECT)
            return
        expired = self._current.expires is None or self._current.expires <= now
        self._problems.report(DUE, SUBJECT, sentence, severity="wrong" if expired else "notice")

    def _look(self) -> Fingerprint:
        """What changes with the files; the absence of one is a change too."""
        found = []
        for file in (self._files.certificate, self._files.key):
            try:
                status = file.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)
