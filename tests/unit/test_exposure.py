"""Settings that open a server to everyone are told at its start, one sentence each."""

from __future__ import annotations

from typing import Any

import pytest
from serving import serving

from statecast.server.exposure import warnings
from statecast.settings import Settings


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, []),
        ({"trusted_proxy": "0.0.0.0/0"}, ["trusted_proxy 0.0.0.0/0 believes"]),
        ({"trusted_proxy": "::/0"}, ["trusted_proxy ::/0 believes"]),
        (
            {"trusted_proxy": "0.0.0.0/1,128.0.0.0/1,10.0.0.1"},
            ["trusted_proxy 0.0.0.0/1, 128.0.0.0/1 believes"],
        ),
        ({"trusted_proxy": "10.0.0.0/8,192.168.0.1,fd00::/16"}, []),
        (
            {"trusted_proxy": "0.0.0.0/0", "proxy_user_header": "X-User"},
            ["trusted_proxy 0.0.0.0/0 believes", "With trusted_proxy 0.0.0.0/0 each client"],
        ),
        ({"trusted_proxy": "10.0.0.1", "proxy_user_header": "X-User"}, []),
        ({"allow_hosts": "*"}, ["allow_hosts * answers"]),
        ({"allow_hosts": "pillow.example"}, []),
        ({"allow_origins": "*"}, ["allow_origins * lets"]),
        ({"allow_origins": "https://app.example"}, []),
        (
            {"allow_origins": "*", "allow_hosts": "a.example,*", "trusted_proxy": "0.0.0.0/0"},
            ["trusted_proxy", "allow_hosts", "allow_origins"],
        ),
    ],
)
def test_open_doors_are_told(settings: dict[str, Any], told: list[str]) -> None:
    found = list(warnings(Settings(**settings)))
    assert len(found) == len(told)
    for sentence, start in zip(found, told, strict=True):
        assert sentence.startswith(start) and sentence.endswith(".")


def test_a_server_beside_another_one_tells_them_too(caplog: pytest.LogCaptureFixture) -> None:
    """As under ``flask run``, where it is not ``serve`` that starts it."""
    with serving(allow_origins=["*"]):
        found = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert [one[:22] for one in found] == ["allow_origins * lets t"]
