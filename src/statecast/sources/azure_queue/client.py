"""The few requests a queue needs, by the vendor's SDK: small enough to be exchanged for another one.

Rule 1: one call is one request. The SDK's own retries would be a minute and a half of silence.
Rule 2: what comes out is ours: deliveries, and SourceUnavailable with a sentence. An SDK's error goes no further, not
even as a cause: its text quotes addresses, and an address may carry a signature.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from statecast.errors import SourceUnavailable, StatecastError
from statecast.model import Delivery
from statecast.sources.azure_queue import errors
from statecast.sources.azure_queue.account import Account

VERSION = "2022-11-02"
"""Of the service: one that does all we ask, so that an Azurite of any age understands it."""
CONNECT_WITHIN, READ_WITHIN = 5, 15
"""Seconds."""
T = TypeVar("T")


class Failed(SourceUnavailable):
    """A request failed; status and code are the service's, if it was the service that answered."""

    def __init__(self, sentence: str, status: int | None = None, code: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code


class QueueService:
    """One queue of one account. May be used by several threads."""

    def __init__(self, account: Account, queue: str) -> None:
        self.account = account
        self.queue = queue
        self.asked = 0
        """Requests so far."""
        self.date: str | None = None
        """The service's clock in its last answer, as it writes it."""
        self._client: Any = None
        self._making = threading.Lock()

    def receive(self, limit: int, visibility_timeout: int) -> list[Delivery]:
        """The first page, hidden for ``visibility`` seconds: one request."""

        def ask(client: Any, hook: Callable[[Any], None]) -> list[Any]:
            asked = client.receive_messages(
                messages_per_page=limit,
                visibility_timeout=visibility_timeout,
                raw_response_hook=hook,
            )
            return list(next(asked.by_page(), ()))

        return [delivery(one) for one in self._request(ask, "receive from")]

    def delete(self, id_: str, receipt: str) -> None:
        """Delete a message. That it is gone, or in other hands, is as good: it is known when it comes again."""
        try:
            self._request(
                lambda client, hook: client.delete_message(id_, receipt, raw_response_hook=hook),
                "delete from",
            )
        except Failed as error:
            if error.code not in errors.GONE:
                raise

    def release(self, id_: str, receipt: str) -> None:
        """Let a message appear again at once. By id and receipt, else the SDK would write its content anew."""
        self._request(
            lambda client, hook: client.update_message(
                id_, receipt, visibility_timeout=0, raw_response_hook=hook
            ),
            "release messages of",
        )

    def send(self, text: str, *, forever: bool = False) -> str:
        """Put a message into the queue, as it is; its id."""
        more = {"time_to_live": -1} if forever else {}
        sent = self._request(
            lambda client, hook: client.send_message(text, raw_response_hook=hook, **more),
            "send to",
        )
        return str(sent.id)

    def count(self) -> int:
        """About how many messages there are, hidden ones included."""
        found = self._request(
            lambda client, hook: client.get_queue_properties(raw_response_hook=hook), "look into"
        )
        return int(found.approximate_message_count)

    def create(self) -> None:
        """Make the queue; that it is there already is as good."""
        try:
            self._request(
                lambda client, hook: client.create_queue(raw_response_hook=hook), "create"
            )
        except Failed as error:
            if error.code != "QueueAlreadyExists":
                raise

    def may_handle(self) -> bool:
        """Whether the rights suffice to receive and delete, asked by deleting what cannot be there."""
        try:
            nobody = "00000000-0000-0000-0000-000000000000"
            self._request(
                lambda client, hook: client.delete_message(
                    nobody, "AgAAAAMAAAAAAAAA", raw_response_hook=hook
                ),
                "delete from",
            )
        except Failed as error:
            if error.status in (401, 403):
                return False
            if error.status not in (400, 404):
                raise
        return True

    def close(self) -> None:
        with self._making:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _request(self, ask: Callable[[Any, Callable[[Any], None]], T], right: str) -> T:
        host, known = self.account.host, []

        def hook(response: Any) -> None:
            headers = response.http_response.headers
            known.append("x-ms-request-id" in headers)
            self.date = headers.get("date") or self.date

        self.asked += 1
        try:
            answer = ask(self._connected(), hook)
        except StatecastError:
            raise
        except Exception as error:  # whatever an SDK may raise; one of them is an AttributeError
            raise self._failed(error, right, known) from None
        if not all(known):
            raise Failed(errors.of_stranger(host))
        return answer

    def _failed(self, error: Exception, right: str, known: list[bool]) -> Failed:
        host, status = self.account.host, getattr(error, "status_code", None)
        code = getattr(error, "error_code", None) or ""
        code = str(getattr(code, "value", code))
        if status is None or isinstance(status, bool):
            return Failed(errors.of_failure(type(error).__name__, host))
        if not code and (
            not all(known) or 200 <= status < 400
        ):  # ours always says which error it is
            stranger = not all(known)
            return Failed(
                errors.of_stranger(host)
                if stranger
                else errors.of_answer(status, code, self.queue, host, right)
            )
        return Failed(errors.of_answer(status, code, self.queue, host, right), status, code)

    def _connected(self) -> Any:
        with self._making:
            if self._client is None:
                self._client = connect(self.account, self.queue)
            return self._client


def connect(account: Account, queue: str) -> Any:
    """The SDK's client. Proxies and certificates of the environment are looked up here, once.

    The library below it would do that twice for each request, which is a quarter of what a request costs.
    """
    from azure.storage.queue import QueueClient
    from requests import Session

    quieten()
    with Session() as session:
        environment = session.merge_environment_settings(account.url, {}, None, None, None)
    return QueueClient(
        account.url,
        queue,
        account.credential(),
        api_version=VERSION,
        retry_total=0,
        permit_redirects=False,
        connection_timeout=CONNECT_WITHIN,
        read_timeout=READ_WITHIN,
        use_env_settings=False,
        proxies=dict(environment["proxies"]),
        connection_verify=environment["verify"],
    )


def quieten() -> None:
    """The SDK logs 16 lines for each request, the library below it the whole address, with its signature."""
    levels = {
        "azure": logging.WARNING,
        "azure.identity": logging.ERROR,
        "urllib3.connectionpool": logging.ERROR,
    }
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.setLevel(max(level, logger.level))


def delivery(message: Any) -> Delivery:
    return Delivery(
        id=str(message.id),
        body=(message.content or "").encode("utf-8", "surrogatepass"),
        sent_at=int(message.inserted_on.timestamp() * 1000),
        attempt=int(message.dequeue_count or 1),
        receipt=str(message.pop_receipt),
    )
