"""What can be found out about an Azure queue without touching a message in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime

from statecast import program
from statecast.sources.azure_queue.client import Failed, QueueService
from statecast.sources.azure_queue.poll_interval import PollInterval, cost_per_month
from statecast.sources.examined import Finding

SKEW_NOTICED, SKEW_REFUSED = 5.0, 900.0
"""Seconds between the clocks of service and machine; with more than the second, Azure refuses a key."""


def examine(
    service: QueueService, pace: PollInterval, clock: Callable[[], float] = time.time
) -> Iterator[Finding]:
    host = service.account.host
    try:
        allowed = service.may_handle()
    except Failed as error:
        yield Finding("wrong", str(error))
        return
    if not allowed:
        try:
            service.count()
        except Failed as error:
            yield Finding("wrong", str(error))
        else:
            yield Finding(
                "wrong",
                f"The credentials may look into the queue “{service.queue}” at {host}, but not receive or delete: give "
                "them the role Storage Queue Data Message Processor, or a SAS with the permission p.",
            )
        return
    yield from count(service, host)
    yield from skew(service, clock)
    yield cost(pace)


def count(service: QueueService, host: str) -> Iterator[Finding]:
    try:
        waiting = service.count()
    except Failed as error:
        if error.code == "QueueNotFound":
            yield Finding(
                "notice",
                f"There is no queue “{service.queue}” at {host} yet; `{program.name()} run` makes it.",
            )
        elif error.status == 403:
            yield Finding(
                "good", f"The queue “{service.queue}” at {host} is there, and may be received from."
            )
            yield Finding(
                "notice",
                "How many messages wait cannot be told: that takes one more right (r in a SAS).",
            )
        else:
            yield Finding("wrong", str(error))
        return
    yield Finding(
        "good",
        f"The queue “{service.queue}” at {host} is there, and may be received from; about {waiting} messages wait.",
    )


def skew(service: QueueService, clock: Callable[[], float]) -> Iterator[Finding]:
    try:
        ahead = clock() - parsedate_to_datetime(service.date or "").timestamp()
    except (TypeError, ValueError):
        return
    if abs(ahead) > SKEW_NOTICED:
        which = "ahead of" if ahead > 0 else "behind"
        yield Finding(
            "wrong" if abs(ahead) > SKEW_REFUSED else "notice",
            f"This machine's clock is {abs(ahead):.0f} s {which} Azure's; ages on the page are wrong by that.",
        )


def cost(pace: PollInterval) -> Finding:
    idle, warm = round(3600 / pace.idle), round(3600 / pace.warm)
    return Finding(
        "good",
        f"Asking takes {idle} requests per hour while nothing comes (about ${cost_per_month(idle):.2f} a month), up to "
        f"{warm} while messages come (${cost_per_month(warm):.2f}); idle= and warm= of the source change that.",
    )
