"""Which storage account, and how it lets us in.

Tables of environments and answers. No secret is ever shown.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from statecast.errors import BadSetting
from statecast.program.distribution import install_hint
from statecast.sources.azure_queue.account import (
    DEVELOPMENT,
    DEVELOPMENT_KEY,
    Account,
    find_account,
    host_and_queue,
    parse_connection,
)

SECRET = "c2VjcmV0"
STRING = (
    f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={SECRET}==;"
    f"EndpointSuffix=core.windows.net"
)
SAS = "sv=2022-11-02&sp=p&sig=c2VjcmV0"
HOST = "acct.queue.core.windows.net"
VARIABLE = "AZURE_STORAGE_CONNECTION_STRING"


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ("pillow", ("", "pillow")),
        ("//acct/pillow", (HOST, "pillow")),
        (
            "//acct.queue.core.chinacloudapi.cn/pillow",
            ("acct.queue.core.chinacloudapi.cn", "pillow"),
        ),
        ("a-b", ("", "a-b")),
        ("a" * 63, ("", "a" * 63)),
    ],
)
def test_the_queue_that_a_url_names(head: str, found: tuple[str, str]) -> None:
    assert host_and_queue(head) == found


@pytest.mark.parametrize(
    "head",
    ["", "ab", "a" * 64, "Pillow", "a--b", "-ab", "ab-", "a_b", "//acct", "//acct/", "//acct/a/b"],
)
def test_a_queue_that_cannot_be(head: str) -> None:
    with pytest.raises(BadSetting, match="3 to 63"):
        host_and_queue(head)


def test_a_secret_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadSetting, match="no place") as told:
        host_and_queue(f"//acct:{SECRET}@{HOST}/pillow")
    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    ("text", "account"),
    [
        (STRING, Account(f"https://{HOST}", HOST, ("acct", f"{SECRET}=="))),
        (f'"{STRING}"\n', Account(f"https://{HOST}", HOST, ("acct", f"{SECRET}=="))),
        (
            f"QueueEndpoint=https://{HOST}/;SharedAccessSignature=?{SAS}",
            Account(f"https://{HOST}", HOST, signature=SAS),
        ),
        (f"https://{HOST}/pillow?{SAS}", Account(f"https://{HOST}", HOST, signature=SAS)),
        (
            "UseDevelopmentStorage=true",
            Account(
                f"http://127.0.0.1:10001/{DEVELOPMENT}",
                "127.0.0.1:10001",
                (DEVELOPMENT, DEVELOPMENT_KEY),
            ),
        ),
        (
            "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite",
            Account(
                f"http://azurite:10001/{DEVELOPMENT}",
                "azurite:10001",
                (DEVELOPMENT, DEVELOPMENT_KEY),
            ),
        ),
        (
            f"http://127.0.0.1:7/{DEVELOPMENT}/pillow?{SAS}",
            Account(f"http://127.0.0.1:7/{DEVELOPMENT}", "127.0.0.1:7", signature=SAS),
        ),
    ],
)
def test_a_connection(text: str, account: Account) -> None:
    found = parse_connection(text)
    assert found == account
    assert SECRET not in repr(found) + str(found)


@pytest.mark.parametrize(
    "text",
    [
        "pillow",
        f"AccountKey={SECRET}",
        f"AccountName={SECRET}",
        f"AccountName=acct;AccountKey={SECRET};QueueEndpoint=ftp://acct",
        f"https://{HOST}/pillow?sp={SECRET}",
        f"https:///?{SAS}",
    ],
)
def test_a_connection_that_lacks_something_is_not_repeated(text: str) -> None:
    with pytest.raises(BadSetting) as told:
        parse_connection(text)
    assert SECRET not in str(told.value)


def test_the_order_of_places(tmp_path: Path) -> None:
    file = tmp_path / "connection"
    file.write_text(STRING.replace("=acct;", "=infile;") + "\n")
    everything = {
        VARIABLE: STRING,
        "OTHER": STRING.replace("=acct;", "=other;"),
        "AZURE_STORAGE_ACCOUNT": "named",
        "AZURE_STORAGE_KEY": SECRET,
    }
    assert find_account("", everything, variable="OTHER").host == "other.queue.core.windows.net"
    assert find_account("", everything, file=str(file)).host == "infile.queue.core.windows.net"
    assert find_account("", everything).host == HOST
    assert find_account("", {f"{VARIABLE}_FILE": str(file)}).host == "infile.queue.core.windows.net"
    named = find_account("", {name: one for name, one in everything.items() if name != VARIABLE})
    assert (named.url, named.key) == ("https://named.queue.core.windows.net", ("named", SECRET))


def test_the_url_says_which_account() -> None:
    # a connection string of another account does not count, nor does another account's key
    environ = {
        VARIABLE: STRING,
        "AZURE_STORAGE_ACCOUNT": "named",
        "AZURE_STORAGE_SAS_TOKEN": f"?{SAS}",
    }
    assert find_account(HOST, environ).key is not None
    assert find_account("named.queue.core.windows.net", environ).signature == SAS
    other = find_account("other.queue.core.windows.net", environ)
    assert (other.key, other.signature) == (None, ""), "the identity of this machine"
    with pytest.raises(BadSetting, match="names the account at"):
        find_account("other.queue.core.windows.net", environ, variable=VARIABLE)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=VARIABLE):
        find_account("", {})
    with pytest.raises(BadSetting, match="variable FACTORY"):
        find_account("", {}, variable="FACTORY")
    with pytest.raises(BadSetting, match="cannot be read: No such file"):
        find_account("", {f"{VARIABLE}_FILE": str(tmp_path / "none")})
    (tmp_path / "empty").touch()
    with pytest.raises(BadSetting, match="is empty"):
        find_account("", {}, file=str(tmp_path / "empty"))


def test_without_azure_identity_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "azure.identity", None)
    with pytest.raises(BadSetting, match=re.escape(install_hint("azure,azure-identity"))):
        Account(f"https://{HOST}", HOST).credential()
