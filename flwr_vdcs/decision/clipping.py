"""Kept to bounded: no update moves the model much further than the median one."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from flwr_vdcs.admission.npy import State


def shares_allowed(
    states: Mapping[int, State],
    global_state: State,
    parameter_names: Collection[str],
    max_update: float,
) -> dict[int, float]:
    """Find the updates that are too long, and what share of them is not.

    Parameters
    ----------
    states
        The updates of the round, by their place.
    global_state
        The model that they started from.
    parameter_names
        The arrays whose length counts.
    max_update
        The longest that is allowed, in lengths of the median update.

    Returns
    -------
    dict of int to float
        Numbers between 0 and 1, by place, for those that are longer.
    """
    lengths = {
        place: _length(state, global_state, parameter_names)
        for place, state in states.items()
    }
    if not lengths:
        return {}
    median = torch.tensor(list(lengths.values()), dtype=torch.float64).quantile(0.5)
    longest = max_update * median.item()
    return {p: longest / length for p, length in lengths.items() if length > longest}


def shortened(state: State, global_state: State, share: float) -> dict[str, Tensor]:
    r"""Go only a share of the way, :math:`w_g + t (w_k - w_g)`; counters stay."""
    return {
        name: _between(global_state[name].to(value.dtype), value, share)
        for name, value in state.items()
    }


def _between(start: Tensor, end: Tensor, share: float) -> Tensor:
    if not end.is_floating_point():
        return end
    return start.lerp(end, share).where(start != end, end)


def _length(state: State, start: State, names: Collection[str]) -> float:
    squares = [
        torch.linalg.vector_norm(state[n] - start[n], dtype=torch.float64).square()
        for n in names
        if n in state and state[n].is_floating_point()
    ]
    return torch.stack(squares).sum().sqrt().item() if squares else 0.0
