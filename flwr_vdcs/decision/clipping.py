"""Kept to bounded: no update moves the model much further than is expected of it."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from flwr_vdcs.admission import Candidate, State, update_norm

CLIPPED = "its norm is clipped to the largest that is allowed"

ARRAYS_CLIPPED = "arrays of more than twice the expected norm are clipped"


def clip(
    candidates: Sequence[Candidate],
    parameter_names: Collection[str],
    max_update: float,
) -> None:
    """Clip the norm of kept updates that are too long.

    Parameters
    ----------
    candidates
        The admitted updates of the round. Kept ones that are too long get another
        ``state``, and a ``reason``.
    parameter_names
        The arrays whose norm counts.
    max_update
        The longest that is allowed, in lengths of the median update.
    """
    if not candidates:
        return
    norms = [_norm(each, parameter_names) for each in candidates]
    median = torch.tensor(norms, dtype=torch.float64).quantile(0.5)
    longest = max_update * median.item()
    for candidate, norm in zip(candidates, norms, strict=True):
        if candidate.verdict == "kept" and norm > longest:
            start = candidate.start.state
            candidate.state = clipped(candidate.state, start, longest / norm)
            candidate.is_changed, candidate.reason = True, CLIPPED


def clip_arrays(candidates: Sequence[Candidate]) -> None:
    """Clip the arrays of kept updates of which the scoring lets only a share go on.

    Parameters
    ----------
    candidates
        The admitted updates of the round. Kept ones with ``shares`` below 1 get another
        ``state``, and a ``reason``.
    """
    for candidate in candidates:
        if candidate.verdict == "kept" and candidate.shares:
            start, shares = candidate.start.state, candidate.shares
            candidate.state = {
                n: _between(start[n].to(value.dtype), value, shares.get(n, 1.0))
                for n, value in candidate.state.items()
            }
            candidate.is_changed, candidate.reason = True, ARRAYS_CLIPPED


def clipped(state: State, global_state: State, share: float) -> dict[str, Tensor]:
    r"""Go only a share of the way, :math:`w_g + t (w_k - w_g)`; counters stay."""
    return {
        name: _between(global_state[name].to(value.dtype), value, share)
        for name, value in state.items()
    }


def _between(start: Tensor, end: Tensor, share: float) -> Tensor:
    if share >= 1 or not end.is_floating_point():
        return end
    return start.lerp(end, share).where(start != end, end)


def _norm(candidate: Candidate, names: Collection[str]) -> float:
    """Give the Euclidean norm of an update's parameters, unless scoring has it."""
    if candidate.norm is None:
        candidate.norm = update_norm(candidate.state, candidate.start.state, names)
    return candidate.norm
