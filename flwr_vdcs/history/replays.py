"""Admitted to replays: arrays that a client has sent before, for another model."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from flwr_vdcs.admission import Candidate, State, quarantine
from flwr_vdcs.history._last_clients import LastClients

NUM_COMPARED = 4096
"""Values of each sent array that are compared; trained ones never agree in all."""

NUM_OF_ORIGIN = 64
"""Values of each of the global model's parameters that are remembered."""

UNMOVED = 1e-4
"""Global models that are closer than this, relatively, may train to the same."""

ORIGIN = "origin/"
"""How the names of saved origins begin."""


@dataclass(frozen=True)
class Sent:
    """What a client sent last.

    Attributes
    ----------
    fingerprint
        A hash of it.
    origin
        Some values of the global model that it was first sent for.
    server_round
        The round in which that was; 0 before a restart.
    """

    fingerprint: str
    origin: Tensor
    server_round: int


class Replays:
    """Remember what each client sent last, and the parameters it was sent for."""

    def __init__(self) -> None:
        self._last: LastClients[Sent] = LastClients()

    def quarantine(
        self,
        server_round: int,
        candidates: Sequence[Candidate],
        parameter_names: Collection[str],
    ) -> None:
        """Refuse what was sent before, and remember what is new.

        The same update of much the same parameters is no replay: after a round in
        which the model was kept, a client that trains reproducibly sends it again.

        Parameters
        ----------
        server_round
            The round.
        candidates
            Its admitted updates.
        parameter_names
            The arrays by which global models are told apart.
        """
        start, origin = None, torch.empty(0)
        for candidate in candidates:
            if candidate.start is not start:
                start = candidate.start
                origin = _origin(start.state, parameter_names)
            sent = Sent(fingerprint(candidate.state), origin, server_round)
            reason = self._replayed(candidate.update.client_id, sent)
            if reason:
                quarantine(candidate, reason)

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Give the fingerprints as plain values, and the origins, each once."""
        origins: dict[int, tuple[str, Tensor]] = {}
        for sent in self._last.values():
            number = f"{ORIGIN}{len(origins)}"
            origins.setdefault(id(sent.origin), (number, sent.origin))
        plain = {
            client_id: {
                "fingerprint": sent.fingerprint,
                "origin": origins[id(sent.origin)][0],
            }
            for client_id, sent in self._last.items()
        }
        return plain, dict(origins.values())

    def load_state_dict(
        self, state: Mapping[str, Any], arrays: Mapping[str, Tensor]
    ) -> None:
        """Go on from a state.

        Raises
        ------
        AttributeError, KeyError, TypeError, ValueError
            If it is no state of replays; then nothing is changed.
        """
        last: LastClients[Sent] = LastClients()
        for client_id, row in state.items():
            origin = arrays[row["origin"]]
            if origin.ndim != 1 or not isinstance(row["fingerprint"], str):
                raise ValueError(f"what {client_id!r} sent last cannot be read")
            last.note(str(client_id), Sent(row["fingerprint"], origin, 0))
        self._last = last

    def _replayed(self, client_id: str, sent: Sent) -> str:
        """Say when the client sent the same for another model, and note it if new."""
        before = self._last.get(client_id)
        if before is None or sent.fingerprint != before.fingerprint:
            self._last.note(client_id, sent)
        elif _has_moved(before.origin, sent.origin):
            when = before.server_round
            place = f"in round {when}" if when else "before the server was restarted"
            return f"it sent the same arrays {place}"
        else:
            self._last.note(client_id, replace(sent, origin=before.origin))
        return ""


def fingerprint(state: State) -> str:
    """Hash a fixed selection of a state's values, whatever dtype they are in."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in state.values():
        digest.update(_selected(tensor, NUM_COMPARED).double().numpy().tobytes())
    return digest.hexdigest()


def _origin(state: State, parameter_names: Collection[str]) -> Tensor:
    """Copy a few values of each parameter, in single precision."""
    parameters = [tensor for name, tensor in state.items() if name in parameter_names]
    return torch.cat([_selected(t, NUM_OF_ORIGIN).float() for t in parameters])


def _has_moved(before: Tensor, now: Tensor) -> bool:
    if before.shape != now.shape:
        return True
    return bool((now - before).norm() > UNMOVED * before.norm())


def _selected(tensor: Tensor, count: int) -> Tensor:
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, len(flat) // count)]
