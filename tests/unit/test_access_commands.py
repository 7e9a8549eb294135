"""The commands for keys, users, share links and the audit."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from statecast.access import passwords
from statecast.access.credentials import Credentials
from statecast.access.identity import ANONYMOUS
from statecast.access.policy import AccessPolicy, Rules
from statecast.access.records import AuditEntry
from statecast.access.sessions import Sessions
from statecast.access.shares import Shares
from statecast.cli import user
from statecast.cli.main import main
from statecast.commands.request import new_command
from statecast.model import Change, Refusal
from statecast.stores import open_store
from statecast.testing.values import change, message
from statecast.timestamps import now

Invoke = Callable[..., Result]
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a new store, and passwords that are hashed fast."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(passwords, "METHOD", "scrypt:1024:8:1")
    open_store("sqlite:///statecast.db").close()


@pytest.fixture
def statecast() -> Invoke:
    def invoke(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, words, input=stdin, terminal_width=200)

    return invoke


def who(bearer: str) -> tuple[str, dict[str, str]]:
    """Who a token is of, as a server finds it, and what that one may do."""
    store = open_store("sqlite:///statecast.db", begin_epoch=False)
    try:
        policy = AccessPolicy(Rules(), lambda: store, now)
        found = policy.identify(Credentials(bearer=bearer))
        return found.sender, policy.grants(found).as_table()
    finally:
        store.close()


def test_a_key_is_printed_once_listed_and_revoked(statecast: Invoke) -> None:
    made = statecast(
        *("key", "create", "pillow-1", "--send", "pillow", "--send", "floor2/*"),
        *("--read", "pillow", "--expires", "90d"),
    )
    assert made.exit_code == 0
    token = made.stdout.strip()
    assert who(token) == ("key pillow-1", {"floor2/*": "send", "pillow": "read send"})
    listed = statecast("key", "list")
    assert "pillow-1  expires in 89 d  send floor2/*, read send pillow" in listed.stdout
    assert token[-43:] not in listed.stdout
    row = json.loads(statecast("key", "list", "--json").stdout)
    assert row["grants"] == {"floor2/*": "send", "pillow": "read send"}
    assert statecast("key", "revoke", "pillow-1").stdout == "Revoked: pillow-1.\n"
    assert statecast("key", "list").stderr == "There is no key.\n"


def test_a_key_for_the_operators_page(statecast: Invoke) -> None:
    token = statecast("key", "create", "prometheus", "--operate").stdout.strip()
    assert who(token)[1] == {"*": "operate"}


def test_users_are_added_changed_and_removed(statecast: Invoke) -> None:
    added = statecast(
        "user", "add", "Ada", "--role", "operator", "--password-stdin", stdin=f"{PASSWORD}\n"
    )
    assert (added.exit_code, added.stdout) == (0, "Added: ada, operator.\n")
    statecast("user", "add", "bob", "--group", "nurses", "--password-stdin", stdin=PASSWORD)
    rows = [json.loads(row) for row in statecast("user", "list", "--json").stdout.splitlines()]
    assert [(row["name"], row["role"], row["groups"]) for row in rows] == [
        ("ada", "operator", []),
        ("bob", "viewer", ["nurses"]),
    ]
    assert "scrypt" not in statecast("user", "list", "--json").stdout
    assert statecast("user", "role", "bob", "editor").stdout == "bob is editor now.\n"
    changed = statecast("user", "password", "bob", "--password-stdin", stdin="another long one")
    assert changed.exit_code == 0
    refused = statecast("user", "remove", "ada")
    assert (refused.exit_code, "the last operator" in refused.stderr) == (1, True)
    assert statecast("user", "remove", "bob").stdout == "Removed: bob.\n"


def test_a_password_is_typed_twice(statecast: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([PASSWORD, "something else", PASSWORD, PASSWORD])
    monkeypatch.setattr(user.sys.stdin.__class__, "isatty", lambda self: True, raising=False)
    monkeypatch.setattr(user, "new_password", lambda stdin: user.typed_twice())
    monkeypatch.setattr(user.getpass, "getpass", lambda prompt: next(typed))
    added = statecast("user", "add", "ada")
    assert (added.exit_code, "not the same" in added.stderr) == (0, True)
    assert list(typed) == []


def test_a_link_is_printed_listed_and_revoked(
    statecast: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = statecast("share", "smith/*", "--expires", "12h", "--address", "https://a.example/x/")
    found = re.fullmatch(
        r"https://a\.example/x/statecast/share#(sh_([0-9a-f]{16})_.{43})\n", made.stdout
    )
    assert found is not None
    assert who(found[1]) == (f"share {found[2]}", {"smith/*": "read"})
    assert f"{found[2]}  smith/*  expires in 11 h  by machine" in statecast("shares").stdout
    assert json.loads(statecast("shares", "--json").stdout)["pattern"] == "smith/*"
    assert statecast("unshare", found[2]).stdout == f"Revoked: {found[2]}.\n"
    assert statecast("shares").stderr == "There is no share link.\n"
    near = statecast("share", "pillow", "--host", "::1", "--port", "80")
    assert near.stdout.startswith("http://[::1]:80/statecast/share#sh_")
    assert "With --address" in near.stderr
    monkeypatch.setenv("STATECAST_TLS_CERT", "cert.pem")
    monkeypatch.setenv("STATECAST_TLS_KEY", "key.pem")
    secure = statecast("share", "pillow")
    assert secure.stdout.startswith("https://127.0.0.1:8000/statecast/share#sh_")


def test_the_audit_lists_who_did_what(statecast: Invoke) -> None:
    assert statecast("audit").stderr == "There is no entry yet.\n"
    statecast("key", "create", "a", "--read", "*")
    statecast("key", "revoke", "a")
    rows = [json.loads(row) for row in statecast("audit", "--json").stdout.splitlines()]
    assert [(row["by"], row["action"], row["target"], row["detail"]) for row in rows] == [
        ("machine", "key revoked", "a", ""),
        ("machine", "key created", "a", "read *"),
    ]
    assert "machine  key revoked  a" in statecast("audit", "--limit", "1").stdout
    assert statecast("audit", "--by", "user ada").stderr == "There is no entry yet.\n"


LINK = re.compile(r"#sh_([0-9a-f]{16})_")


def last_link(results: list[Result]) -> str:
    """The id of the share link that one of these commands printed."""
    found = [link[1] for one in results if (link := LINK.search(one.stdout))]
    return found[-1]


@pytest.mark.parametrize(
    ("commands", "entry"),
    [
        (["command pillow hug strength=2"], ("command", "pillow", "hug")),
        (["quarantine replay 1"], ("replay", "1", "")),
        (["quarantine drop 1"], ("drop", "1", "")),
        (["key create a --read *"], ("key created", "a", "read *")),
        (["key create a --read *", "key revoke a"], ("key revoked", "a", "")),
        (["user add Ada --password-stdin"], ("user added", "ada", "viewer")),
        (
            ["user add ada --password-stdin", "user password ada --password-stdin"],
            ("password set", "ada", ""),
        ),
        (["user add ada --password-stdin", "user role ada editor"], ("role set", "ada", "editor")),
        (["user add ada --password-stdin", "user remove ada"], ("user removed", "ada", "")),
        (["share smith/*"], ("share created", "LINK", "smith/*")),
        (["share smith/*", "unshare LINK"], ("share revoked", "LINK", "")),
        (["forget pillow --yes"], ("device forgotten", "forgotten", "")),
    ],
)
def test_what_the_machine_does_stands_in_the_audit_once(
    statecast: Invoke, commands: list[str], entry: tuple[str, str, str]
) -> None:
    # given a device, one message in quarantine, and what Ada did
    store = open_store("sqlite:///statecast.db")
    bad = Refusal("No state.", b"SECRET-body", None, None)
    store.commit("queue", 1, [message("p", change("pillow", {"mood": "SECRET-mood"}))])
    store.commit("queue", 1, [message("bad", refusals=(bad,))])
    store.note(AuditEntry("user ada", "edit", "lamp", "merge"))
    store.close()
    # when the machine's commands run
    done: list[Result] = []
    for words in commands:
        known = words.replace("LINK", last_link(done)) if "LINK" in words else words
        done.append(statecast(*known.split(), stdin=PASSWORD))
    # then the newest entry says what was done, with nothing that is secret or a state in it
    newest, *others = (json.loads(one) for one in statecast("audit", "--json").stdout.splitlines())
    action, target, detail = entry
    expected = (action, last_link(done) if target == "LINK" else target, detail)
    assert (newest["action"], newest["target"], newest["detail"]) == expected
    assert newest["by"] == "machine"
    assert len(others) == len(commands)
    shown = statecast("audit", "--json").stdout
    assert not re.search("SECRET|scrypt|strength|horse", shown)
    assert all(one.stdout.strip()[-43:] not in shown for one in done if "_" in one.stdout)


@pytest.mark.parametrize(
    "words",
    [
        "command lamp hug",
        "quarantine drop 1 2",
        "quarantine replay 2",
        "key revoke a",
        "user remove ada",
        "unshare a",
        "forget lamp --yes",
        "quarantine list",
        "key list",
    ],
)
def test_what_is_refused_or_only_read_is_in_no_audit(statecast: Invoke, words: str) -> None:
    store = open_store("sqlite:///statecast.db")
    bad = Refusal("No state.", b"x", None, None)
    store.commit("queue", 1, [message("bad", refusals=(bad,))])
    store.close()
    statecast(*words.split())
    assert statecast("audit").stderr == "There is no entry yet.\n"


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("key create a", 2, "Say what the key may do"),
        ("key create a --read a*", 1, "is not a pattern"),
        ("key create a/b --read a", 1, "The name of a key"),
        ("key create a --read a --expires 5", 2, "write a time like 90d"),
        ("key create a --read a --expires 0d", 2, "write a time like 90d"),
        ("key revoke a", 1, "There is no key “a”"),
        ("user add ada", 1, "--password-stdin"),
        ("user add ada --role boss", 2, "boss"),
        ("user add ada --password-stdin", 1, "10 to 1,000 characters"),
        ("user password ada --password-stdin", 1, "There is no user “ada”"),
        ("user role ada viewer", 1, "There is no user “ada”"),
        ("user remove ada", 1, "There is no user “ada”"),
        ("share a*", 1, "is not a pattern"),
        ("share a --expires 9999999d", 2, "write a time like 90d"),
        ("share a --expires 5000d", 1, "at most ten years"),
        ("unshare a", 1, "There is no share link “a”"),
        ("audit --store memory:", 2, "lives in the process"),
        ("key list --store sqlite:///other.db", 1, "There is no store"),
    ],
)
def test_what_is_refused(statecast: Invoke, words: str, status: int, sentence: str) -> None:
    done = statecast(*words.split(), stdin="short" if "add" in words else PASSWORD)
    assert done.exit_code == status
    assert sentence in done.stderr
    assert "Traceback" not in done.output


def test_a_first_key_or_user_makes_the_store(statecast: Invoke) -> None:
    made = statecast("key", "create", "a", "--read", "*", "--store", "sqlite:///new.db")
    assert made.exit_code == 0 and Path("new.db").exists()


def kept_bytes() -> bytes:
    """All bytes of the store's files."""
    return b"".join(path.read_bytes() for path in Path().glob("statecast.db*") if path.is_file())


