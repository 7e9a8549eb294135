"""A fake of Azure Storage queues in this process, over HTTP.

It behaves like the service where Azurite does not: 404 for a stale receipt, one receipt per
message, and redelivered messages come after newer ones. ``advance`` moves its clock, and ``fail``
makes requests fail. Signatures are not checked; rights are (``rights``).
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
Kind = Literal["busy", "error", "hang", "reset", "lost", "page", "broken", "cut", "redirect"]
FORBIDDEN = "AuthorizationPermissionMismatch"
LIFETIME = 7 * 86_400
REQUIRED_RIGHT = {
    "receive": "p",
    "delete": "p",
    "release": "u",
    "send": "a",
    "count": "r",
    "peek": "r",
    "create": "c",
    "drop": "c",
}
"""By request: the letter of the required right in a SAS. No SAS of a queue has ``c``."""


@dataclass
class FakeMessage:
    """A message inside a queue. Times are in seconds."""

    id: str
    text: str
    inserted: float
    expires: float
    visible: float
    receipt: str
    count: int = 0


@dataclass
class Fault:
    """A planned failure. ``lost`` executes the request and loses the response."""

    kind: Kind
    request: str | None
    left: float
    status: int = 503
    code: str = "ServerBusy"


@dataclass
class FakeResponse:
    """A response of the service."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class FakeAzure:
    """Call ``start``, use ``connection``, call ``stop``. A stopped one keeps its queues."""

    def __init__(self) -> None:
        self.queues: dict[str, list[FakeMessage]] = {}
        self.rights = "raupc"
        self.asked: list[str] = []
        """The requests so far, by name: receive, delete, release, send, count, create."""
        self.offset = 0.0
        self.lock = threading.Lock()
        self.released = threading.Event()
        self._faults: list[Fault] = []
        self._receipts = itertools.count(1)
        self._server: FakeAzureServer | None = None
        self._port = 0

    @property
    def connection(self) -> str:
        """The connection string."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"QueueEndpoint=http://127.0.0.1:{self._port}/{ACCOUNT};"
        )

    def start(self) -> None:
        handler = type("Bound", (FakeAzureHandler,), {"azure": self})
        self._server = FakeAzureServer(("127.0.0.1", self._port), handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.close_all()
            self._server = None

    # -- for tests

    def fail(
        self,
        kind: Kind,
        request: str | None = None,
        times: float = 1,
        *,
        status: int = 503,
        code: str = "ServerBusy",
    ) -> None:
        """Make the next requests fail: those with this name, or all."""
        self.released.clear()
        self._faults.append(Fault(kind, request, times, status, code))

    def heal(self) -> None:
        """Remove all faults and end hanging requests."""
        self._faults.clear()
        self.released.set()

    def advance(self, seconds: float) -> None:
        self.offset += seconds

    def now(self) -> float:
        return time.time() + self.offset

    def put(self, queue: str, text: str) -> str:
        """Add a message like another producer."""
        with self.lock:
            return self._insert(self.queues.setdefault(queue, []), text, LIFETIME, 0).id

    def texts(self, queue: str) -> list[str]:
        with self.lock:
            return [one.text for one in self.queues.get(queue, [])]

    # -- requests

    def answer(self, method: str, target: str, body: bytes) -> tuple[FakeResponse, Fault | None]:
        """Execute a request; the response, and the failure planned for it."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        path = parts.path.strip("/").split("/")[1:]
        request = request_name(method, path, query)
        with self.lock:
            self.asked.append(request)
            fault = self._fault(request)
            if fault is not None and fault.kind != "lost":
                return FakeResponse(fault.status), fault
            if REQUIRED_RIGHT.get(request, "c") not in self.rights:
                return error_response(403, FORBIDDEN), None
            return getattr(self, f"_{request}")(path, query, body), fault

    def _fault(self, request: str) -> Fault | None:
        for fault in self._faults:
            if fault.request in (None, request) and fault.left > 0:
                fault.left -= 1
                return fault
        return None

    def _insert(
        self, queue: list[FakeMessage], text: str, lifetime: float, hidden: float
    ) -> FakeMessage:
        now = float(int(self.now()))
        expires = now + lifetime if lifetime >= 0 else 253_402_300_799.0
        stored = FakeMessage(
            str(uuid.uuid4()), text, now, expires, self.now() + hidden, self._receipt()
        )
        queue.append(stored)
        return stored

    def _receipt(self) -> str:
        return f"AgAAAAMAAAAAAAAA{next(self._receipts):08d}"

    def _alive(self, name: str) -> list[FakeMessage] | None:
        if (queue := self.queues.get(name)) is None:
            return None
        queue[:] = [one for one in queue if one.expires > self.now()]
        return queue

    def _create(self, path: list[str], query: dict[str, str], body: bytes) -> FakeResponse:
        existed = path[0] in self.queues
        self.queues.setdefault(path[0], [])
        return FakeResponse(204 if existed else 201)

    def _drop(self, path: list[str], query: dict[str, str], body: bytes) -> FakeResponse:
        return (
            FakeResponse(204)
            if self.queues.pop(path[0], None) is not None
            else error_response(404, "QueueNotFound")
        )

    def _count(self, path: list[str], query: dict[str, str], body: bytes) -> FakeResponse:
        if (queue := self._alive(path[0])) is None:
            return error_response(404, "QueueNotFound")
        return FakeResponse(200, headers={"x-ms-approximate-messages-count": str(len(queue))})

    def _send(self, path: list[str], query: dict[str, str], body: bytes) -> FakeResponse:
        if (queue := self._alive(path[0])) is None:
            return error_response(404, "QueueNotFound")
        try:
            message = ElementTree.fromstring(body)  # noqa: S314 - sent by tests
            text = message.findtext("MessageText") or ""
        except ElementTree.ParseError:
            return error_response(400, "InvalidXmlDocument")
        if len(text.encode()) > 65_536:
            return error_response(413, "RequestBodyTooLarge")
        hidden = float(query.get("visibilitytimeout", 0))
        stored = self._insert(queue, text, float(query.get("messagettl", LIFETIME)), hidden)
        return FakeResponse(
            201,
            message_list(
                [stored], ("MessageId", "InsertionTime", "ExpirationTime", *RECEIPT_FIELDS)
            ),
        )

    def _receive(self, path: list[str], query: dict[str, str], body: bytes) -> FakeResponse:
        if (queue := self._alive(path[0])) is None:
            return error_response(404, "QueueNotFound")
        limit, hidden = (
            int(query.get("numofmessages", 1)),
            float(query.get("visibilitytimeout", 30)),
        )
        if not (1 <= limit <= 32 and 1 <= hidden <= LIFETIME):
            return error_response(400, "OutOfRangeQueryParameterValue")
        now = self.now()
        page = sorted((one for one in queue if one.visible <= now), key=lambda one: one.visible)[
            :limit
        ]
        for one in page:
            one.visible, one.count, one.receipt = now + hidden, one.count + 1, self._receipt()
        return FakeResponse(200, message_list(page, RECEIVED_FIELDS))

    def _peek(self, path: list[str], query: dict[str, str], body: bytes) -> FakeResponse:
        if (queue := self._alive(path[0])) is None:
            return error_response(404, "QueueNotFound")
        page = [one for one in queue if one.visible <= self.now()][
            : int(query.get("numofmessages", 1))
        ]
        return FakeResponse(
            200,
            message_list(
                page, tuple(name for name in RECEIVED_FIELDS if name not in RECEIPT_FIELDS)
            ),
        )

    def _delete(self, path: list[str], query: dict[str, str], body: bytes) -> FakeResponse:
        found = self._found(path, query)
        if isinstance(found, FakeResponse):
            return found
        self.queues[path[0]].remove(found)
        return FakeResponse(204)

    def _release(self, path: list[str], query: dict[str, str], body: bytes) -> FakeResponse:
        found = self._found(path, query)
        if isinstance(found, FakeResponse):
            return found
        found.visible, found.receipt = (
            self.now() + float(query["visibilitytimeout"]),
            self._receipt(),
        )
        headers = {
            "x-ms-popreceipt": found.receipt,
            "x-ms-time-next-visible": formatdate(found.visible, usegmt=True),
        }
        return FakeResponse(204, headers=headers)

    def _found(self, path: list[str], query: dict[str, str]) -> FakeMessage | FakeResponse:
        if (queue := self._alive(path[0])) is None:
            return error_response(404, "QueueNotFound")
        for one in queue:
            if one.id == path[2] and one.receipt == query.get("popreceipt"):
                return one
        return error_response(404, "MessageNotFound")


