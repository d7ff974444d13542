r"""States to deltas: what every client changed, parameters apart from buffers.

A rule must not compare whole weights: those of a ResNet-18 have norm 112, a round of
local training changes them by 0.02 to 3, and in float32 the squared distance of two
updates drowns in the rounding of their squared norms. Subtracted first, the change
itself is kept to seven digits.

The deltas of K clients are one float32 tensor ``[K, P]``: 447 MB for ten clients and
a ResNet-18 (P = 11,180,616 parameters, B = 9,620 buffer values). The rules go through
it in blocks of columns and add up in float64; what they need beside it is a few
vectors ``[P]``, at most 0.5 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bloodmnist.baselines.errors import UpdateMismatchError

State = dict[str, Tensor]

BUFFER_NAMES = frozenset({"running_mean", "running_var", "num_batches_tracked"})
BLOCK = 2**14  # columns; ten clients' share of them fits a processor's cache


@dataclass(frozen=True)
class Delta:
    """One change of the global model: a client's, or an aggregate of several.

    Attributes
    ----------
    parameters : Tensor
        Float, shape ``[P]``.
    buffers : Tensor
        Float, shape ``[B]``: the change of batch norm's running statistics and
        counters, which no gradient reaches.
    """

    parameters: Tensor
    buffers: Tensor


@dataclass(frozen=True)
class Updates:
    """The deltas of a round's clients and the global state they started from.

    Attributes
    ----------
    start : dict[str, Tensor]
        The global state; the order of its keys is the order of the deltas.
    parameters : Tensor
        Float32, shape ``[K, P]``.
    buffers : Tensor
        Float64, shape ``[K, B]``; B is 0 for a model without batch norm.
    """

    start: State
    parameters: Tensor
    buffers: Tensor

    def __len__(self) -> int:
        """Count the clients, K."""
        return len(self.parameters)

    def combine(self, weights: Tensor) -> Delta:
        """Add up the clients by weight ``[K]``, parameters and buffers alike."""
        return self.by_coordinate(lambda values: combine(values, weights))

    def by_coordinate(self, rule: Callable[[Tensor], Tensor]) -> Delta:
        """Apply a rule ``[K, d] -> [d]`` to the parameters and to the buffers."""
        return Delta(rule(self.parameters), rule(self.buffers))

    def apply(self, delta: Delta) -> State:
        """Add a delta to the global state, in the state's own shapes and dtypes.

        Whole numbers, such as batch norm's counters, are rounded.
        """
        parameters, buffers = _split(self.start)
        return {
            **self.start,  # for the order of the keys
            **_moved(self.start, parameters, delta.parameters),
            **_moved(self.start, buffers, delta.buffers),
        }


def is_buffer(key: str) -> bool:
    """Tell batch norm's buffers from parameters, by their names in PyTorch."""
    return key.rpartition(".")[2] in BUFFER_NAMES


def find_updates(start: State, states: Iterable[State], num_states: int) -> Updates:
    """Subtract the global state from each client's.

    Parameters
    ----------
    start : dict[str, Tensor]
        The global state at the round's start.
    states : Iterable of dict[str, Tensor]
        What the clients sent, with keys in any order; read one by one.
    num_states : int
        How many there are, K.

    Raises
    ------
    UpdateMismatchError
        If a state's keys or shapes are not those of the global one.
    """
    parameters, buffers = _split(start)
    updates = Updates(
        start,
        torch.empty(num_states, _count(start, parameters), dtype=torch.float32),
        torch.empty(num_states, _count(start, buffers), dtype=torch.float64),
    )
    for client, state in enumerate(states):
        _check_layout(start, state)
        _subtract(start, state, parameters, out=updates.parameters[client])
        _subtract(start, state, buffers, out=updates.buffers[client])
    return updates


def combine(values: Tensor, weights: Tensor) -> Tensor:
    """Add up the rows of ``[K, d]`` by weight ``[K]``, in float64.

    Clients of weight 0 are left out, so that nothing they sent can matter.
    """
    chosen = weights.nonzero().flatten()
    shares = weights[chosen].double()
    return by_blocks(lambda block: shares @ block[chosen].double(), values)


def by_blocks(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Apply a function of ``[K, b]`` to blocks of columns and join the results."""
    return torch.cat([function(block) for block in values.split(BLOCK, dim=1)], dim=-1)


def sort_columns(block: Tensor) -> Tensor:
    """Sort each column, NaN last; NumPy does so in half of PyTorch's time."""
    return torch.from_numpy(np.sort(block.numpy(), axis=0))


def _split(state: State) -> tuple[list[str], list[str]]:
    parameters = [key for key in state if not is_buffer(key)]
    return parameters, [key for key in state if is_buffer(key)]


def _count(state: State, keys: Sequence[str]) -> int:
    return sum(state[key].numel() for key in keys)


def _subtract(start: State, state: State, keys: Sequence[str], out: Tensor) -> None:
    """Subtract in the precision of the model or of ``out``, whichever is higher."""
    parts = out.split([start[key].numel() for key in keys]) if keys else ()
    for key, part in zip(keys, parts, strict=True):
        dtype = torch.promote_types(start[key].dtype, out.dtype)
        part.copy_((state[key].to(dtype) - start[key].to(dtype)).flatten())


def _moved(start: State, keys: Sequence[str], delta: Tensor) -> State:
    parts = delta.split([start[key].numel() for key in keys]) if keys else ()
    return {
        key: _cast(start[key].double() + part.view(start[key].shape), start[key].dtype)
        for key, part in zip(keys, parts, strict=True)
    }


def _cast(values: Tensor, dtype: torch.dtype) -> Tensor:
    return (values if dtype.is_floating_point else values.round()).to(dtype)


def _check_layout(start: State, state: State) -> None:
    if start.keys() != state.keys():
        odd = min(start.keys() ^ state.keys())
        raise UpdateMismatchError(f"{odd!r} is in only one of the two")
    for key, values in state.items():
        if values.shape != start[key].shape:
            raise UpdateMismatchError(
                f"{key!r} has shape {tuple(start[key].shape)} in the model, "
                f"{tuple(values.shape)} in the update"
            )
