"""The table: each field of ``Settings`` is one line of it, with name, default, sentence, check."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from statecast import names as device_names
from statecast.access.grants import Grants
from statecast.access.token_rules import ALGORITHMS
from statecast.errors import BadSetting
from statecast.model import ShownUpdate
from statecast.settings.checks import (
    ancestors,
    command_queues,
    deadlines,
    device_commands,
    header_name,
    keys_location,
    live_url,
    mount_path,
    networks,
    number,
    one_of,
    origins,
    patterns,
    rights,
    several_of,
    text,
    whole,
    words,
    yes_no,
)

T = TypeVar("T")


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
        return first_match(self.deadlines, update.device)

    def commands_of(self, update: ShownUpdate) -> tuple[str, ...] | None:
        """The commands that a device takes; None: it takes all, for nothing says what it takes.

        What the device said decides, else the first pattern that matches.
        """
        if update.commands is not None or not self.device_commands or update.state is None:
            return update.commands
        return self.commands_for(update.device)

    def commands_for(self, device: str) -> tuple[str, ...] | None:
        """What a device takes that does not say it; None: all."""
        return first_match(self.device_commands, device)


def first_match(table: Mapping[str, T], device: str) -> T | None:
    """The value of the first pattern that matches a device; None: none does."""
    return next((value for one, value in table.items() if device_names.match(one, device)), None)


def is_secret(line: dataclasses.Field[Any]) -> bool:
    return bool(line.metadata.get("secret"))


def names() -> frozenset[str]:
    return frozenset(line.name for line in dataclasses.fields(Settings))
