"""What a value of a setting is checked and converted by.

Each takes a value of a flag, a variable, the TOML file or the program, and raises ValueError with
what it "must be".
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from statecast import names as device_names
from statecast.access import rights_table
from statecast.access.grants import Grants
from statecast.errors import Malformed

MAX_MOUNT_PATH = 200
OWN_ADDRESS = "."
"""Of ``live_url``: the address of the app itself."""
SELF = "self"
"""In `frame_ancestors`: pages of the server's own origin."""
AN_ORIGIN = r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?/?"


def text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("must be text")
    return value


def yes_no(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    try:
        return words[str(value).lower()]
    except KeyError:
        raise ValueError("must be yes or no") from None


def whole(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError("must be a whole number")
        try:
            number = int(value)
        except ValueError:
            raise ValueError("must be a whole number") from None
        if not low <= number <= high:
            raise ValueError(f"must be between {low} and {high}")
        return number

    return check


def one_of(*known: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return str(value)

    return check


def several_of(*known: str) -> Callable[[Any], tuple[str, ...]]:
    def check(value: Any) -> tuple[str, ...]:
        parts = words(value)
        if not set(parts) <= set(known):
            raise ValueError(f"must hold some of {', '.join(known)}")
        return parts

    return check


def number(low: float, high: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        try:
            result = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            result = math.nan
        if not low <= result <= high:
            raise ValueError(f"must be a number between {low:g} and {high:g}")
        return result

    return check


def words(value: Any) -> tuple[str, ...]:
    """A list of texts, or one text with commas."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        raise ValueError("must be a list of texts, or one text with commas")
    return tuple(part for part in parts if part)


def origins(value: Any) -> tuple[str, ...]:
    """A list of origins. One that no browser can send is an error: it would never match."""
    parts = words(value)
    for part in parts:
        if part != "*" and re.fullmatch(r"https?://[^/?#@\s]+/?", part, re.IGNORECASE) is None:
            raise ValueError(
                f"must hold origins like https://app.example, without a path; {part!r} is none"
            )
    return parts


def ancestors(value: Any) -> tuple[str, ...]:
    """Origins for a content security policy, or ``self``. Every site is more than anyone means."""
    parts = words(value)
    for part in parts:
        if part != SELF and re.fullmatch(AN_ORIGIN, part, re.IGNORECASE) is None:
            raise ValueError(
                "must hold self, or origins like https://app.example, without a path and without "
                f"*; {part!r} is none"
            )
    return tuple(part.rstrip("/") for part in parts)


def mount_path(value: Any) -> str:
    """A path at which a site shows us, like ``/app``; "" is its root.

    It becomes a part of links and headers. So only plain segments are taken: no ``//`` that a
    browser would read as another host, no ``..``, nothing that needs an escape.
    """
    path = text(value).removesuffix("/")
    segments = path.split("/")[1:]
    plain = re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)*", path) is not None
    if not plain or len(path) > MAX_MOUNT_PATH or {".", ".."} & set(segments):
        raise ValueError("must be a path like /app")
    return path


def live_url(value: Any) -> str:
    """Where viewers are served: an origin, perhaps with a path, a path of the same site, or ``.``.

    It becomes a part of pages and headers, so its path is as plain as that of ``mount_path``.
    """
    url = text(value)
    if url in ("", "/", OWN_ADDRESS):
        return url
    found = re.match(r"(?:https?://[A-Za-z0-9_.:\[\]-]+)?", url, re.IGNORECASE)
    origin = found[0] if found else ""
    try:
        if origin and not (urlsplit(origin).hostname and urlsplit(origin).port != 0):
            raise ValueError
        return origin + mount_path(url[len(origin) :])
    except ValueError:
        raise ValueError(
            "must be a URL like https://live.example, a path like /live, or . for the app's own "
            "address"
        ) from None


def networks(value: Any) -> tuple[str, ...]:
    """A list of addresses and networks like ``10.0.0.0/8``."""
    parts = words(value)
    try:
        return tuple(str(ipaddress.ip_network(part, strict=False)) for part in parts)
    except ValueError as error:
        raise ValueError(f"must hold addresses or networks like 10.0.0.0/8 ({error})") from None


def deadlines(value: Any) -> Mapping[str, float]:
    """A table of pattern and seconds, or a text like ``pillow=60,floor2/*=300``."""
    if isinstance(value, str):
        value = dict(part.strip().rpartition("=")[::2] for part in value.split(",") if part.strip())
    if not isinstance(value, Mapping):
        raise ValueError("must be a table of device pattern and seconds, like pillow=60")
    seconds = number(0.001, 1e9)
    try:
        return {
            device_names.check_pattern(pattern): seconds(limit) for pattern, limit in value.items()
        }
    except Malformed as error:
        raise ValueError(f"must be a table of device pattern and seconds ({error})") from None


def device_commands(value: Any) -> Mapping[str, tuple[str, ...]]:
    """A table of pattern and names of commands, or a text like ``pillow=hug open,lamp/*=``."""
    if isinstance(value, str):
        parts = [part.strip().partition("=") for part in value.split(",") if part.strip()]
        is_table = all(equals for _, equals, _ in parts)
        value = {pattern: given for pattern, _, given in parts} if is_table else None
    if not isinstance(value, Mapping):
        raise ValueError("must be a table of device pattern and commands, like pillow=hug open")
    found = {}
    for pattern, given in value.items():
        commands = given.split() if isinstance(given, str) else given
        if not isinstance(commands, (list, tuple)):
            raise ValueError(f"must name the commands of {pattern!r} as a list of texts")
        try:
            found[device_names.check_pattern(pattern)] = device_names.check_commands(commands)
        except Malformed as error:
            raise ValueError(f"must be a table of device pattern and commands ({error})") from None
    return found


def command_queues(value: Any) -> Mapping[str, str]:
    """A table of pattern and URL, or a text like ``pillow=azure-queue:pillow-commands``."""
    if isinstance(value, str):
        value = dict(part.strip().partition("=")[::2] for part in value.split(",") if part.strip())
    if not isinstance(value, Mapping):
        raise ValueError("must be a table of device pattern and queue, like pillow=embedded:hugs")
    try:
        found = {device_names.check_pattern(pattern): url for pattern, url in value.items()}
    except Malformed as error:
        raise ValueError(f"must be a table of device pattern and queue ({error})") from None
    if not all(isinstance(url, str) and ":" in url for url in found.values()):
        raise ValueError("must be a table of device pattern and queue, like pillow=embedded:hugs")
    return found


def rights(value: Any) -> Mapping[str, Grants]:
    """A table of who, device pattern and actions; as one text it is JSON."""
    try:
        table = (json.loads(value) if value.strip() else {}) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"must be a table, or JSON in the environment ({error})") from None
    try:
        return rights_table.parse(table)
    except Malformed as error:
        raise ValueError(f"has a wrong entry ({error})") from None


def patterns(value: Any) -> tuple[str, ...]:
    """A list of device patterns."""
    try:
        return tuple(device_names.check_pattern(part) for part in words(value))
    except Malformed as error:
        raise ValueError(f"must hold device patterns ({error})") from None


def header_name(value: Any) -> str:
    """The name of a header field, or "". No name with ``_``: proxies and servers drop those."""
    name = text(value).strip()
    if re.fullmatch(r"[A-Za-z0-9-]*", name) is None:
        raise ValueError("must be the name of a header field, like X-Forwarded-User")
    if name.lower() in ("authorization", "cookie", "host"):
        raise ValueError("must be a field that only the proxy sets")
    return name


def keys_location(value: Any) -> str:
    """The address or the file of a provider's keys. Plain HTTP could be changed on its way."""
    location = text(value)
    if "://" not in location:
        return location
    try:
        parts = urlsplit(location)
        plain = parts.scheme == "http" and _is_loopback(parts.hostname or "")
        if not parts.hostname or parts.port == 0 or not (parts.scheme == "https" or plain):
            raise ValueError
    except ValueError:
        raise ValueError(
            "must be an address that begins with https://, or a file (http:// only of loopback)"
        ) from None
    return location


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
