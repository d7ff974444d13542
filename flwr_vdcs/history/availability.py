"""Errors to rests: who answers with errors again and again is not asked for a while.

An error is no evidence of malice. But where a strategy aggregates only rounds without
errors, as those with differential privacy do, one client that is broken would stop the
training of all.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from flwr_vdcs.history._counts import checked_count
from flwr_vdcs.history._last_clients import LastClients

PATIENCE = 3
"""So many errors in a row are borne; from then on rests double, as is usual."""

LONGEST_REST = 64


@dataclass(frozen=True)
class Errors:
    """What is known of a client whose last answers were errors.

    Attributes
    ----------
    num_errors : int
        How many they were.
    back : int
        The round, counted over restarts, in which it is asked again.
    """

    num_errors: int = 0
    back: int = 0


class Availability:
    """Keep who answered with errors last, over the rounds and over restarts."""

    def __init__(self) -> None:
        self._errors: LastClients[Errors] = LastClients()

    def absent(self, client_ids: Iterable[str], num_rounds: int) -> dict[str, str]:
        """Find those that rest in the round to come, and say until when.

        Parameters
        ----------
        client_ids
            Who would be asked.
        num_rounds
            Rounds noted so far, those before a restart included.
        """
        found: dict[str, str] = {}
        for client_id in client_ids:
            errors = self._errors.get(client_id, Errors())
            if errors.back > num_rounds:
                found[client_id] = (
                    f"it answered with an error {errors.num_errors} times in a row, "
                    f"asked again in {errors.back - num_rounds} rounds"
                )
        return found

    def note(
        self, failed: Collection[str], answered: Iterable[str], num_rounds: int
    ) -> None:
        """Note who has answered with an error, and who with something else.

        Where half of them fail it is the server's or the network's doing.

        Parameters
        ----------
        failed, answered
            Ids of clients that were asked.
        num_rounds
            Rounds noted so far, this one included.
        """
        well = set(answered) - set(failed)
        for client_id in well:
            self._errors.pop(client_id, None)
        if len(failed) >= len(well):
            return
        for client_id in failed:
            num_errors = self._errors.get(client_id, Errors()).num_errors + 1
            excess = num_errors - PATIENCE
            rest = min(2**excess, LONGEST_REST) if excess >= 0 else 0
            self._errors.note(client_id, Errors(num_errors, num_rounds + rest))

    def forget(self, client_id: str) -> bool:
        """Ask a client again; tell whether anything was known of it."""
        return self._errors.pop(client_id, None) is not None

    def state_dict(self) -> dict[str, Any]:
        """Give all as plain values, for JSON."""
        return {client_id: asdict(errors) for client_id, errors in self._errors.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises
        ------
        AttributeError, TypeError, ValueError
            If it is no state of this; then nothing is changed.
        """
        errors: LastClients[Errors] = LastClients()
        for client_id, fields in state.items():
            counts = {name: checked_count(value) for name, value in fields.items()}
            errors.note(str(client_id), Errors(**counts))
        self._errors = errors
