"""All that outlives a round, with one owner: it is saved and resumed as one."""

from collections.abc import Iterable, Mapping
from typing import Any

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.history._turn import Turn
from flwr_vdcs.history.availability import Availability
from flwr_vdcs.history.momentum import Momentum
from flwr_vdcs.history.replays import Replays
from flwr_vdcs.history.reputation import Ledger, Reputation
from flwr_vdcs.history.track_records import TrackRecords

ARRAYS = "arrays"
"""The part of a state that grows with the model."""

NOT_A_STATE = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What reading something else as a state raises."""


class History:
    """What is known from earlier rounds.

    Parameters
    ----------
    reputation
        The settings of bans, or None to ban nobody.

    Attributes
    ----------
    momentum
        The way that the global model has come.
    replays
        What each client sent last.
    track_records
        What the scoring remembers of each client.
    ledger
        The evidence against each client, its ban, and how many rounds there were.
    availability
        Who answered with errors last.
    turn
        To be held while any of it is used, as other threads may pardon clients.
    """

    def __init__(self, reputation: Reputation | None = None) -> None:
        self.momentum = Momentum()
        self.replays = Replays()
        self.track_records = TrackRecords()
        self.ledger = Ledger(reputation)
        self.availability = Availability()
        self.turn = Turn()

    def absent(self, client_ids: Iterable[str]) -> dict[str, str]:
        """Find who is not asked in the round to come, as it answers with errors.

        Only where clients may be left out of rounds at all, as with bans.
        """
        if self.ledger.reputation is None:
            return {}
        return self.availability.absent(client_ids, self.ledger.num_rounds)

    def pardon(self, client_id: str) -> bool:
        """Forget the evidence against a client, its ban, errors and track record.

        Tell whether anything of it was known.
        """
        with self.turn:
            parts = (
                self.track_records.forget,
                self.availability.forget,
                self.ledger.pardon,
            )
            known = [forget(client_id) for forget in parts]
        return any(known)

    def state_dict(self, *, arrays: bool = True) -> dict[str, Any]:
        """Give all of it: plain values, and tensors by name under ``"arrays"``.

        Parameters
        ----------
        arrays
            Whether to give what grows with the model: the momentum, and what each
            client sent last.
        """
        plain = {
            **self.ledger.state_dict(),
            "track_records": self.track_records.state_dict(),
            "availability": self.availability.state_dict(),
        }
        if not arrays:
            return plain
        replays, origins = self.replays.state_dict()
        tensors = {**self.momentum.state_dict(), **origins}
        return {**plain, "replays": replays, ARRAYS: tensors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; what it lacks is as at the beginning.

        Raises
        ------
        InvalidArgumentError
            If it is something else; then nothing is changed.
        """
        try:
            self._load(state)
        except NOT_A_STATE as error:
            allowed = f"what `state_dict` returned ({error!r})"
            raise InvalidArgumentError("state", state, allowed) from error

    def _load(self, state: Mapping[str, Any]) -> None:
        arrays = state.get(ARRAYS, {})
        momentum, replays, records = Momentum(), Replays(), TrackRecords()
        momentum.load_state_dict(arrays)
        replays.load_state_dict(state.get("replays", {}), arrays)
        records.load_state_dict(state.get("track_records", {}))
        availability = Availability()
        availability.load_state_dict(state.get("availability", {}))
        self.ledger.load_state_dict(state)
        self.momentum, self.replays, self.track_records = momentum, replays, records
        self.availability = availability
