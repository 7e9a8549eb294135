"""The table of settings: every line has a sentence and a check; nothing is ignored silently."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from statecast import settings as table
from statecast.access.grants import Grants
from statecast.cli.options import ALL_SETTINGS
from statecast.errors import BadSetting
from statecast.model import Cause, Update
from statecast.settings import Settings, is_secret, load

LINES = {line.name: line for line in dataclasses.fields(Settings)}


def test_every_line_has_a_sentence_and_a_default_that_passes_its_check() -> None:
    defaults = Settings()
    for name, line in LINES.items():
        sentence = line.metadata["sentence"]
        assert sentence[0].isupper() and sentence.endswith("."), name
        value = getattr(defaults, name)
        assert line.metadata["check"](value) == value, name


@pytest.mark.parametrize(
    "name", [name for name, line in LINES.items() if isinstance(line.default, (int, float))]
)
def test_numbers_and_switches_refuse_what_they_are_not(name: str) -> None:
    for wrong in ("lots", "", None, [], float("nan"), -1 if name != "allow_public" else "maybe"):
        with pytest.raises(BadSetting, match=rf"The setting {name} must be .*; it is "):
            Settings(**{name: wrong})


@pytest.mark.parametrize(
    "name", [name for name, line in LINES.items() if isinstance(line.default, str)]
)
def test_texts_refuse_what_they_are_not(name: str) -> None:
    for wrong in (5, None, b"bytes", "with\0nul"):
        with pytest.raises(BadSetting, match=f"The setting {name} must be"):
            Settings(**{name: wrong})


@pytest.mark.parametrize(
    "name", [name for name, line in LINES.items() if isinstance(line.default, tuple)]
)
def test_lists_are_lists_or_texts_with_commas(name: str) -> None:
    special = {
        "allow_origins": ("http://a", "https://b:8443"),
        "frame_ancestors": ("self", "https://b:8443"),
        "metrics_from": ("10.0.0.0/8", "fd00::/8"),
        "others_may": ("send", "write"),
        "jwt_algorithms": ("RS256", "ES256"),
    }
    a, b = special.get(name, ("a", "b"))
    assert getattr(Settings(**{name: f"{a}, {b},,"}), name) == (a, b)
    assert getattr(Settings(**{name: [a, b]}), name) == (a, b)
    assert getattr(Settings(**{name: ""}), name) == ()
    for wrong in (5, [5], None, {"a": 1}):
        with pytest.raises(BadSetting, match=f"The setting {name} must be"):
            Settings(**{name: wrong})


@pytest.mark.parametrize(
    "wrong", ["evil", "evil.example", "https://", "https://a/path", "null", "https://u@a", "a://b"]
)
def test_an_origin_that_no_browser_can_send_is_refused(wrong: str) -> None:
    assert Settings(allow_origins=("*",)).allow_origins == ("*",)
    with pytest.raises(BadSetting, match="must hold origins"):
        Settings(allow_origins=("https://good.example", wrong))


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("port", "8080", 8080),
        ("port", 0, 0),
        ("port", 65535, 65535),
        ("visibility_timeout", "0.5", 0.5),
        ("allow_public", "Yes", True),
        ("allow_public", "off", False),
        ("allow_public", 1, True),
        ("deadlines", "pillow=60, floor2/*=300,*=1.5", {"pillow": 60, "floor2/*": 300, "*": 1.5}),
        ("deadlines", {"pillow": "60"}, {"pillow": 60}),
        ("deadlines", "", {}),
        ("command_queues", "", {}),
        (
            "command_queues",
            "pillow=azure-queue:hugs, floor2/*=embedded:a?b=c,*=embedded:rest",
            {"pillow": "azure-queue:hugs", "floor2/*": "embedded:a?b=c", "*": "embedded:rest"},
        ),
        ("command_queues", {"pillow": "embedded:hugs"}, {"pillow": "embedded:hugs"}),
    ],
)
def test_a_value_may_be_text_too(name: str, given: Any, value: Any) -> None:
    assert getattr(Settings(**{name: given}), name) == value


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("port", 65536),
        ("port", -1),
        ("port", 1.5),
        ("port", True),
        ("port", "0x50"),
        ("workers", 0),
        ("visibility_timeout", 0),
        ("visibility_timeout", float("inf")),
        ("visibility_timeout", True),
        ("allow_public", "maybe"),
        ("allow_public", 2),
        ("deadlines", "pillow"),
        ("deadlines", "pillow=soon"),
        ("deadlines", "pillow=0"),
        ("deadlines", {"a*": 5}),
        ("deadlines", {"": 5}),
        ("deadlines", {5: 5}),
        ("deadlines", ["pillow"]),
        ("command_queues", "pillow"),
        ("command_queues", "pillow=hugs"),
        ("command_queues", {"a*": "embedded:hugs"}),
        ("command_queues", {"pillow": 5}),
        ("command_queues", ["embedded:hugs"]),
        ("shutdown_timeout", 26),
    ],
)
def test_a_value_outside_its_bounds_is_an_error(name: str, wrong: Any) -> None:
    with pytest.raises(BadSetting, match=f"The setting {name} must be"):
        Settings(**{name: wrong})


# Where they come from


def test_flags_win_over_the_environment_that_over_flask_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "statecast.toml"
    file.write_text(
        'port = 1\nhost = "file"\nstore = "memory:"\nbatch_size = 7\n[deadlines]\npillow = 60\n'
    )
    flask = {
        "STATECAST_PORT": 2,
        "STATECAST_HOST": "flask",
        "STATECAST_STORE": "sqlite:///f",
        "SECRET_KEY": "x",
    }
    environ = {"STATECAST_PORT": "3", "STATECAST_HOST": "environ", "HOME": "/"}
    loaded = load({"port": 4, "host": None}, environ, file, flask)
    assert (loaded.port, loaded.host, loaded.store, loaded.batch_size) == (
        4,
        "environ",
        "sqlite:///f",
        7,
    )
    assert loaded.deadlines == {"pillow": 60}
    assert load() == Settings()


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ({"flags": {"prot": 1}}, "given"),
        ({"environ": {"STATECAST_PROT": "1"}}, "in the environment"),
        ({"flask": {"STATECAST_PROT": 1}}, "in the Flask configuration"),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known(
    source: dict[str, Any], where: str
) -> None:
    with pytest.raises(BadSetting, match=rf"no setting 'prot' \({where}\).*port"):
        load(**source)


def test_other_variables_are_ignored() -> None:
    for name in (table.SETTINGS_FILE, "CHROMIUM", "TEST_STATECAST_SEED"):
        assert load(environ={name: "1"}) == Settings()


def test_a_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="cannot be read: No such file"):
        load(file=tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    for content, sentence in (
        (b"port = ", "is not TOML"),
        (b"\xff", "is not TOML"),
        (b"prot = 1", "no setting 'prot'"),
    ):
        bad.write_bytes(content)
        with pytest.raises(BadSetting, match=sentence):
            load(file=bad)


# The deadline of a device


@pytest.mark.parametrize(
    ("device", "own", "deadline"),
    [
        ("pillow", None, 60),
        ("pillow", 5.0, 5),
        ("floor2/lamp", None, 300),
        ("floor2", None, 9),
        ("pillow2", None, 9),
    ],
)
def test_the_deadline_is_the_devices_own_else_that_of_the_first_pattern(
    device: str, own: float | None, deadline: float
) -> None:
    update = Update(device, 1, 1, b"{}", 0, None, Cause("q", "1", "device"), own)
    chosen = Settings(deadlines={"pillow": 60, "floor2/*": 300, "*": 9})
    assert chosen.deadline(update) == deadline
    assert Settings().deadline(update) == own


RIGHTS = {"user:ada": {"pillow": "read command"}, "everyone": {"hall/*": ["read"]}}


def test_the_table_of_rights_is_a_table_or_json(tmp_path: Path) -> None:
    expected = {who: Grants.of(table) for who, table in RIGHTS.items()}
    file = tmp_path / "statecast.toml"
    file.write_text(
        '[rights."user:ada"]\npillow = "read command"\n[rights.everyone]\n"hall/*" = ["read"]\n'
    )
    for found in (
        Settings(rights=RIGHTS),
        Settings(rights=json.dumps(RIGHTS)),
        load(environ={"STATECAST_RIGHTS": json.dumps(RIGHTS)}),
        load(file=file),
        dataclasses.replace(Settings(rights=RIGHTS), port=0),
    ):
        assert found.rights == expected
    assert Settings(rights="").rights == {}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"user:ada": {"pillow": "raed"}}, "user:ada: There is no action 'raed'"),
        ({"user:ada": {"pillow": ""}}, "user:ada: The actions are words"),
        ({"user:ada": {"pil*": "read"}}, "user:ada: “pil\\*” is not a pattern"),
        ({"user:ada": {"pillow": "operate"}}, "user:ada: The action operate concerns no device"),
        ({"user:ada": "read"}, "user:ada has no table"),
        ({"user:": {"*": "read"}}, "'user:' names no one: an entry is user:NAME"),
        ({"ada": {"*": "read"}}, "'ada' names no one"),
        ({"User:ada": {"*": "read"}}, "'User:ada' names no one"),
        ({"user: ada": {"*": "read"}}, "'user: ada' names no one"),
        ({"everyone:ada": {"*": "read"}}, "'everyone:ada' names no one"),
        ({"role:king": {"*": "read"}}, "There is no role 'king'; there are viewer, editor"),
        ({5: {"*": "read"}}, "5 names no one"),
        (["user:ada"], "It is a table like"),
        ("{", "must be a table, or JSON in the environment"),
        ("[1]", "It is a table like"),
        (None, "It is a table like"),
    ],
)
def test_a_wrong_table_of_rights_is_refused_in_one_sentence(wrong: Any, named: str) -> None:
    with pytest.raises(BadSetting, match=f"^The setting rights .*{named}"):
        Settings(rights=wrong)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("public_read", "pil*"),
        ("public_read", "a//b"),
        ("proxy_user_header", "X Forwarded User"),
        ("proxy_user_header", "X_Forwarded_User"),
        ("proxy_user_header", "Authorization"),
        ("proxy_groups_header", "cookie"),
        ("proxy_groups_header", "X-Groups:"),
    ],
)
def test_wrong_patterns_and_fields_are_refused(name: str, wrong: str) -> None:
    with pytest.raises(BadSetting, match=f"^The setting {name} must "):
        Settings(**{name: wrong})


def test_a_secret_has_no_flag_and_no_error_shows_it() -> None:
    secret = "a secret of this test"
    assert secret not in repr(Settings(jwt_secret=secret))
    with pytest.raises(BadSetting, match=r"^The setting jwt_secret must be text\.$"):
        Settings(jwt_secret=secret + "\0")
    assert "jwt_secret" not in ALL_SETTINGS
    assert [name for name, line in LINES.items() if is_secret(line)] == ["jwt_secret"]
