"""The header ``Date``: as of the moment of the response, with no timer that makes it."""

from __future__ import annotations

import pytest

from statecast.server.dated_headers import DatedServerState

JANUARY = 1_767_225_600


@pytest.mark.parametrize(
    ("passed", "date"),
    [
        (0.0, b"Thu, 01 Jan 2026 00:00:00 GMT"),
        (0.999, b"Thu, 01 Jan 2026 00:00:00 GMT"),
        (1.0, b"Thu, 01 Jan 2026 00:00:01 GMT"),
        (86_400.5, b"Fri, 02 Jan 2026 00:00:00 GMT"),
        (-1.0, b"Wed, 31 Dec 2025 23:59:59 GMT"),  # a clock that is set back
    ],
)
def test_a_response_has_the_date_of_its_second(passed: float, date: bytes) -> None:
    now = float(JANUARY)
    state = DatedServerState(lambda: now)
    # given a response of before
    assert (b"date", b"Thu, 01 Jan 2026 00:00:00 GMT") in state.default_headers
    # when some time has passed
    now += passed
    # then the next one has the date of its own second
    assert state.default_headers == [(b"date", date)]


def test_headers_of_the_configuration_come_with_the_date() -> None:
    state = DatedServerState(lambda: JANUARY)
    assert len(state.default_headers) == 1
    # when the server has read its configuration
    state.default_headers = [(b"strict-transport-security", b"max-age=3600")]
    # then its headers follow the date, also within the same second
    assert [name for name, _ in state.default_headers] == [b"date", b"strict-transport-security"]
