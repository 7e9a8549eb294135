"""Who sends a request that is answered on the loop, besides those of viewers."""

from __future__ import annotations

import asyncio

from statecast.access.identity import Identity
from statecast.http.asgi import Scope, client_address
from statecast.http.errors import HTTPProblem
from statecast.http.head import RequestHead
from statecast.realtime.authenticator import NotAdmitted, Outcome
from statecast.realtime.readers import Readers


async def identity_of(readers: Readers, scope: Scope) -> Identity:
    """Who asks. Raises HTTPProblem for a token that is wrong, or if it cannot be found out."""
    answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def decide(outcome: Outcome) -> None:
        if not answer.done():  # else the client has left
            answer.set_result(outcome)

    visit = readers.visit(RequestHead.of_scope(scope), client_address(scope))
    readers.authenticator.identify(visit, decide)
    found = await answer
    if isinstance(found, NotAdmitted):
        fields = [(b"www-authenticate", b"Bearer")] if found.status == 401 else []
        if found.retry_after is not None:
            fields.append((b"retry-after", b"%d" % found.retry_after))
        raise HTTPProblem(found.status, found.sentence, fields)
    return found.identity
