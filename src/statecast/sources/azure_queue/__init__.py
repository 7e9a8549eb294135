"""``azure-queue:NAME``: a queue in the account of ``AZURE_STORAGE_CONNECTION_STRING``.

::

    source.py         the source
    client.py         the requests to a queue, each with a time limit
    account.py        the account and its credentials, from the environment or a file
    poll_interval.py  when to send the next request
    errors.py         the sentence for each failure
    diagnostics.py    what `statecast doctor` reports

Rule 1: the rights to receive and delete suffice. Features that need more rights are left out.
Rule 2: no secret appears in a URL, a log or an error. The errors of the SDK quote URLs with
signatures, so they are not passed on.
"""

from __future__ import annotations

from statecast.errors import BadSetting
from statecast.program.distribution import install_hint
from statecast.settings.checks import number, yes_no
from statecast.sources.azure_queue.account import QUEUE, find_account, host_and_queue
from statecast.sources.azure_queue.client import QueueClient
from statecast.sources.azure_queue.poll_interval import PollInterval
from statecast.sources.azure_queue.source import AzureQueue
from statecast.sources.contract import SourceContext
from statecast.sources.url import UrlOptions

__all__ = ["AzureQueue", "open_url"]


def open_url(rest: str, context: SourceContext) -> AzureQueue:
    """Open ``azure-queue:NAME`` or ``azure-queue://ACCOUNT/NAME``. Raises BadSetting.

    No request is sent yet.
    """
    head, _, query = rest.partition("?")
    host, queue = host_and_queue(head)
    options = UrlOptions(f"azure-queue:{head}", query)
    variable = options.take("connection", str, "")
    file = options.take("connection_file", str, "")
    visibility_timeout = options.take(
        "visibility_timeout", number(1, 604_800), context.settings.visibility_timeout
    )
    acknowledge_after = options.take("acknowledge_after", number(0, visibility_timeout / 2), 0.0)
    warm = options.take("warm", number(0.01, 60), 0.1)
    idle = options.take("idle", number(warm, 3600), max(1.0, warm))
    create = options.take("create", yes_no, True)
    poison = options.take("poison", yes_no, None)
    name = options.take("name", str, queue)
    options.finish(context.other_options)
    without_effect(head, queue, variable, file, poison)
    try:
        # The import itself waits for the first request; a missing package is reported now.
        import azure.storage.queue  # noqa: F401
    except ImportError:
        raise BadSetting(
            "The source azure-queue: needs the package azure-storage-queue; "
            f"install it with: {install_hint('azure')}."
        ) from None
    poison_name = poison_name_of(queue)
    account = find_account(host, context.environ, variable=variable, file=file)
    account.check()
    return AzureQueue(
        name,
        QueueClient(account, queue),
        None if poison is False or poison_name is None else QueueClient(account, poison_name),
        interval=PollInterval(warm, idle),
        clock=context.clock,
        visibility_timeout=visibility_timeout,
        acknowledge_after=acknowledge_after,
        create=create,
    )


def poison_name_of(queue: str) -> str | None:
    """The name of a queue's dead-letter queue; None if it has none, or if its name is too long.

    A dead-letter queue has no dead-letter queue of its own.
    """
    name = f"{queue}-poison"
    return None if queue.endswith("-poison") or not QUEUE.fullmatch(name) else name


def without_effect(head: str, queue: str, variable: str, file: str, poison: bool | None) -> None:
    """Raise BadSetting for an option that cannot have an effect beside the others."""
    source = f"azure-queue:{head}"
    if variable and file:
        raise BadSetting(
            f"The source {source!r} has the options 'connection' and 'connection_file', and only "
            "one of them can be used; leave one out."
        )
    if poison and poison_name_of(queue) is None:
        raise BadSetting(
            f"The option 'poison' of the source {source!r} has no effect: "
            "this queue can have no dead-letter queue; leave it out."
        )
