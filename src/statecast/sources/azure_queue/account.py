"""The storage account and its credentials. The first of these that is set:

1. ``?connection=NAME``, an environment variable; ``?connection_file=PATH``, a file with the same
   content
2. ``AZURE_STORAGE_CONNECTION_STRING``; ``AZURE_STORAGE_CONNECTION_STRING_FILE``, the path of a file
3. ``AZURE_STORAGE_ACCOUNT`` or ``azure-queue://ACCOUNT/NAME``, with ``AZURE_STORAGE_SAS_TOKEN`` or
   ``AZURE_STORAGE_KEY``
4. the account alone, with an identity: ``DefaultAzureCredential`` of azure-identity

A connection is a connection string, ``UseDevelopmentStorage=true``, or the URL of the service with
a SAS. Everything here is pure except ``read_file`` and ``Account.credential``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from statecast.errors import BadSetting
from statecast.program.distribution import install_hint

VARIABLE = "AZURE_STORAGE_CONNECTION_STRING"
QUEUE = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]")
DEVELOPMENT = "devstoreaccount1"
DEVELOPMENT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""The published key of Azurite, the emulator. It is not a secret."""
SERVICE = "queue.core.windows.net"


@dataclass(frozen=True)
class Account:
    """The URL of a queue service and its credential. ``repr`` leaves the secrets out."""

    url: str
    """Without the signature, so that errors may quote it."""
    host: str
    key: tuple[str, str] | None = field(default=None, repr=False)
    """The name of the account, which the URL need not contain, and its shared key."""
    signature: str = field(default="", repr=False)
    """A SAS. Without key and signature, the identity of the machine or the user is used."""

    def check(self) -> None:
        """Raises BadSetting if azure-identity is needed and missing."""
        if self.key is None and not self.signature:
            identity_class()

    def credential(self) -> Any:
        """The credential for the SDK. Raises BadSetting if azure-identity is needed and missing."""
        from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

        if self.key is not None:
            return AzureNamedKeyCredential(*self.key)
        return AzureSasCredential(self.signature) if self.signature else identity_class()()


def host_and_queue(head: str) -> tuple[str, str]:
    """The account's host, which may be empty, and the queue's name. Raises BadSetting.

    ``head`` is the part of the URL between the scheme and the options.
    """
    host, queue = "", head
    if head.startswith("//"):
        host, _, queue = head[2:].partition("/")
        if "@" in host:
            raise BadSetting(
                "A secret has no place in a source's URL, where others may read it; "
                "see AZURE_STORAGE_KEY."
            )
        host = full_host(host)
    if not QUEUE.fullmatch(queue):
        raise BadSetting(
            f"{queue!r} is not the name of an Azure queue: 3 to 63 of a-z, 0-9 and single - "
            "between them, like in azure-queue:pillow."
        )
    return host, queue


def full_host(host: str) -> str:
    """The host of an account. Other clouds than the public one are given by their host."""
    return host if "." in host or not host else f"{host}.{SERVICE}"


def find_account(
    host: str, environ: Mapping[str, str], *, variable: str = "", file: str = ""
) -> Account:
    """The account that the source's URL and the environment name.

    ``host`` is that of the URL, or empty; ``variable`` and ``file`` are the options ``connection``
    and ``connection_file``. Raises BadSetting; its sentences contain no secret.
    """
    if variable or file:
        text = read_file(file) if file else environ.get(variable, "")
        if not text:
            raise BadSetting(f"The variable {variable} of a source's option connection is not set.")
        return check_host(parse_connection(text), host)
    text = environ.get(VARIABLE, "") or read_file(environ.get(f"{VARIABLE}_FILE", ""))
    if text and (not host or parse_connection(text).host == host):
        return parse_connection(text)
    named = full_host(environ.get("AZURE_STORAGE_ACCOUNT", ""))
    host = host or named
    if not host:
        raise BadSetting(
            f"No storage account is named: set {VARIABLE} to its connection string (the portal "
            "shows it under “Access keys”), or write azure-queue://ACCOUNT/QUEUE and log in with "
            "`az login`."
        )
    own = not named or host == named
    signature = environ.get("AZURE_STORAGE_SAS_TOKEN", "").lstrip("?") if own else ""
    secret = environ.get("AZURE_STORAGE_KEY", "") if own and not signature else ""
    return Account(
        f"https://{host}", host, (host.partition(".")[0], secret) if secret else None, signature
    )


def check_host(account: Account, host: str) -> Account:
    """The account. Raises BadSetting if the source's URL names another one."""
    if host and account.host != host:
        raise BadSetting(
            f"The source names the account at {host}, its connection the one at {account.host}."
        )
    return account


def read_file(path: str) -> str:
    """The content of a file, or nothing without a path. Raises BadSetting."""
    if not path:
        return ""
    try:
        text = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise BadSetting(
            f"The file {path} with the connection string cannot be read: {reason}."
        ) from None
    if not text:
        raise BadSetting(f"The file {path} with the connection string is empty.")
    return text


def parse_connection(text: str) -> Account:
    """The account of a connection string or of a SAS URL. Raises BadSetting."""
    text = text.strip().strip('"')
    if text.startswith(("https://", "http://")):
        parts = urlsplit(text)
        if not parts.hostname or "sig=" not in parts.query:
            raise BadSetting(
                "The connection is an address, but has no signature (SAS) that would open it."
            )
        path = parts.path.strip("/")
        # The URLs of Azurite contain the account.
        root = f"/{path.split('/')[0]}" if path.startswith(DEVELOPMENT) else ""
        return Account(
            f"{parts.scheme}://{parts.netloc}{root}", parts.netloc, signature=parts.query
        )
    values = parse_fields(text)
    if values.get("usedevelopmentstorage", "").lower() == "true":
        proxy = values.get("developmentstorageproxyuri", "http://127.0.0.1").rstrip("/")
        url = f"{proxy}:10001/{DEVELOPMENT}"
        return Account(url, urlsplit(url).netloc, (DEVELOPMENT, DEVELOPMENT_KEY))
    name, secret = values.get("accountname", ""), values.get("accountkey", "")
    suffix, scheme = (
        values.get("endpointsuffix", "core.windows.net"),
        values.get("defaultendpointsprotocol", "https"),
    )
    url = values.get("queueendpoint", "") or (f"{scheme}://{name}.queue.{suffix}" if name else "")
    signature = values.get("sharedaccesssignature", "")
    if not url.startswith(("https://", "http://")) or not (signature or (name and secret)):
        raise BadSetting(
            "The connection string lacks something: it has AccountName and AccountKey, "
            "or QueueEndpoint and SharedAccessSignature, or is UseDevelopmentStorage=true. "
            f"Look at {VARIABLE}."
        )
    known = (name, secret) if secret else None
    return Account(
        url.rstrip("/"), urlsplit(url).netloc, known, "" if known else signature.lstrip("?")
    )


def parse_fields(text: str) -> dict[str, str]:
    """The fields of a connection string, by name in lower case."""
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def identity_class() -> Any:
    """The class of credentials for an identity. Raises BadSetting without azure-identity."""
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise BadSetting(
            "Without a key the source azure-queue: needs the package azure-identity; install it "
            f"with: {install_hint('azure,azure-identity')}, or set AZURE_STORAGE_CONNECTION_STRING."
        ) from None
    return DefaultAzureCredential
