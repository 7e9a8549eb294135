"""What every store must keep, put together."""

from __future__ import annotations

from statecast.testing.access_contract import AccessContract
from statecast.testing.change_contract import ChangeContract
from statecast.testing.clock_contract import ClockContract
from statecast.testing.command_contract import CommandContract
from statecast.testing.presence_contract import PresenceContract
from statecast.testing.reaction_contract import ReactionContract
from statecast.testing.read_contract import ReadContract
from statecast.testing.sender_contract import SenderContract
from statecast.testing.take_over_contract import TakeOverContract
from statecast.testing.totals_contract import SizesContract, TotalsContract
from statecast.testing.wait_contract import WaitContract


class StoreContract(
    ChangeContract,
    ReadContract,
    CommandContract,
    AccessContract,
    SenderContract,
    PresenceContract,
    SizesContract,
    TotalsContract,
    ClockContract,
    WaitContract,
    ReactionContract,
    TakeOverContract,
):
    """All of the contract: subclass this one."""