RECEIPT_FIELDS = ("PopReceipt", "TimeNextVisible")
RECEIVED_FIELDS = (
    "MessageId",
    "InsertionTime",
    "ExpirationTime",
    *RECEIPT_FIELDS,
    "DequeueCount",
    "MessageText",
)


def request_name(method: str, path: list[str], query: dict[str, str]) -> str:
    """The name of a request, from its method and URL."""
    if len(path) == 1:
        return {"PUT": "create", "DELETE": "drop"}.get(method, "count")
    if method == "GET":
        return "peek" if query.get("peekonly") == "true" else "receive"
    return {"POST": "send", "DELETE": "delete", "PUT": "release"}[method]


def message_list(messages: list[FakeMessage], names: tuple[str, ...]) -> str:
    def value(one: FakeMessage, name: str) -> str:
        times: dict[str, float] = {
            "InsertionTime": one.inserted,
            "ExpirationTime": one.expires,
            "TimeNextVisible": one.visible,
        }
        if name in times:
            return formatdate(times[name], usegmt=True)
        texts: dict[str, Any] = {
            "MessageId": one.id,
            "PopReceipt": one.receipt,
            "DequeueCount": one.count,
            "MessageText": escape(one.text),
        }
        return str(texts[name])

    inner = "".join(
        "<QueueMessage>"
        + "".join(f"<{name}>{value(one, name)}</{name}>" for name in names)
        + "</QueueMessage>"
        for one in messages
    )
    return f'<?xml version="1.0" encoding="utf-8"?><QueueMessagesList>{inner}</QueueMessagesList>'


