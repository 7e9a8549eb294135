"""The URL of a source: options are taken by those who know them, and nothing else is accepted."""

from __future__ import annotations

import pytest

from statecast.errors import BadSetting
from statecast.settings import Settings
from statecast.settings.checks import number, yes_no
from statecast.sources import open_source
from statecast.sources.contract import SourceContext
from statecast.sources.url import UrlOptions, split_options
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore


def context(environ: dict[str, str] | None = None) -> SourceContext:
    store = MemoryStore(Limits(), lambda: 0)
    return SourceContext(lambda: store, Settings(), environ or {}, lambda: 0, ("device",))


def test_options_are_checked_as_settings_are() -> None:
    options = UrlOptions("azure-queue:pillow", "idle=2.5&create=no&name=a%20b")
    assert options.take("idle", number(0.1, 10), 1.0) == 2.5
    assert options.take("create", yes_no, True) is False
    assert options.take("name", str, "") == "a b"
    assert options.take("warm", number(0.1, 10), 0.5) == 0.5
    options.finish()


def test_a_wrong_value_is_not_repeated() -> None:
    with pytest.raises(
        BadSetting, match=r"option 'idle' .* must be a number between 0.1 and 10"
    ) as told:
        UrlOptions("azure-queue:pillow", "idle=s3cret").take("idle", number(0.1, 10), 1.0)
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("query", ["idel=1", "sig=s3cret"])
def test_an_unknown_option_shows_the_known_ones(query: str) -> None:
    options = UrlOptions("azure-queue:pillow", query)
    options.take("idle", number(0.1, 10), 1.0)
    with pytest.raises(BadSetting, match="its options are: device, idle") as told:
        options.finish(["device"])
    assert "s3cret" not in str(told.value)


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(BadSetting, match="twice"):
        UrlOptions("azure-queue:pillow", "idle=1&idle=2")


@pytest.mark.parametrize(
    ("url", "left", "taken"),
    [
        ("embedded:queue", "embedded:queue", {}),
        ("embedded:queue?device=pillow", "embedded:queue", {"device": "pillow"}),
        ("azure-queue:a?idle=1&device=x%2Fy", "azure-queue:a?idle=1", {"device": "x/y"}),
        ("azure-queue://account/a?idle=1", "azure-queue://account/a?idle=1", {}),
    ],
)
def test_what_decodes_is_no_matter_of_the_source(
    url: str, left: str, taken: dict[str, str]
) -> None:
    assert split_options(url, ["device"]) == (left, taken)


@pytest.mark.parametrize("url", ["fly:away?sig=s3cret", "nothing", "azure-queue"])
def test_an_unknown_source_shows_the_known_ones(url: str) -> None:
    with pytest.raises(BadSetting, match="azure-queue:NAME or embedded:NAME") as told:
        open_source(url, context())
    assert "s3cret" not in str(told.value)


def test_the_embedded_queue() -> None:
    assert open_source("embedded:nightly", context()).name == "nightly"
    with pytest.raises(BadSetting, match="lacks the queue's name"):
        open_source("embedded:", context())
    with pytest.raises(BadSetting, match="has no option 'idle'; its options are: device"):
        open_source("embedded:queue?idle=1", context())
