"""What the head of a request must look like, beyond what the HTTP parser checks. No I/O.

A head that two readers could read differently is refused: a proxy before us may be the other one.
"""

from __future__ import annotations

from collections.abc import Sequence

import httptools

from statecast.http.errors import HTTPProblem
from statecast.http.head import HeaderFields, lists
from statecast.http.hosts import Hosts, name_of

MAX_NAME = 253
"""Characters of a host's name (RFC 1035)."""
HOST_EXEMPT = (b"/healthz", b"/readyz")
"""Asked for by machines that know an address and no name."""


def values(headers: HeaderFields, name: bytes) -> list[str]:
    """All values of a header; ``name`` is in lower case."""
    return [value.decode("latin-1") for value in headers.get(name, ())]


def asks_for_websocket(headers: HeaderFields) -> bool:
    upgrade = headers.get(b"upgrade")
    if not upgrade or upgrade[-1].lower() != b"websocket":
        return False
    return lists(headers, b"connection", b"upgrade")


def check_message(version: str, method: bytes, headers: HeaderFields) -> None:
    """Version, method and framing. Raises HTTPProblem."""
    if version not in ("1.0", "1.1"):
        raise HTTPProblem(505, "This server speaks HTTP/1.1.")
    if method == b"CONNECT":
        raise HTTPProblem(405, "This server is no proxy.")
    encodings = values(headers, b"transfer-encoding")
    chunked = [encoding.strip().lower() for encoding in encodings] == ["chunked"]
    if encodings and (version == "1.0" or not chunked):
        sentence = "A body may come chunked, and in no other transfer encoding."
        raise HTTPProblem(501, sentence)


def has_body(headers: HeaderFields) -> bool:
    if values(headers, b"transfer-encoding"):
        return True
    return values(headers, b"content-length") not in ([], ["0"])


def origin_form(target: bytes, hosts: Sequence[str]) -> bytes:
    """The path and query of a target, which may be an absolute URL (RFC 9112, section 3.2).

    Raises HTTPProblem when it is neither, or names another host than the Host header.
    """
    if target.startswith(b"/"):
        return target
    url = httptools.parse_url(target)
    if url.schema is None or url.host is None:
        raise HTTPProblem(400, "The request names no path.")
    authority = url.host + (b":%d" % url.port if url.port else b"")
    if [host.lower() for host in hosts] != [authority.decode("latin-1").lower()]:
        raise HTTPProblem(400, "The Host header and the URL name different hosts.")
    return (url.path or b"/") + (b"?" + url.query if url.query else b"")


def check_host(
    hosts: Sequence[str], version: str, target: bytes, allowed: Hosts, own: str | None
) -> None:
    """One Host that is ours. ``own`` is the address at which the connection arrived.

    Raises HTTPProblem.
    """
    if len(hosts) != 1 and (hosts or version != "1.0"):
        raise HTTPProblem(400, "A request needs one Host header.")
    if not hosts:
        return
    if name_of(hosts[0]) is None:
        raise HTTPProblem(400, "The Host header names no host.")
    if target.partition(b"?")[0] not in HOST_EXEMPT and not allowed.allows(hosts[0], own):
        name = (name_of(hosts[0]) or "")[:MAX_NAME]
        sentence = (
            f"This server does not answer under the name {name}; the setting allow_hosts says "
            f"which are its own. Start it with --allow-hosts {name}, or open it by its address."
        )
        raise HTTPProblem(421, sentence, title="This server has another name")
