"""The requests to a queue, made with the vendor's SDK. Another client can replace this one module.

Rule 1: one call is one request. The SDK's own retries would take 85 seconds without a report.
Rule 2: only deliveries and SourceUnavailable leave this module. An error of the SDK does not, not
even as the cause of ours: its text quotes URLs, and a URL may contain a signature.
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
"""Version of the service's interface. Old enough for every Azurite, new enough for our requests."""
CONNECT_WITHIN, READ_WITHIN = 5, 15
"""Time limits of a request, in seconds."""
FOREVER = -1
"""As a message's time to live: Azure keeps it until it is deleted."""
T = TypeVar("T")


class RequestFailed(SourceUnavailable):
    """A request failed. ``status`` and ``code`` are those of the response, if Azure sent one."""

    def __init__(
        self,
        sentence: str,
        status: int | None = None,
        code: str = "",
        *,
        host: str,
        may_have_arrived: bool = True,
    ) -> None:
        """``host`` is that of the account, which viewers do not see."""
        super().__init__(sentence, public=errors.without_host(sentence, host))
        self.status = status
        self.code = code
        self.may_have_arrived = may_have_arrived and not errors.is_refusal(status)


class QueueClient:
    """One queue of one account. Thread-safe."""

    def __init__(self, account: Account, queue: str, read_within: float = READ_WITHIN) -> None:
        """``read_within``: seconds in which a response must come."""
        self._read_within = read_within
        self.account = account
        self.queue = queue
        self.date: str | None = None
        """The header ``Date`` of the last response."""
        self._client: Any = None
        self._lock = threading.Lock()

    def receive(self, limit: int, visibility_timeout: int) -> list[Delivery]:
        """Receive one page and hide its messages for ``visibility_timeout`` seconds.

        The SDK's iterator would send requests until a page is empty.
        """

        def first_page(client: Any, hook: Callable[[Any], None]) -> list[Any]:
            messages = client.receive_messages(
                messages_per_page=limit,
                visibility_timeout=visibility_timeout,
                raw_response_hook=hook,
            )
            return list(next(messages.by_page(), ()))

        return [to_delivery(one) for one in self._request(first_page, "receive from")]

    def delete(self, id_: str, receipt: str) -> None:
        """Delete a message. A stale receipt is not an error: a duplicate is recognised."""
        try:
            self._request(
                lambda client, hook: client.delete_message(id_, receipt, raw_response_hook=hook),
                "delete from",
            )
        except RequestFailed as error:
            if error.code not in errors.GONE:
                raise

    def release(self, id_: str, receipt: str) -> None:
        """Make a message visible now.

        Given a message instead of its id and receipt, the SDK would also write the content back.
        """
        self._request(
            lambda client, hook: client.update_message(
                id_, receipt, visibility_timeout=0, raw_response_hook=hook
            ),
            "release messages of",
        )

    def send(self, text: str, *, time_to_live: int | None = None) -> str:
        """Send a text unchanged and return the id of the message.

        Azure drops it after ``time_to_live`` seconds; None: after a week.
        """
        more = {} if time_to_live is None else {"time_to_live": time_to_live}
        sent = self._request(
            lambda client, hook: client.send_message(text, raw_response_hook=hook, **more),
            "send to",
        )
        return str(sent.id)

    def count(self) -> int:
        """The approximate number of messages, hidden ones included."""
        found = self._request(
            lambda client, hook: client.get_queue_properties(raw_response_hook=hook), "look into"
        )
        return int(found.approximate_message_count)

    def create(self) -> None:
        """Create the queue if it does not exist."""
        try:
            self._request(
                lambda client, hook: client.create_queue(raw_response_hook=hook), "create"
            )
        except RequestFailed as error:
            if error.code != "QueueAlreadyExists":
                raise

    def may_handle(self) -> bool:
        """Whether the rights suffice to receive and delete.

        The test is to delete a message that cannot exist.
        """
        try:
            no_message = "00000000-0000-0000-0000-000000000000"
            self._request(
                lambda client, hook: client.delete_message(
                    no_message, "AgAAAAMAAAAAAAAA", raw_response_hook=hook
                ),
                "delete from",
            )
        except RequestFailed as error:
            if error.status in (401, 403):
                return False
            if error.status not in (400, 404):
                raise
        return True

    def try_sending(self) -> None:
        """Send a message that has no time to live: Azure refuses it, after it has looked at the
        rights, and would drop it at once. Raises RequestFailed."""
        try:
            self._request(
                lambda client, hook: client.send_message(
                    "{}", time_to_live=0, raw_response_hook=hook
                ),
                "send to",
            )
        except RequestFailed as error:
            if error.status != 400:
                raise

    def close(self) -> None:
        """Close the connections. The next request opens them again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _request(self, send: Callable[[Any, Callable[[Any], None]], T], action: str) -> T:
        """Send a request with the SDK. Raises RequestFailed, StatecastError.

        A captive portal answers with status 200 and a page, which the SDK reads as an empty queue.
        A response without ``x-ms-request-id`` is therefore not accepted.
        """
        from_azure: list[bool] = []

        def hook(response: Any) -> None:
            headers = response.http_response.headers
            from_azure.append("x-ms-request-id" in headers)
            self.date = headers.get("date") or self.date

        try:
            result = send(self._connected(), hook)
        except StatecastError:
            raise
        except Exception as error:  # the SDK raises any class, AttributeError among them
            raise self._failure(error, action, all(from_azure)) from None
        if not all(from_azure):
            host = self.account.host
            raise RequestFailed(errors.foreign_response(host), host=host)
        return result

    def _failure(self, error: Exception, action: str, from_azure: bool) -> RequestFailed:
        host, status = self.account.host, getattr(error, "status_code", None)
        code = getattr(error, "error_code", None) or ""
        code = str(getattr(code, "value", code))
        if status is None or isinstance(status, bool):
            return RequestFailed(
                errors.no_response(type(error).__name__, host),
                host=host,
                may_have_arrived=not errors.was_not_sent(error),
            )
        if not code and not from_azure:  # an error response of Azure has a code
            return RequestFailed(errors.foreign_response(host), host=host)
        sentence = errors.error_response(status, code, self.queue, host, action)
        if not code and 200 <= status < 400:
            return RequestFailed(sentence, host=host)
        return RequestFailed(sentence, status, code, host=host)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = connect(self.account, self.queue, self._read_within)
            return self._client


def connect(account: Account, queue: str, read_within: float) -> Any:
    """The SDK's client.

    Proxies and certificates are looked up in the environment here, once. The HTTP library would do
    that twice per request, which is a quarter of the processor time of a request.
    """
    from azure.storage.queue import QueueClient
    from requests import Session

    from statecast.sources.azure_queue.transport import direct_transport

    limit_sdk_logs()
    with Session() as session:
        environment = session.merge_environment_settings(account.url, {}, None, None, None)
    transport = direct_transport(
        connection_timeout=CONNECT_WITHIN,
        read_timeout=read_within,
        connection_verify=environment["verify"],
    )
    return QueueClient(
        account.url,
        queue,
        account.credential(),
        api_version=VERSION,
        retry_total=0,
        permit_redirects=False,
        transport=transport,
        proxies=dict(environment["proxies"]),
    )


def limit_sdk_logs() -> None:
    """Raise the levels of the SDK's logs.

    The SDK logs 16 lines per request, and its HTTP library the whole URL with the signature. For
    each answer that it cannot read the SDK also logs CRITICAL. All that it finds wrong it raises,
    and our line about it says what to do and has a rate.
    """
    levels = {
        "azure": logging.CRITICAL + 1,
        "azure.identity": logging.ERROR,
        "urllib3.connectionpool": logging.ERROR,
    }
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.setLevel(max(level, logger.level))


def to_delivery(message: Any) -> Delivery:
    """A message of the SDK as a delivery."""
    return Delivery(
        id=str(message.id),
        body=(message.content or "").encode("utf-8", "surrogatepass"),
        sent_at=int(message.inserted_on.timestamp() * 1000),
        attempt=int(message.dequeue_count or 1),
        receipt=str(message.pop_receipt),
    )
