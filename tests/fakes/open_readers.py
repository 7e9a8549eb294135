"""Readers of a server where everybody may do everything, for tests that are about other things."""

from __future__ import annotations

import time

from statecast.access.actions import Action
from statecast.access.directory import AccessDirectory
from statecast.access.policy import AccessPolicy, Rules
from statecast.http.credentials import of_head
from statecast.realtime.authenticator import Authenticator
from statecast.realtime.readers import Readers


def open_readers() -> Readers:
    rules = Rules(allow_public=True, others_may=tuple(Action))
    directory = AccessDirectory(lambda: 0)
    policy = AccessPolicy(rules, lambda: directory, lambda: 0)
    return Readers(
        policy,
        Authenticator(policy, lambda: directory, threads=1),
        directory,
        lambda viewers: None,
        credentials_of=of_head,
        clock=lambda: 0,
        monotonic=time.monotonic,
    )
