"""HTTPS without a proxy: what is served, who is counted before a handshake, and renewal."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import RawResponse, get, serving
from websockets.sync.client import connect

from certificates import write_certificate
from statecast.cli.destination import ServerDestination
from statecast.diagnostics import check_certificate
from statecast.errors import BadSetting, SourceUnavailable
from statecast.http.throttled_log import ThrottledLog
from statecast.model import Change
from statecast.problems import Problems
from statecast.program import certificate
from statecast.program.certificate import Files
from statecast.server import certificate_renewal, exposure
from statecast.server.certificate_renewal import CertificateRenewal
from statecast.server.server import BackgroundServer
from statecast.settings import Settings
from waiting import wait_for

SCHEME = "wsgi.url_scheme"


def scheme_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Length", str(len(environ[SCHEME])))])
    return [environ[SCHEME].encode()]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(files: tuple[Path, Path]) -> Iterator[BackgroundServer]:
    certificate, key = map(str, files)
    with serving(scheme_app, tls_cert=certificate, tls_key=key, header_bytes=2_048) as running:
        ask(running, files, get())  # with its first connection uvloop opens a file of its own
        yield running


def peer(server: BackgroundServer) -> socket.socket:
    host, _, port = server.address.removeprefix("https://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def trusting(files: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files[0]))


def read_all(connection: socket.socket) -> bytes:
    received = bytearray()
    while piece := connection.recv(65_536):
        received += piece
    return bytes(received)


def ask(server: BackgroundServer, files: tuple[Path, Path], request: bytes) -> RawResponse:
    with trusting(files).wrap_socket(peer(server), server_hostname="127.0.0.1") as connection:
        connection.sendall(request)
        return RawResponse(read_all(connection))


def ask_plainly(server: BackgroundServer, request: bytes) -> RawResponse:
    with peer(server) as connection:
        connection.sendall(request)
        return RawResponse(read_all(connection))


def test_an_app_is_served_by_https(server: BackgroundServer, files: tuple[Path, Path]) -> None:
    assert server.address.startswith("https://127.0.0.1:")

    answer = ask(server, files, get())

    assert (answer.status, answer.body) == (200, b"https")
    assert "strict-transport-security" not in answer.headers


def test_a_viewer_is_live_by_https(server: BackgroundServer, files: tuple[Path, Path]) -> None:
    server.runtime.store.edit(Change("pillow", "merge", {"mood": "happy"}))
    url = f"wss{server.address.removeprefix('https')}/socket.io/?EIO=4&transport=websocket"

    # Given a page of the same origin
    with connect(url, ssl=trusting(files), origin=server.address) as viewer:  # type: ignore[arg-type]
        assert str(viewer.recv()).startswith("0{")
        viewer.send("40")
        assert str(viewer.recv()).startswith("40")

        # When it watches, then it has the state
        viewer.send('42["watch",{"devices":["pillow"]}]')
        said = next(text for text in map(str, viewer) if text.startswith('42["states"'))
        assert json.loads(said[2:])[1]["states"][0]["state"] == {"mood": "happy"}


def test_events_are_read_by_https(server: BackgroundServer, files: tuple[Path, Path]) -> None:
    server.runtime.store.edit(Change("door", "merge", {"open": True}))
    with trusting(files).wrap_socket(peer(server), server_hostname="127.0.0.1") as connection:
        connection.sendall(get(b"/events?device=door"))
        received = b""
        while b'"open":true' not in received:
            piece = connection.recv(65_536)
            assert piece, received
            received += piece
    assert received.startswith(b"HTTP/1.1 200 OK")


def test_long_polling_by_https(server: BackgroundServer, files: tuple[Path, Path]) -> None:
    opened = ask(server, files, get(b"/socket.io/?EIO=4&transport=polling"))
    assert opened.body.startswith(b"0{") and b'"upgrades":["websocket"]' in opened.body


def test_a_page_of_plain_http_is_another_origin(
    server: BackgroundServer, files: tuple[Path, Path]
) -> None:
    request = (
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    host = server.address.removeprefix("https://").encode()

    assert ask(server, files, request % (host, host)).status == 403


def test_old_versions_of_tls_are_refused(
    server: BackgroundServer, files: tuple[Path, Path]
) -> None:
    context = trusting(files)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # or OpenSSL refuses to try
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is the point
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with peer(server) as connection, pytest.raises(ssl.SSLError):
        context.wrap_socket(connection, server_hostname="127.0.0.1")


PLAIN = {
    "a page": (get(b"/devices/a?b=c"), 307),
    "an absolute URL": (get(b"http://localhost/x"), 307),
    "a head": (get(method=b"HEAD"), 307),
    "a foreign name": (get().replace(b"localhost", b"evil.example"), 421),
    "a name that splits the header": (get().replace(b"localhost", b"localhost\rx"), 400),
    "a program that writes": (get(method=b"POST", more=b"Content-Length: 0\r\n"), 400),
    "no host": (b"GET / HTTP/1.0\r\n\r\n", 400),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", 400),
    "a head without an end": (b"GET / HTTP/1.1\r\nX: " + b"x" * 3_000, 400),
}


@pytest.mark.parametrize("case", PLAIN)
def test_plain_http_is_sent_to_https(server: BackgroundServer, case: str) -> None:
    request, status = PLAIN[case]

    answer = ask_plainly(server, request)

    assert answer.status == status
    if status == 307:
        path = {"a page": "/devices/a?b=c", "an absolute URL": "/x", "a head": "/"}[case]
        assert answer.headers["location"] == f"https://localhost{path}"
    else:
        assert "location" not in answer.headers


def test_connections_count_before_their_handshake(files: tuple[Path, Path]) -> None:
    # Given a server that holds two connections, and two that never begin
    certificate, key = map(str, files)
    with serving(tls_cert=certificate, tls_key=key, max_connections=2) as server:
        limiter = server.server.limiter
        with peer(server) as one, peer(server) as other:
            wait_for(lambda: limiter.total == 2)
            other.sendall(b"\x16\x03")  # half a handshake

            # When a third comes, then it is closed at once
            with peer(server) as third:
                assert third.recv(1) == b""

            # And when one leaves, there is room again
            one.close()
            wait_for(lambda: limiter.total == 1)
            assert ask(server, files, get()).status == 200
        wait_for(lambda: limiter.total == 0)
        assert not limiter.per_address


@pytest.fixture(scope="module")
def impatient(files: tuple[Path, Path]) -> Iterator[BackgroundServer]:
    certificate, key = map(str, files)
    with serving(tls_cert=certificate, tls_key=key, header_timeout=0.2) as running:
        ask(running, files, get())  # as above
        yield running


@pytest.mark.parametrize("begun", [b"", b"\x16", b"\x16\x03\x01", b"GET /"])
def test_who_does_not_go_on_is_closed(
    impatient: BackgroundServer, caplog: pytest.LogCaptureFixture, begun: bytes
) -> None:
    impatient.server.hub.throttled_log = impatient_log = ThrottledLog()
    impatient.server.http_limits.warn = lambda *told: impatient_log.warning(*told, time.monotonic())
    with peer(impatient) as connection:
        connection.sendall(begun)
        assert read_all(connection) == b""
    wait_for(lambda: impatient.server.limiter.total == 0)
    assert caplog.text.count("Its TLS handshake did not come within 0.2 seconds.") == 1
    assert len(caplog.records) == 1


LEAVING = {
    "at once": (b"", 0),
    "in a handshake": (b"\x16\x03\x01", 0),
    "after garbage": (b"\x16garbage that is no handshake", 1),
}


@pytest.mark.parametrize("case", LEAVING)
def test_who_leaves_is_forgotten(
    impatient: BackgroundServer, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    begun, lines = LEAVING[case]
    with peer(impatient) as connection:
        connection.sendall(begun)
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)
    wait_for(lambda: impatient.server.limiter.total == 0)
    assert caplog.text.count("Its TLS handshake failed") == lines == len(caplog.records)


def serial_of(server: BackgroundServer) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(peer(server), server_hostname="127.0.0.1") as connection:
        presented = connection.getpeercert(binary_form=True)
        assert presented is not None
        return ssl.DER_cert_to_PEM_cert(presented)


def test_a_renewed_certificate_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a server that has served with a certificate
    monkeypatch.setattr(certificate_renewal, "CHECK_INTERVAL", 0.02)
    files = write_certificate(tmp_path)
    first = files[0].read_text()
    with serving(tls_cert=str(files[0]), tls_key=str(files[1])) as server:
        assert serial_of(server) == first

        # When only its half is replaced, then it stays, and the log says why once
        new = tmp_path / "new"
        new.mkdir()
        renewed = write_certificate(new, serial=2)
        shutil.copy(renewed[0], files[0])
        wait_for(lambda: "is not that of the certificate" in caplog.text)
        assert serial_of(server) == first

        # And when the other half follows, new connections have it
        shutil.copy(renewed[1], files[1])
        wait_for(lambda: serial_of(server) == renewed[0].read_text())
        assert caplog.text.count("is not that of the certificate") == 1


def test_a_certificate_that_is_gone_stays_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = write_certificate(tmp_path)
    made = CertificateRenewal(Files(*files), Problems())
    before = made.context

    files[0].unlink()
    made.renew()
    made.renew()

    assert made.context is before
    assert caplog.text.count("the one before stays in use") == 1


def test_browsers_may_be_told_to_stay_with_https(files: tuple[Path, Path]) -> None:
    certificate, key = map(str, files)
    with serving(tls_cert=certificate, tls_key=key, hsts_days=1) as server:
        found = ask(server, files, get()).headers

    assert found["strict-transport-security"] == "max-age=86400"


def wrong_files(folder: Path, case: str) -> tuple[str, str]:
    certificate, key = write_certificate(
        folder,
        password=b"x" if case == "encrypted" else None,
        days=(-9, -1) if case == "expired" else (-1, 1),
    )
    if case == "no key":
        return str(certificate), ""
    if case == "no certificate":
        return "", str(key)
    if case == "absent":
        return str(folder / "absent.pem"), str(key)
    if case == "swapped":
        return str(key), str(certificate)
    if case == "text":
        certificate.write_text("hello")
    if case == "another's key":
        other = folder / "other"
        other.mkdir()
        key = write_certificate(other)[1]
    return str(certificate), str(key)


SENTENCES = {
    "no key": "TLS needs the certificate and its key; set both",
    "no certificate": "TLS needs the certificate and its key; set both",
    "absent": "absent.pem cannot be read: No such file or directory.",
    "swapped": "must be a certificate and its key in PEM",
    "text": "must be a certificate and its key in PEM",
    "another's key": "is not that of the certificate in",
    "encrypted": "The TLS key is encrypted",
    "expired": "has expired, and browsers refuse it; renew it.",
}


@pytest.mark.parametrize("case", SENTENCES)
def test_what_cannot_be_used_is_said_at_the_start(tmp_path: Path, case: str) -> None:
    cert, key = wrong_files(tmp_path, case)

    with pytest.raises(BadSetting) as refused:
        certificate.refuse_expired(Settings(store="memory:", tls_cert=cert, tls_key=key))

    assert SENTENCES[case] in str(refused.value)


DOCTOR = {
    "good": ("good", "is valid for 20 days, until "),
    "due": ("notice", ", and was not renewed yet."),
    "expired": ("wrong", "The TLS certificate has expired, and browsers refuse it; renew it."),
    "of tomorrow": ("wrong", "(is the clock of this machine right?)."),
    "absent": ("wrong", "absent.pem cannot be read: No such file or directory."),
}


@pytest.mark.parametrize("case", DOCTOR)
def test_the_doctor_looks_at_the_certificate(tmp_path: Path, case: str) -> None:
    ages = {"due": (-80, 1.5), "expired": (-9, -1), "of tomorrow": (1, 9)}
    cert, key = write_certificate(tmp_path, days=ages.get(case, (-1, 20.5)))
    name = "absent.pem" if case == "absent" else cert.name

    [line] = check_certificate(
        Settings(tls_cert=str(tmp_path / name), tls_key=str(key)), time.time()
    )

    assert (line.about, line.verdict) == ("certificate", DOCTOR[case][0])
    assert DOCTOR[case][1] in line.sentence
    assert not list(check_certificate(Settings(), time.time()))


def test_a_program_is_told_whom_it_does_not_trust(
    server: BackgroundServer, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"device": "pillow", "state": {"mood": "calm"}}'
    with pytest.raises(SourceUnavailable, match=r"is not trusted here .*SSL_CERT_FILE"):
        ServerDestination(server.address).add(body)

    # And with the authority named, its message gets to the app
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    with pytest.raises(SourceUnavailable, match="cannot be reached"):  # the app says no JSON
        ServerDestination(server.address).add(body)


def test_hsts_needs_tls() -> None:
    with pytest.raises(BadSetting, match="HTTPS only"):
        certificate.refuse_expired(Settings(store="memory:", hsts_days=1))


LIFE = {
    "new": ((-1, 89), 88, ""),
    "due": ((-77, 13.5), 13, "The TLS certificate expires on "),
    "short, in its middle": ((-3, 3.5), 3, ""),
    "short, and due": ((-5, 1.1), 1, "The TLS certificate expires on "),
    "expired": ((-9, -1), None, "The TLS certificate has expired"),
    "of tomorrow": ((1, 9), None, "Browsers will refuse the TLS certificate: certificate is not"),
}


@pytest.mark.parametrize("case", LIFE)
def test_how_long_a_certificate_lasts(tmp_path: Path, case: str) -> None:
    days, left, warning = LIFE[case]

    loaded = certificate.load(Files(*write_certificate(tmp_path, days=days)))

    assert loaded.days_left(time.time()) == left
    found = loaded.warning(time.time())
    assert found.startswith(warning) and bool(found) == bool(warning)


def test_a_certificate_expires_while_it_is_in_use(tmp_path: Path) -> None:
    problems = Problems()
    files = write_certificate(tmp_path, days=(-3, 3))
    made = CertificateRenewal(Files(*files), problems)
    start = time.time()

    def told(days: float) -> list[tuple[str, str]]:
        made.report(start + days * certificate.DAY)
        return [(one.severity, one.sentence.partition(" on ")[0]) for one in problems.current()]

    assert told(0) == []
    assert told(2) == [("notice", "The TLS certificate expires")]
    assert told(4) == [
        ("wrong", "The TLS certificate has expired, and browsers refuse it; renew it.")
    ]

    # And when it is renewed, this is over
    write_certificate(tmp_path, serial=2, days=(-1, 9))
    made.renew()
    assert problems.current() == []


def test_a_certificate_that_was_not_valid_yet_becomes_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a clock behind the certificate's first day
    problems = Problems()
    files = Files(*write_certificate(tmp_path, days=(-1, 9)))
    right = certificate.load(files)
    early = dataclasses.replace(right, begins=None, expires=None, fault="it is not yet valid")
    monkeypatch.setattr(certificate, "load", lambda files: early)
    made = CertificateRenewal(files, problems)
    made.renew()
    assert [one.severity for one in problems.current()] == ["wrong"]

    # When the clock is put right, then nothing is wrong any more
    monkeypatch.setattr(certificate, "load", lambda files: right)
    made.renew()
    assert problems.current() == []


def test_an_expired_certificate_replaces_none(tmp_path: Path) -> None:
    problems = Problems()
    made = CertificateRenewal(Files(*write_certificate(tmp_path)), problems)
    before = made.context

    write_certificate(tmp_path, serial=2, days=(-9, -1))
    made.renew()

    assert made.context is before
    assert [one.kind for one in problems.current()] == [certificate_renewal.NOT_RENEWED]
    assert str(tmp_path) not in problems.current()[0].sentence


@pytest.mark.parametrize(("mode", "warned"), [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1)])
def test_a_key_that_others_may_read_is_named(tmp_path: Path, mode: int, warned: int) -> None:
    cert, key = write_certificate(tmp_path)
    key.chmod(mode)

    found = list(exposure.warnings(Settings(tls_cert=str(cert), tls_key=str(key))))

    assert len(found) == warned
    assert all(f"chmod 600 {key}" in sentence for sentence in found)


def test_without_files_there_is_no_tls() -> None:
    assert certificate.files(Settings(store="memory:")) is None