def test_a_forgotten_device_is_in_no_byte_of_the_store(statecast: Invoke) -> None:
    # given a pillow with a past, of which some was overwritten already, beside a lamp
    store = open_store("sqlite:///statecast.db")
    for number in range(30):
        text = f"MARKER-{number}" * 20
        one = change("pillow", {"mood": text}, event_id=text)
        store.commit("queue", 1, [message(f"m{number}", one, sent_at=now())])
    bad = Refusal("No state.", b"MARKER-bad", None, "pillow")
    store.commit("queue", 1, [message("bad", sent_at=now(), refusals=(bad,))])
    store.begin_command(new_command("pillow", "hug", {"how": "MARKER-how"}))
    store.commit("queue", 1, [message("lamp", change("lamp", {"on": True}), sent_at=now())])
    assert b"MARKER" in kept_bytes()
    # when it is forgotten while a server has the store open
    assert statecast("forget", "pillow", stdin="n\n").exit_code == 1
    assert b"MARKER" in kept_bytes()
    done = statecast("forget", "pillow", "--yes")
    # then no byte of it is left, and the command says what it cannot reach
    assert (done.exit_code, done.stdout) == (0, "Forgotten: the device pillow.\n")
    assert "Backups" in done.stderr
    assert b"MARKER" not in kept_bytes()
    removed, lamp = store.get("pillow"), store.get("lamp")
    assert removed is not None and removed.state is None
    assert lamp is not None and lamp.state == b'{"on":true}'
    assert store.check() == []
    store.close()


