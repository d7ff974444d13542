"""Admitted to replays: arrays that a client has sent before, for another model."""

import hashlib
from collections.abc import Mapping, Sequence

from torch import Tensor, uint8

from flwr_vdcs.arrays import State

NUM_COMPARED = 4096
"""Values of each array that are compared; trained ones never agree in all of them."""


class Replays:
    """Remember what each client sent last, and the global state it was sent for."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, str, int]] = {}

    def find(
        self,
        server_round: int,
        client_ids: Sequence[str],
        states: Mapping[int, State],
        global_state: State,
    ) -> dict[int, str]:
        """Tell which of a round's updates were sent before, by their place.

        The same update of the same global state is no replay: after a round in which
        the model was kept, a client that trains reproducibly sends it again.
        """
        trained_from = fingerprint(global_state)
        replayed: dict[int, str] = {}
        for place, state in states.items():
            client_id, sent = client_ids[place], fingerprint(state)
            before, started_from, when = self._last.get(client_id, ("", "", 0))
            if sent == before and trained_from != started_from:
                replayed[place] = f"it sent the same arrays in round {when}"
            else:
                self._last[client_id] = (sent, trained_from, server_round)
        return replayed


def fingerprint(state: State) -> str:
    """Hash a fixed selection of a state's values."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in state.values():
        digest.update(_selected(tensor).view(uint8).numpy().tobytes())
    return digest.hexdigest()


def _selected(tensor: Tensor) -> Tensor:
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, len(flat) // NUM_COMPARED)].contiguous()
