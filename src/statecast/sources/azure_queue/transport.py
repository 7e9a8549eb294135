"""The connections of the SDK, without what it and its HTTP library prepare twice.

The SDK gives a complete request to ``requests``, which merges it with settings of a session, parses
its URL again and looks the connection up by its TLS settings: a third of the processor time of a
request. Here it goes to the connection directly. The connections, proxies, TLS and every error are
those of the SDK's own transport, which this one extends where both libraries allow it.
"""

from __future__ import annotations

from typing import Any

from azure.core.pipeline.transport import RequestsTransport
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import Retry
from urllib3.connectionpool import ConnectionPool

CONNECTIONS = 16
"""That are kept open: as many as threads that may send requests at once."""


class OneServiceAdapter(HTTPAdapter):
    """Remembers the connections of the one service that it is used for."""

    def __init__(self) -> None:
        never = Retry(total=False, redirect=False, raise_on_status=False)  # as the SDK sets it
        super().__init__(pool_maxsize=CONNECTIONS, max_retries=never)
        self._pools: dict[tuple[Any, ...], ConnectionPool] = {}

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> ConnectionPool:
        settings = (verify, cert, tuple((proxies or {}).items()))
        pool = self._pools.get(settings)
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            self._pools[settings] = pool
        return pool

    def close(self) -> None:
        self._pools.clear()
        super().close()


class DirectSession(Session):
    """Sends requests without a body as they are; the others as ``requests`` does."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self._adapter = OneServiceAdapter()
        for scheme in ("http://", "https://"):
            self.mount(scheme, self._adapter)

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        *,
        headers: Any,
        data: Any = None,
        files: Any = None,
        **more: Any,
    ) -> Response:
        if data is not None or files is not None:
            return super().request(method, url, headers=headers, data=data, files=files, **more)
        prepared = PreparedRequest()
        prepared.method, prepared.url = method, url
        prepared.headers = CaseInsensitiveDict(headers)
        response = self._adapter.send(
            prepared,
            timeout=more["timeout"],
            verify=more["verify"],
            cert=more["cert"],
            proxies=more["proxies"],
        )
        response.content  # noqa: B018 - read here, where the SDK expects its errors
        return response


def direct_transport(**settings: Any) -> RequestsTransport:
    """A transport for one client of the SDK. The settings are those of ``RequestsTransport``."""
    return RequestsTransport(session=DirectSession(), use_env_settings=False, **settings)
