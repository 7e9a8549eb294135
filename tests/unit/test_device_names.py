"""Names of devices from subjects and paths.

Readable, valid, and never two things under one name.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from statecast import names
from statecast.decoders.device_names import name_of
from statecast.errors import Malformed


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pillow", "pillow"),
        ("floor2/room.1_b/00:1A:2B-c", "floor2/room.1_b/00:1A:2B-c"),
        (
            "/blobServices/default/containers/c/blobs/a b.json",
            "blobServices/default/containers/c/blobs/a_x20_b.json",
        ),
        (
            "blobServices/default/containers/c/blobs/a b.json",
            "blobServices/default/containers/c/blobs/a_x20_b.json",
        ),
        ("/blobServices/default/containers/$logs", "blobServices/default/containers/_x24_logs"),
        ("{new-file}", "_x7B_new-file_x7D_"),
        ("https://example.com/a?b=c", "https:_x2F_/example.com/a_x3F_b_x3D_c"),
        ("müde", "m_xFC_de"),
        ("🛏", "_x1F6CF_"),
        ("a/", "a_x2F_"),
        ("a//b", "a_x2F_/b"),
        ("//a", "_x2F_a"),
        ("..", "_x2E_."),
        ("a/./b/../c", "a/_x2E_/b/_x2E_./c"),
        (".hidden/...", ".hidden/..."),
        ("\u001b[31m\n", "_x1B__x5B_31m_xA_"),
        ("valve_x1", "valve_x1"),
        ("valve_x1_", "valve_x5F_x1_"),
        ("%20", "_x25_20"),
    ],
)
def test_what_a_text_becomes(text: str, name: str) -> None:
    assert name_of(text) == name == names.check(name)


@pytest.mark.parametrize("text", ["", "/"])
def test_nothing_is_no_name(text: str) -> None:
    with pytest.raises(Malformed, match="names no device"):
        name_of(text)


def test_what_is_too_long_is_refused_and_never_cut() -> None:
    assert name_of("d" * 128) == "d" * 128
    for text in ("d" * 129, "ü" * 32):
        with pytest.raises(Malformed, match="at most 128") as refused:
            name_of(text)
        assert "device=" in str(refused.value)


def test_a_prefix_comes_first_and_counts() -> None:
    assert name_of("/a b", "hub/") == "hub/a_x20_b"
    with pytest.raises(Malformed, match="at most 128"):
        name_of("d" * 125, "hub/")


def undone(name: str) -> str:
    return re.sub(r"_x([0-9A-F]{1,6})_", lambda found: chr(int(found[1], 16)), name)


@given(
    st.text("_x7BF./{} aü\U0001f6cf", min_size=1, max_size=20) | st.text(min_size=1, max_size=20)
)
@example("_x7B{")
@example("_x7B//")
@example("_x7B/")
@example("__x7B_x7B_")
def test_a_name_can_be_read_back_but_for_the_slash_at_the_beginning(text: str) -> None:
    try:
        name = name_of(text)
    except Malformed:
        return
    assert names.check(name)
    assert undone(name) == text.removeprefix("/")
