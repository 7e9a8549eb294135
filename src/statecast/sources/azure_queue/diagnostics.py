"""What `statecast doctor` reports about an Azure queue. No message is received."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime

from statecast.errors import StatecastError
from statecast.sources.azure_queue.client import QueueClient, RequestFailed
from statecast.sources.azure_queue.errors import PROCESS
from statecast.sources.azure_queue.poll_interval import PollInterval, cost_per_month
from statecast.sources.contract import Finding

SKEW_NOTICED, SKEW_REFUSED = 5.0, 900.0
"""Seconds between the clocks of Azure and this machine. Beyond the second, Azure refuses a key."""


def examine(
    client: QueueClient, interval: PollInterval, clock: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """Check rights, queue, clock and cost, in this order."""
    host = client.account.host
    try:
        allowed = client.may_handle()
    except RequestFailed as error:
        yield Finding("wrong", str(error))
        return
    if not allowed:
        try:
            client.count()
        except RequestFailed as error:
            yield Finding("wrong", str(error))
        else:
            yield Finding(
                "wrong",
                f"The credentials may look into the queue “{client.queue}” at {host}, but not "
                f"receive or delete: that needs the role {PROCESS.role}, or a SAS with the "
                f"permission {PROCESS.permission} ({PROCESS.name}).",
            )
        return
    yield from count(client, host)
    yield from skew(client, clock)
    yield cost(interval)


def examine_sending(client: QueueClient, create: bool) -> Finding:
    """Check whether commands may be put into the queue. ``create``: a missing one is made.

    Whether it is there cannot be told without the right to look into it.
    """
    host = client.account.host
    try:
        client.try_sending()
        look(client)
    except StatecastError as error:
        if create and isinstance(error, RequestFailed) and error.code == "QueueNotFound":
            return Finding(
                "notice",
                f"There is no queue “{client.queue}” at {host} yet; the first command makes it.",
            )
        return Finding("wrong", str(error))
    return Finding("good", f"Commands may be put into the queue “{client.queue}” at {host}.")


def look(client: QueueClient) -> None:
    """Look into the queue, if that is allowed. Raises RequestFailed."""
    try:
        client.count()
    except RequestFailed as error:
        if error.status != 403:
            raise


def count(client: QueueClient, host: str) -> Iterator[Finding]:
    try:
        waiting = client.count()
    except RequestFailed as error:
        if error.code == "QueueNotFound":
            yield Finding(
                "notice",
                f"There is no queue “{client.queue}” at {host} yet; "
                "a server that receives from it makes it.",
            )
        elif error.status == 403:
            yield Finding(
                "good", f"The queue “{client.queue}” at {host} is there, and may be received from."
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
        f"The queue “{client.queue}” at {host} is there, and may be received from; "
        f"about {waiting} messages wait.",
    )


def skew(client: QueueClient, clock: Callable[[], float]) -> Iterator[Finding]:
    try:
        ahead = clock() - parsedate_to_datetime(client.date or "").timestamp()
    except (TypeError, ValueError):
        return
    if abs(ahead) > SKEW_NOTICED:
        which = "ahead of" if ahead > 0 else "behind"
        yield Finding(
            "wrong" if abs(ahead) > SKEW_REFUSED else "notice",
            f"This machine's clock is {abs(ahead):.0f} s {which} Azure's; "
            "ages on the page are wrong by that.",
        )


def cost(interval: PollInterval) -> Finding:
    idle, warm = round(3600 / interval.idle), round(3600 / interval.warm)
    return Finding(
        "good",
        f"Asking takes {idle} requests per hour while nothing comes "
        f"(about ${cost_per_month(idle):.2f} a month), up to {warm} while messages come "
        f"(${cost_per_month(warm):.2f}); idle= and warm= of the source change that.",
    )