def error_response(status: int, code: str) -> FakeResponse:
    """An error in the format of the service."""
    error = f"<Error><Code>{code}</Code><Message>{code}.</Message></Error>"
    body = f'<?xml version="1.0" encoding="utf-8"?>{error}'
    return FakeResponse(status, body, {"x-ms-error-code": code})


class FakeAzureServer(ThreadingHTTPServer):
    """Keeps its connections, to close them all like a service that has crashed."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        self.connections: set[Any] = set()
        self.threads: set[threading.Thread] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self.threads.add(threading.current_thread())
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.threads.discard(threading.current_thread())

    def close_all(self) -> None:
        """Close every connection and wait for the threads that served them."""
        self.server_close()
        for request in list(self.connections):
            with contextlib.suppress(OSError):
                # It wakes a thread that reads from the connection; closing alone does not.
                request.shutdown(socket.SHUT_RDWR)
            self.shutdown_request(request)
        for thread in list(self.threads):
            thread.join(10)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


class FakeAzureHandler(BaseHTTPRequestHandler):
    azure: FakeAzure
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Write nothing to standard error."""

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        answer, fault = self.azure.answer(self.command, self.path, body)
        if fault is None:
            self.reply(answer, {"x-ms-request-id": str(uuid.uuid4()), "x-ms-version": "2022-11-02"})
        else:
            faults: dict[str, Callable[[Fault], None]] = {
                "busy": self.busy,
                "error": self.busy,
                "hang": self.hang,
                "page": self.page,
                "broken": self.broken,
                "cut": self.cut,
                "redirect": self.redirect,
            }
            faults.get(fault.kind, self.reset)(fault)

    do_GET = do_PUT = do_POST = do_DELETE = handle_any

    def reply(
        self, answer: FakeResponse, more: dict[str, str], kind: str = "application/xml"
    ) -> None:
        data = answer.body.encode()
        self.send_response_only(answer.status)
        self.send_header("Date", formatdate(self.azure.now(), usegmt=True))
        for name, value in {**more, **answer.headers}.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def busy(self, fault: Fault) -> None:
        self.reply(error_response(fault.status, fault.code), {"x-ms-request-id": str(uuid.uuid4())})

    def hang(self, fault: Fault) -> None:
        self.azure.released.wait(60)
        self.reset(fault)

    def reset(self, fault: Fault) -> None:
        self.close_connection = True
        self.connection.close()

    def page(self, fault: Fault) -> None:
        self.reply(
            FakeResponse(200, "<html><body>Please log in to the hotel.</body></html>"),
            {},
            "text/html",
        )

    def broken(self, fault: Fault) -> None:
        self.reply(
            FakeResponse(200, "<QueueMessagesList><QueueMessage>"),
            {"x-ms-request-id": str(uuid.uuid4())},
        )

    def cut(self, fault: Fault) -> None:
        self.send_response_only(200)
        self.send_header("x-ms-request-id", str(uuid.uuid4()))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b'<?xml version="1.0"?><QueueMess')
        self.reset(fault)

    def redirect(self, fault: Fault) -> None:
        self.reply(FakeResponse(302), {"Location": "http://127.0.0.1:9/login"}, "text/html")