def test_a_forgotten_user_is_named_nowhere(statecast: Invoke) -> None:
    # given a user with a past, an open session and a link, and an open server
    store = open_store("sqlite:///statecast.db")
    add = ("user", "add", "ada-lovelace", "--password-stdin")
    statecast(*add, stdin=PASSWORD)
    record = store.access_record("user", "ada-lovelace")
    assert record is not None
    cookie = Sessions(store, now, 1).begin(record)
    Shares(store, now).create("pillow", 60, by="user ada-lovelace")
    edited = AuditEntry("user ada-lovelace", "edit", "pillow")
    one = change("pillow", {"n": 1}, by="user")
    store.edit(one, sender="user ada-lovelace", audit=edited)
    # when she is forgotten
    done = statecast("forget", "--user", "Ada-Lovelace", "--yes")
    assert (done.exit_code, done.stdout) == (0, "Forgotten: the person Ada-Lovelace.\n")
    # then no byte has the name, and the session is refused
    assert b"ada-lovelace" not in kept_bytes().lower()
    policy = AccessPolicy(Rules(), lambda: store, now)
    assert policy.identify(Credentials(session=cookie)) == ANONYMOUS
    assert [one.by for one in Shares(store, now).all()] == ["user forgotten"]
    assert store.check() == []
    store.close()
    again = statecast("forget", "--user", "ada-lovelace", "--yes")
    assert (again.exit_code, "There is no person" in again.stderr) == (1, True)


