"""Admitted to seen: what a scoring sees in each update."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flwr_vdcs.admission.npy import State
from flwr_vdcs.errors import InvalidArgumentError, ScoringError
from flwr_vdcs.probe.probe import Probe
from flwr_vdcs.scoring.base import Features, Scoring

MIN_SCORED = 2

SAYS_OUT_OF_MEMORY = ("can't allocate memory", "_ALLOC_FAILED", "out of memory")
"""What PyTorch's errors say that are of no class of their own."""


def look_at(
    states: Mapping[int, State], global_state: State, scoring: Scoring, probe: Probe
) -> tuple[dict[int, Features], dict[int, str]]:
    """Compute the features of a round's updates.

    Returns
    -------
    dict, dict
        Those that can be scored together, and why the others cannot, by their place.

    Raises
    ------
    ScoringError
        If there is an error for every update, and for the global model too.
    InvalidArgumentError
        If the scoring gives something else than tensors.
    """
    seen: dict[int, Features] = {}
    errors: dict[int, Exception] = {}
    for place, state in states.items():
        try:
            found = scoring.features(probe, global_state, state)
        except Exception as error:
            if is_servers_own(error):
                raise
            errors[place] = error  # an update made the model raise
            continue
        is_tensor = isinstance(found, Tensor)
        seen[place] = _without_direction_where_not_finite(found) if is_tensor else found
    if errors and not seen:
        _check_possible(scoring, probe, global_state)
    alike = _alike(seen, scoring)
    unlike = "its features have other shapes than the others'"
    failed = {
        place: f"the model cannot run with it: {type(error).__name__}"
        for place, error in errors.items()
    }
    return alike, {**failed, **dict.fromkeys(seen.keys() - alike.keys(), unlike)}


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether the server had no memory, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        s in text for s in SAYS_OUT_OF_MEMORY
    )


def is_servers_own(error: Exception) -> bool:
    """Tell whether it is the server that failed, for which no client is blamed.

    A device that has failed once fails for ever, so it ends the run.
    """
    device_error = getattr(torch, "AcceleratorError", ())  # PyTorch before 2.8 has none
    return is_out_of_memory(error) or isinstance(error, device_error)


def _check_possible(scoring: Scoring, probe: Probe, global_state: State) -> None:
    """See whether the scoring can look at the global model, if at no update."""
    try:
        scoring.features(probe, global_state, global_state)
    except Exception as error:
        if is_servers_own(error):
            raise
        raise ScoringError(scoring.name, error) from error


def _alike(seen: Mapping[int, Features], scoring: Scoring) -> dict[int, Features]:
    """Take features that have the shapes of most."""
    layouts = {place: _layout(found) for place, found in seen.items()}
    known = Counter(layout for layout in layouts.values() if layout is not None)
    if seen and not known:
        given = type(next(iter(seen.values()))).__name__
        allowed = (
            "one whose `features` gives a tensor, or a dictionary of tensors, for each "
            f"update, not {given}"
        )
        raise InvalidArgumentError("scoring", scoring.name, allowed)
    usual = known.most_common(1)[0][0] if known else None
    return {place: found for place, found in seen.items() if layouts[place] == usual}


def _layout(found: object) -> torch.Size | frozenset[tuple[Any, torch.Size]] | None:
    """Give the shapes by name; None for what is neither tensor nor tensors by name."""
    if isinstance(found, Tensor):
        return found.shape
    if not isinstance(found, Mapping) or not found:
        return None
    if not all(isinstance(each, Tensor) for each in found.values()):
        return None
    return frozenset((name, each.shape) for name, each in found.items())


def _without_direction_where_not_finite(features: Tensor) -> Tensor:
    """Let a sample whose features overflow agree with nobody: its cosine is 0."""
    is_finite = torch.isfinite(features).all(dim=-1, keepdim=True)
    return torch.where(is_finite, features, 0.0)
