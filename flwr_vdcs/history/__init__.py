"""What outlives a round: momentum, replays, track records and reputation."""

from flwr_vdcs.history._last_clients import LastClients
from flwr_vdcs.history.history import ARRAYS, History
from flwr_vdcs.history.reputation import Reputation

__all__ = ["ARRAYS", "History", "LastClients", "Reputation"]