@pytest.mark.parametrize("kind", ["token", "proxy", "app"])
def test_who_signed_in_elsewhere_is_forgotten_too(statecast: Invoke, kind: str) -> None:
    store = open_store("sqlite:///statecast.db")
    sender = f"{kind} Ada.Lovelace@a.example"
    edit = AuditEntry(sender, "edit", "pillow")
    store.edit(change("pillow", {"n": 1}, by="user"), sender=sender, audit=edit)
    store.close()
    done = statecast("forget", "--user", "Ada.Lovelace@a.example", "--yes")
    assert done.exit_code == 0
    assert b"lovelace" not in kept_bytes().lower()


def test_a_forgotten_device_that_was_removed_before_leaves_no_byte(statecast: Invoke) -> None:
    """Names of fields and commands too."""
    store = open_store("sqlite:///statecast.db")
    one = dataclasses.replace(change("pillow", {"MARKER-field": 1}), commands=("MARKER-hug",))
    store.commit("queue", 1, [message("m1", one, sent_at=now())])
    store.edit(Change("pillow", "delete", {}, by="user"))
    store.close()
    assert b"MARKER" in kept_bytes()
    assert statecast("forget", "pillow", "--yes").exit_code == 0
    assert b"MARKER" not in kept_bytes()


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        ({"device": "pillow", "state": {"mood": "MARKER"}}, False),
        ([{"device": "pillow", "state": {"a": "MARKER"}}, {"device": "pillow"}], False),
        ([{"device": "pillow", "state": {"a": "MARKER"}}, {"device": "lamp", "state": {}}], True),
        ({"device": "lamp", "state": {"of": "pillow", "a": "MARKER"}}, True),
        ({"state": {"a": "MARKER"}}, True),
        (["MARKER"], True),
    ],
)
def test_messages_that_wait_go_with_the_one_device_that_they_are_about(
    statecast: Invoke, body: object, stays: bool
) -> None:
    store = open_store("sqlite:///statecast.db")
    store.edit(change("pillow", {"n": 1}, by="user"))
    store.queue("queue").append([json.dumps(body).encode()])
    assert statecast("forget", "pillow", "--yes").exit_code == 0
    assert (b"MARKER" in kept_bytes()) == stays
    assert store.queue("queue").size()[0] == stays
    store.close()


def test_messages_without_a_name_are_about_the_device_of_their_queue(statecast: Invoke) -> None:
    store = open_store("sqlite:///statecast.db")
    store.queue("q").append([b'{"mood": "MARKER"}'])
    store.close()
    source = "embedded:q?default=pillow"
    assert statecast("forget", "pillow", "--yes").exit_code == 1
    assert statecast("forget", "pillow", "--yes", "--source", source).exit_code == 0
    assert b"MARKER" not in kept_bytes()


def test_what_still_names_a_forgotten_device_is_said(statecast: Invoke) -> None:
    statecast("key", "create", "pillow-1", "--send", "pillow", "--read", "lamp")
    statecast("key", "create", "all", "--read", "*")
    link = last_link([statecast("share", "pillow")])
    store = open_store("sqlite:///statecast.db")
    store.edit(change("pillow", {"n": 1}, by="user"))
    store.close()
    done = statecast("forget", "pillow", "--yes")
    assert "The key pillow-1 still names it: `statecast key revoke pillow-1`.\n" in done.stderr
    assert f"The link {link} still names it: `statecast unshare {link}`.\n" in done.stderr
    assert "The key all" not in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("forget", 2, "Name a device, or a person"),
        ("forget a --user b", 2, "Name a device, or a person"),
        ("forget a --yes", 1, "There is no device a"),
        ("forget a// --yes", 1, "a//"),
    ],
)
def test_what_cannot_be_forgotten(
    statecast: Invoke, words: str, status: int, sentence: str
) -> None:
    done = statecast(*words.split())
    assert (done.exit_code, sentence in done.stderr) == (status, True)
