"""The one table of settings.

Flags, `STATECAST_*` variables, the TOML file, Flask keys and the reference come from it.

Rule 1: each field of ``Settings`` is one line of the table: name, default, sentence, check.
Rule 2: an unknown name is an error, and so is a value that fails its check.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from statecast import names as device_names
from statecast.access import rights_table
from statecast.access.grants import Grants
from statecast.access.token_rules import ALGORITHMS
from statecast.errors import BadSetting, Malformed
from statecast.model import ShownUpdate

T = TypeVar("T")
MAX_MOUNT_PATH = 200
OWN_ADDRESS = "."
"""Of ``live_url``: the address of the app itself."""
SELF = "self"
"""In `frame_ancestors`: pages of the server's own origin."""
AN_ORIGIN = r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?/?"
PREFIX = "STATECAST_"
SETTINGS_FILE = "STATECAST_CONFIG"
"""The one variable with our prefix that is no setting: the path of the settings file."""


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


def setting(
    default: Any, sentence: str, check: Callable[[Any], Any], *, secret: bool = False
) -> Any:
    """One line of the table. A secret has no flag, and no error or log shows it."""
    return dataclasses.field(
        default=default,
        repr=not secret,
        metadata={"sentence": sentence, "check": check, "secret": secret},
    )


def mapping_setting(sentence: str, check: Callable[[Any], Any]) -> Any:
    return dataclasses.field(default_factory=dict, metadata={"sentence": sentence, "check": check})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process. Raises BadSetting for a value that fails its check."""

    store: str = setting("sqlite:///statecast.db", "Where states are kept, as a URL.", text)
    source: tuple[str, ...] = setting(
        ("embedded:queue",),
        "The queues to watch, as URLs; `embedded:NAME` is a queue inside the store.",
        words,
    )
    title: str = setting("Statecast", "The name at the top of the pages.", text)
    host: str = setting("127.0.0.1", "The address to listen on.", text)
    port: int = setting(8000, "The port to listen on; 0 takes a free one.", whole(0, 65535))
    allow_public: bool = setting(
        False,
        "Allow a host other than loopback although anybody who reaches it may read every state.",
        yes_no,
    )
    others_may: tuple[str, ...] = setting(
        ("command",),
        "What clients that are not on the server's own machine may do besides reading: `command` "
        "(ask something of a device), `send` (be a device), `write`, `operate`.",
        several_of("command", "send", "write", "operate"),
    )
    rights: Mapping[str, Grants] = mapping_setting(
        'Who may do what, per device pattern: `[rights."group:family"]`, then '
        '`"smith/*" = "read command"`. An entry is `user:NAME`, `group:NAME`, `role:NAME`, '
        "`key:NAME` or `everyone` (who is signed in); the actions are `read`, `command`, `send`, "
        "`write`, `operate`.",
        rights,
    )
    session_hours: float = setting(
        168.0, "Hours for which a user stays signed in.", number(0.01, 8_784)
    )
    public_read: tuple[str, ...] = setting(
        (), "Device patterns that everybody may see without signing in.", patterns
    )
    trust_local: bool = setting(
        True,
        "Let requests of the server's own machine that name no one do everything.",
        yes_no,
    )
    jwt_issuer: str = setting(
        "", "Whose signed tokens (JWT) count: the claim `iss`, exactly.", text
    )
    jwt_audience: tuple[str, ...] = setting(
        (), "For whom signed tokens must be: one of these is in the claim `aud`.", words
    )
    jwt_jwks: str = setting(
        "",
        "The identity provider's public keys (JWKS): an `https://` address, or a file.",
        keys_location,
    )
    jwt_secret: str = setting(
        "",
        "The shared secret of tokens that are signed by HS256, at least 32 random bytes. It has no "
        "flag, because other users of a machine see command lines.",
        text,
        secret=True,
    )
    jwt_algorithms: tuple[str, ...] = setting(
        (),
        "How tokens may be signed; empty: HS256 with `jwt_secret`, RS256 and ES256 with "
        "`jwt_jwks`.",
        several_of(*ALGORITHMS),
    )
    jwt_user_claim: str = setting(
        "sub", "The claim that names the user; people must not be able to change it.", text
    )
    jwt_groups_claim: str = setting(
        "groups",
        "The claim with the user's groups, by its name or a path like `realm_access.roles`.",
        text,
    )
    jwt_leeway: float = setting(
        30.0,
        "Seconds by which the clocks of the provider and of this server may differ.",
        number(0, 300),
    )
    proxy_user_header: str = setting(
        "",
        "The header field in which a `trusted_proxy` says who the user is, like "
        "`X-Forwarded-User`. The proxy must remove what clients send in it.",
        header_name,
    )
    proxy_groups_header: str = setting(
        "",
        "The field in which a `trusted_proxy` names the user's groups, with commas.",
        header_name,
    )
    qr_code: bool = setting(
        True,
        "Print a QR code of the address for phones, in a terminal, where other machines reach it.",
        yes_no,
    )
    tls_cert: str = setting(
        "",
        "The file with the certificate chain, in PEM, to serve HTTPS; it is read again when it "
        "changes.",
        text,
    )
    tls_key: str = setting("", "The file with the key of `tls_cert`, in PEM.", text)
    hsts_days: int = setting(
        0,
        "For how many days browsers ask this host by HTTPS only (HSTS); 0: as they like.",
        whole(0, 3_650),
    )
    workers: int = setting(1, "How many serving processes share the port.", whole(1, 64))
    demo: bool = setting(
        False, "Start a simulated pillow that sends messages into the embedded queue.", yes_no
    )
    allow_hosts: tuple[str, ...] = setting(
        (),
        "Host names under which browsers may ask, besides localhost, loopback and the host itself.",
        words,
    )
    base_path: str = setting(
        "",
        "The path below which a proxy passes requests on unchanged, like `/app`; see the how-to "
        "about proxies.",
        mount_path,
    )
    live_url: str = setting(
        "",
        "Where `statecast run` serves the viewers of pages that another server answers: a URL, a "
        "path of the same site, or `.` for the app's own address (one proxy before both).",
        live_url,
    )
    allow_origins: tuple[str, ...] = setting(
        (),
        "Other origins whose pages may connect and use REST, like `https://app.example`; "
        "`*`: all may read.",
        origins,
    )
    frame_ancestors: tuple[str, ...] = setting(
        (),
        "Whose pages may show ours in a frame: origins like `https://app.example`, or `self`; "
        "empty: none.",
        ancestors,
    )
    namespaces: tuple[str, ...] = setting(
        (),
        "Socket.IO namespaces that viewers may join, besides `/` and those with handlers.",
        words,
    )
    trusted_proxy: tuple[str, ...] = setting(
        (), "Addresses of proxies whose X-Forwarded-For, -Proto and -Prefix are believed.", words
    )
    metrics_from: tuple[str, ...] = setting(
        (),
        "Addresses and networks that may read `/metrics`, besides loopback; "
        "behind a `trusted_proxy` those of its clients.",
        networks,
    )
    deadlines: Mapping[str, float] = mapping_setting(
        "Seconds of silence after which a device counts as silent, per pattern; "
        "a message's own `silent_after` wins.",
        deadlines,
    )
    device_commands: Mapping[str, tuple[str, ...]] = mapping_setting(
        "The commands that a device takes, per pattern, like `pillow=hug open`; "
        "what a device says itself (`commands`) wins.",
        device_commands,
    )
    card_fields: tuple[str, ...] = setting(
        (), "The main fields of a card, in this order; empty: a sensible choice by name.", words
    )
    history_versions: int = setting(
        1_000, "How many versions of a device the history keeps.", whole(1, 1_000_000)
    )
    history_days: float = setting(
        7.0, "For how many days the history keeps a version.", number(0.001, 36_500)
    )
    history_rows: int = setting(
        1_000_000, "How many versions the history keeps in all.", whole(1, 1_000_000_000)
    )
    history_bytes: int = setting(
        1_000_000_000, "How many bytes the history keeps in all.", whole(1, 10**13)
    )
    max_devices: int = setting(
        100_000,
        "How many devices the store holds; beyond it messages of new ones go to quarantine.",
        whole(1, 100_000_000),
    )
    max_open_commands: int = setting(
        100,
        "How many commands of a device may be open at once; more are refused, and more than half "
        "of them from one user, key or address.",
        whole(1, 10_000),
    )
    max_open_commands_in_all: int = setting(
        10_000,
        "How many commands of all devices may be open at once; more are refused, and more than "
        "half of them from one user, key or address.",
        whole(1, 1_000_000),
    )
    audit_rows: int = setting(
        100_000,
        "How many entries the audit keeps of who edited, asked, replayed, dropped or signed in, "
        "and as many of who was given or lost a right.",
        whole(100, 10_000_000),
    )
    command_queues: Mapping[str, str] = mapping_setting(
        "The queue into which commands are put, as a URL, per device pattern; the option "
        "`commands` of a source does it for the devices that report through it.",
        command_queues,
    )
    commands_kept: int = setting(
        1_000, "How many commands of a device are kept, for a week.", whole(1, 1_000_000)
    )
    quarantine_rows: int = setting(
        10_000,
        "How many messages the quarantine keeps; beyond it the oldest go.",
        whole(1, 10_000_000),
    )
    queue_messages: int = setting(
        1_000_000,
        "How many messages the embedded queue holds; full, `send` fails.",
        whole(1, 1_000_000_000),
    )
    queue_bytes: int = setting(
        1_000_000_000,
        "How many bytes the embedded queue holds; full, `send` fails.",
        whole(1, 10**13),
    )
    late_message_hours: float = setting(
        24.0, "How far behind a device's newest message a late one may lie.", number(0.001, 10_000)
    )
    visibility_timeout: float = setting(
        30.0,
        "Seconds after which a received message that is not acknowledged appears again.",
        number(0.1, 604_800),
    )
    batch_size: int = setting(
        256, "How many messages one receive and one commit take.", whole(1, 10_000)
    )
    max_connections: int = setting(
        20_000, "How many connections one process holds; beyond it 503.", whole(1, 1_000_000)
    )
    connections_per_address: int = setting(
        200, "How many open connections one address may hold.", whole(1, 1_000_000)
    )
    connect_rate_limit: float = setting(
        20.0,
        "How many new connections per second one address may open, "
        "after a burst of as many as it may hold.",
        number(0.1, 1e6),
    )
    page_rate_limit: float = setting(
        20.0,
        "How many pages and REST reads per second one address may request, after a burst of 100.",
        number(0.1, 1e6),
    )
    write_rate_limit: float = setting(
        50.0,
        "How many messages, edits and commands per second one user or key may send by REST, "
        "after a burst of 1,000.",
        number(0.1, 1e6),
    )
    header_timeout: float = setting(
        10.0, "Seconds a request's head may take (408).", number(0.1, 3600)
    )
    header_bytes: int = setting(
        32_768, "Bytes a request's head may have (431).", whole(1_024, 1_048_576)
    )
    header_count: int = setting(100, "Header lines a request may have (431).", whole(8, 10_000))
    url_bytes: int = setting(8_192, "Bytes a URL may have (414).", whole(256, 65_536))
    body_timeout: float = setting(
        30.0, "Seconds a request's body may take (408).", number(0.1, 3600)
    )
    body_bytes: int = setting(
        1_048_576, "Bytes a request's body may have (413).", whole(1_024, 2**31)
    )
    write_timeout: float = setting(
        10.0, "Seconds for which a peer may accept nothing before it is cut.", number(0.1, 3600)
    )
    wsgi_threads: int = setting(
        16, "How many requests Flask answers at the same time.", whole(1, 1_000)
    )
    handler_threads: int = setting(
        64,
        "How many plain functions of the application handle viewers' events at the same time.",
        whole(1, 1_000),
    )
    reaction_threads: int = setting(
        4,
        "How many calls of one reaction run at the same time, each for another device.",
        whole(1, 1_000),
    )
    log_level: str = setting(
        "info",
        "The least important records in the log.",
        one_of("debug", "info", "warning", "error"),
    )
    log_format: str = setting(
        "text", "Lines of text, or a JSON object for each record.", one_of("text", "json")
    )
    shutdown_timeout: float = setting(
        5.0, "Seconds for which a stopping server lets requests finish.", number(0.0, 25)
    )
    connect_timeout: float = setting(
        10.0, "Seconds until a socket must have joined a namespace.", number(0.1, 3600)
    )
    ping_interval: float = setting(25.0, "Seconds between the server's pings.", number(0.05, 3600))
    ping_timeout: float = setting(
        20.0, "Seconds to wait for the answer to a ping.", number(0.05, 3600)
    )
    max_payload: int = setting(
        65_536, "Bytes one message of a viewer may have (close 1009).", whole(64, 100_000_000)
    )
    viewer_buffer: int = setting(
        65_536,
        "Bytes a viewer's transport may hold before the viewer is skipped.",
        whole(1_024, 16_777_216),
    )
    compression: bool = setting(
        True,
        "Compress what several viewers get together, for those that accept it. Under access "
        "control only where the devices in it are under one pattern of the viewer's rights.",
        yes_no,
    )
    long_polling: bool = setting(
        True,
        "Take viewers on long polling. Off where several hosts answer under one name without "
        "sticky sessions: such a viewer's requests would reach hosts that do not know it.",
        yes_no,
    )
    polling_buffer: int = setting(
        8_388_608,
        "Bytes of events that may wait for the next polls of a viewer on long polling.",
        whole(1_024, 1_073_741_824),
    )
    polling_memory: int = setting(
        67_108_864,
        "Bytes that wait for polls in one process; beyond it each viewer has `viewer_buffer`.",
        whole(1_024, 2**40),
    )
    viewer_rate_limit: int = setting(
        3_000,
        "Messages per minute that are read of a viewer, after a burst of 200; further ones wait.",
        whole(1, 10_000_000),
    )
    watch_rate_limit: int = setting(
        100,
        "Requests `watch` per minute a viewer may send, after a burst of 50; "
        "20 patterns in one count as one more.",
        whole(1, 10_000_000),
    )
    watch_patterns: int = setting(
        1_000, "How many patterns one viewer may watch.", whole(1, 100_000)
    )
    max_states_bytes: int = setting(
        262_144,
        "Bytes one `states` event may have before it is cut into slices.",
        whole(1_024, 16_777_216),
    )

    def __post_init__(self) -> None:
        for line in dataclasses.fields(self):
            try:
                object.__setattr__(
                    self, line.name, line.metadata["check"](getattr(self, line.name))
                )
            except ValueError as error:
                shown = "" if is_secret(line) else f"; it is {getattr(self, line.name)!r}"
                raise BadSetting(f"The setting {line.name} {error}{shown}.") from None

    def deadline(self, update: ShownUpdate) -> float | None:
        """Seconds without a message after which a device counts as silent; None: it never does.

        The device's own deadline decides, else that of the first pattern that matches.
        """
        if update.silent_after is not None or not self.deadlines:
            return update.silent_after
        matching = (
            seconds
            for pattern, seconds in self.deadlines.items()
            if device_names.match(pattern, update.device)
        )
        return next(matching, None)

    def commands_of(self, update: ShownUpdate) -> tuple[str, ...] | None:
        """The commands that a device takes; None: it takes all, for nothing says what it takes.

        What the device said decides, else the first pattern that matches.
        """
        if update.commands is not None or update.state is None:
            return update.commands
        return self.commands_for(update.device)

    def commands_for(self, device: str) -> tuple[str, ...] | None:
        """What a device takes that does not say it; None: all."""
        if not self.device_commands:
            return None
        matching = (
            commands
            for pattern, commands in self.device_commands.items()
            if device_names.match(pattern, device)
        )
        return next(matching, None)


def is_secret(line: dataclasses.Field[Any]) -> bool:
    return bool(line.metadata.get("secret"))


def names() -> frozenset[str]:
    return frozenset(line.name for line in dataclasses.fields(Settings))


def load(
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
    flask: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings from all sources. Raises BadSetting.

    Flags win over the environment, the environment over Flask's keys, those over the TOML file.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values |= known(read_file(file), f"in {file}")
    if flask is not None:
        values |= known(prefixed(flask), "in the Flask configuration")
    if environ is not None:
        values |= known(
            prefixed({name: environ[name] for name in environ if name != SETTINGS_FILE}),
            "in the environment",
        )
    values |= known(
        {name: value for name, value in (flags or {}).items() if value is not None}, "given"
    )
    return Settings(**values)


def prefixed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in values.items()
        if name.startswith(PREFIX)
    }


def known(values: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    for name in values:
        if name not in names():
            raise BadSetting(
                f"There is no setting {name!r} ({where}). "
                f"The settings are: {', '.join(sorted(names()))}."
            )
    return values


def read_file(file: Path) -> dict[str, Any]:
    import tomllib  # here: most settings come without a file

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BadSetting(f"The settings file {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"The settings file {file} is not TOML: {error}.") from error
