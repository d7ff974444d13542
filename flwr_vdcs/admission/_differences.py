r"""Updates to weights: some clients send how far they went instead of where they are.

Who sends weights stays near the global model: :math:`\lVert w_k - w_g \rVert` is small
beside :math:`\lVert w_k \rVert`. Of a difference the opposite holds. It is looked for
in a few numbers of each array, and only what most clients do counts.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from flwr_vdcs.admission.candidate import Candidate
from flwr_vdcs.admission.npy import State

NUM_COMPARED = 256
"""Numbers of each array that are looked at."""

NEARER = 2.0
"""A difference is so many times nearer to zero than to the global model."""


def add_differences(candidates: Sequence[Candidate]) -> bool:
    """Turn differences into weights, if that is what most clients send.

    Returns
    -------
    bool
        Whether it is.
    """
    num_found = sum(map(_is_difference, candidates))
    if 2 * num_found <= len(candidates):
        return False
    for each in candidates:
        each.is_difference = True
        each.state = _added(each.state, each.start.state)
    return True


def as_difference(state: State, start: State) -> dict[str, Tensor]:
    """Give back what a client sends that sends differences."""
    return {
        name: value if value.dtype is torch.bool else value - start[name].to(value)
        for name, value in state.items()
    }


def _is_difference(candidate: Candidate) -> bool:
    length, way = 0.0, 0.0
    for name, value in candidate.state.items():
        start = candidate.start.state[name]
        if start.is_floating_point():
            some, before = _some(value), _some(start)
            length += some.square().sum().item()
            way += (some - before).square().sum().item()
    return way > NEARER**2 * length


def _some(values: Tensor) -> Tensor:
    flat = values.reshape(-1)
    return flat[:: max(1, len(flat) // NUM_COMPARED)].double().nan_to_num()


def _added(state: State, start: State) -> dict[str, Tensor]:
    """Add each array to where it started; what is true or false has no differences."""
    return {
        name: value if value.dtype is torch.bool else start[name] + value
        for name, value in state.items()
    }


def update_norm(state: State, start: State, names: Collection[str]) -> float:
    """Compute the Euclidean norm of a delta over the named real arrays."""
    squares = [
        torch.linalg.vector_norm(state[n] - start[n], dtype=torch.float64).square()
        for n in names
        if n in state and state[n].is_floating_point()
    ]
    return torch.stack(squares).sum().sqrt().item() if squares else 0.0
