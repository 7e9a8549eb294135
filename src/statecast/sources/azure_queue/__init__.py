"""An Azure Storage queue: ``azure-queue:NAME``, in the account of ``AZURE_STORAGE_CONNECTION_STRING``.

::

    account.py    which account, and the secret: from the environment or a file
    service.py    the few requests there are, each with a time limit, each error as a sentence
    sentences.py  what went wrong, and what to do
    pace.py       when to ask next
    queue.py      the source

Rule 1: only receive and delete are needed. Whatever else the rights do not allow is left out.
Rule 2: no secret in a URL, a log or an error; also not in the errors of the SDK, which quote addresses with signatures.
"""

from __future__ import annotations

from statecast.errors import BadSetting
from statecast.program.distribution import install_hint
from statecast.settings import number, yes_no
from statecast.sources import Context
from statecast.sources.azure_queue.account import QUEUE, find, place
from statecast.sources.azure_queue.client import QueueService
from statecast.sources.azure_queue.poll_interval import PollInterval
from statecast.sources.azure_queue.source import AzureQueue
from statecast.sources.url import Options

__all__ = ["AzureQueue", "open_url"]


def open_url(rest: str, context: Context) -> AzureQueue:
    """The queue of ``azure-queue:NAME``, ``azure-queue://ACCOUNT/NAME``. Raises BadSetting; asks nobody yet."""
    head, _, query = rest.partition("?")
    host, queue = place(head)
    options = Options(f"azure-queue:{head}", query)
    variable = options.take("connection", str, "")
    file = options.take("connection_file", str, "")
    visibility_timeout = options.take(
        "visibility_timeout", number(1, 604_800), context.settings.visibility_timeout
    )
    warm = options.take("warm", number(0.01, 60), 0.1)
    idle = options.take("idle", number(warm, 3600), max(1.0, warm))
    create = options.take("create", yes_no, True)
    poison = options.take("poison", yes_no, True)
    name = options.take("name", str, queue)
    options.finish(context.others)
    try:
        import azure.storage.queue  # noqa: F401  # lest it be missing only when the first message is due
    except ImportError:
        raise BadSetting(
            "The source azure-queue: needs the package azure-storage-queue; install it with: "
            f"{install_hint('azure')}."
        ) from None
    # Refused messages of a queue that is for refused messages stay where they are.
    refused = queue if queue.endswith("-poison") else f"{queue}-poison"
    account = find(host, context.environ, variable=variable, file=file)
    account.check()
    return AzureQueue(
        name,
        QueueService(account, queue),
        QueueService(account, refused)
        if poison and QUEUE.fullmatch(refused) and refused != queue
        else None,
        pace=PollInterval(warm, idle),
        clock=context.clock,
        visibility_timeout=visibility_timeout,
        create=create,
    )
