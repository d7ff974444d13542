"""Admitted to replays: arrays that a client has sent before, for another model."""

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from flwr_vdcs.admission.npy import State
from flwr_vdcs.history.last_clients import LastClients

NUM_COMPARED = 4096
"""Values of each sent array that are compared; trained ones never agree in all."""

NUM_OF_ORIGIN = 64
"""Values of each of the global model's parameters that are remembered."""

UNMOVED = 1e-4
"""Global models that are closer than this, relatively, may train to the same."""


class Replays:
    """Remember what each client sent last, and the parameters it was sent for."""

    def __init__(self) -> None:
        self._last: LastClients[tuple[str, Tensor, int]] = LastClients()

    def find(
        self,
        server_round: int,
        client_ids: Sequence[str],
        states: Mapping[int, State],
        parameters: State,
    ) -> dict[int, str]:
        """Tell which of a round's updates were sent before, by their place.

        The same update of much the same parameters is no replay: after a round in
        which the model was kept, a client that trains reproducibly sends it again.
        """
        origin = _origin(parameters)
        replayed: dict[int, str] = {}
        for place, state in states.items():
            client_id, sent = client_ids[place], fingerprint(state)
            before, trained_from, when = self._last.get(client_id, ("", origin, 0))
            if sent != before:
                self._last.note(client_id, (sent, origin, server_round))
            elif _has_moved(trained_from, origin):
                replayed[place] = f"it sent the same arrays in round {when}"
            else:
                self._last.note(client_id, (sent, trained_from, when))
        return replayed


def fingerprint(state: State) -> str:
    """Hash a fixed selection of a state's values, whatever dtype they are in."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in state.values():
        digest.update(_selected(tensor, NUM_COMPARED).double().numpy().tobytes())
    return digest.hexdigest()


def _origin(parameters: State) -> Tensor:
    """Copy a few values of each array, in single precision."""
    return torch.cat([_selected(t, NUM_OF_ORIGIN).float() for t in parameters.values()])


def _has_moved(before: Tensor, now: Tensor) -> bool:
    return bool((now - before).norm() > UNMOVED * before.norm())


def _selected(tensor: Tensor, count: int) -> Tensor:
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, len(flat) // count)]
